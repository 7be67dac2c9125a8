"""Personas as models: ``persona:ely``, or ``persona:ely@<model>`` to say which model speaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from luminai import End, Persona, PersonaVoice, PluginContext, SourceFound, StreamEvent, TextDelta, Unprocessable
from luminai_ai_gateway import Gateway, GatewayModel
from luminai_personas import PersonaDirectory

PREFIX: Final = "persona:"


def split(name: str) -> tuple[str | None, str]:
    """Return persona and model of a name: None for a model alone, "" for the model where a persona is named alone."""
    if not name.startswith(PREFIX):
        return None, name
    persona, _, model = name.removeprefix(PREFIX).partition("@")
    return persona, model


def persona_named(directory: PersonaDirectory, name: str) -> Persona:
    """Return a persona. Raises as ``PersonaDirectory.resolve``."""
    if not name:
        raise Unprocessable("The model names no persona.", code="personas.unknown", hint="Name it as in `persona:ely`.")
    return directory.resolve(name)


def first_chat_model(gateway: Gateway) -> GatewayModel:
    """Return the model that speaks where nobody says which: the first that is there.

    Raises:
        Unprocessable: there is none (code ``ai-faces.no-model``).
    """
    chats = [model for model in gateway.models() if "chat" in model.kinds]
    found = next((model for model in chats if model.available), None)
    if found is None:
        raise Unprocessable("No model can answer.", code="ai-faces.no-model", hint="Enable a plugin that offers one, such as ai-offline.")
    return found


def follows_instructions(ctx: PluginContext, model: GatewayModel) -> bool:
    """Tell whether instructions mean anything to the model: to the first of its chain that is there."""
    for full in model.chain or (model.name,):
        provider, _, name = full.partition("/")
        found = ctx.providers.ai_providers.get(provider)
        known = next((one for one in found.models() if one.id == name), None) if found is not None else None
        if known is not None:
            return known.follows_instructions
    return True


async def framed(events: AsyncGenerator[StreamEvent, None], voice: PersonaVoice) -> AsyncGenerator[StreamEvent, None]:
    """Yield the events of a model that takes no instructions with the persona's lines around them: which line fits is known with the first source."""
    held: list[StreamEvent] | None = []
    async for event in events:
        if held is None:
            yield event
            continue
        if not isinstance(event, SourceFound | End):
            held.append(event)
            continue
        line = voice_line(voice, has_sources=isinstance(event, SourceFound), covered=not isinstance(event, End) or event.covered)
        if line and (held or isinstance(event, SourceFound)):
            yield TextDelta(line)
        for one in held:
            yield one
        held = None
        yield event


def voice_line(voice: PersonaVoice, *, has_sources: bool, covered: bool) -> str:
    """Return what a persona says before a reply that it did not word itself."""
    if has_sources:
        return f"{voice.answer}\n\n" if voice.answer else ""
    return "" if covered or not voice.refusal else f"{voice.refusal} "
