"""From what is asked to the reply: the gateway's calls, with a persona around them where one is named."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from luminai import (
    Actor,
    ChatMessage,
    ChatReply,
    End,
    EndState,
    Persona,
    PluginContext,
    Seam,
    Source,
    SourceFound,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallFound,
    Upstream,
    Usage,
)
from luminai_ai_faces.asking import Ask
from luminai_ai_faces.config import FacesConfig
from luminai_ai_faces.evaluating import evaluated
from luminai_ai_faces.failures import RETRY_HINT, broken
from luminai_ai_faces.notes import Closing, Notes, answered_by, usage_of
from luminai_ai_faces.persona_models import first_chat_model, follows_instructions, framed, persona_named, split, voice_line
from luminai_ai_faces.stops import StopScanner
from luminai_ai_gateway import ChatCall, Gateway
from luminai_chat import ChatAsk, Subject
from luminai_personas import PersonaDirectory
from luminai_resonance import Resonance

Content = TextDelta | ToolCallFound | Closing
"""What a dialect's writer is given: content as it comes, and one closing at last."""
_GOOD: Final = frozenset({EndState.FINISHED, EndState.LENGTH, EndState.FILTERED})
_SIGNS_A_TOKEN: Final = 4
_GATEWAY_SCOPE: Final = "ai-gateway:use"


class Whole(Struct, frozen=True, kw_only=True):
    """A whole reply that came to a good end."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    closing: Closing


class Said(Struct):
    """What came of a reply so far. ``first`` is seconds until the first of it."""

    text: str = ""
    sources: list[Source] = []
    seams: list[str] = []
    calls_tools: bool = False
    stop: str = ""
    first: float | None = None


class Faces:
    """Opens answers for the routes of all dialects."""

    def __init__(self, ctx: PluginContext) -> None:
        self.ctx = ctx
        self.config: FacesConfig = ctx.config
        self.gateway = ctx.service(Gateway)
        self.personas = ctx.service(PersonaDirectory)
        self.resonance = ctx.service(Resonance)

    def caller(self, actor: Actor) -> Actor:
        """Return the actor as the gateway asks for it: the scope of these routes is leave to call models by them."""
        return replace(actor, scopes=actor.scopes | {_GATEWAY_SCOPE})

    async def open(self, ask: Ask, *, actor: Actor, address: str) -> Answer:
        """Return an answer that can be read once, as it comes or whole.

        Raises:
            Unprocessable: there is no such persona (``personas.unknown``), or no model at all (``ai-faces.no-model``).
            Forbidden: a step of ``guard.turn`` said no.
        """
        name, model = split(ask.model)
        persona = persona_named(self.personas, name) if name is not None else None
        said = "\n\n".join(one.content for one in ask.messages if one.role in ("user", "tool"))
        subject = Subject(ask=ChatAsk(message=said, persona=name or None, model=model or None), actor=actor, address=address)
        await self.ctx.decisions.guard("guard.turn", subject)
        if persona is None:
            return Answer(self, ask, _call(self, ask, actor, model))
        chosen = model or await self.ctx.decisions.choose("choose.route", subject)
        known = self.gateway.model(str(chosen)) if chosen else first_chat_model(self.gateway)
        listens = follows_instructions(self.ctx, known)
        return Answer(self, ask, _call(self, ask, actor, known.name, persona if listens else None), persona, is_voiced=not listens)


class Answer:
    """One reply on its way.

    Args:
        is_voiced: The model takes no instructions, so the persona's lines stand around its words.
    """

    def __init__(self, faces: Faces, ask: Ask, call: ChatCall, persona: Persona | None = None, *, is_voiced: bool = False) -> None:
        self._faces = faces
        self._ask = ask
        self._call = call
        self._persona = persona
        self._is_voiced = is_voiced

    async def events(self) -> AsyncGenerator[Content, None]:
        """Yield the content as it comes, and one closing.

        Raises:
            HubError: as the gateway's ``stream`` before any content; later, that the reply broke off.
        """
        began, said, scanner = time.perf_counter(), Said(), StopScanner(self._ask.stop)
        async with aclosing(self._stream()) as stream:
            async for event in stream:
                if isinstance(event, End):
                    if rest := scanner.rest():
                        said.text += rest
                        yield TextDelta(rest)
                    yield await self._closing(said, event)
                    return
                if said.first is None:
                    said.first = time.perf_counter() - began
                if isinstance(event, TextDelta):
                    piece = scanner.take(event.text)
                    said.text += piece
                    if piece:
                        yield event if piece == event.text else TextDelta(piece)
                    if scanner.found:
                        break
                elif isinstance(event, ToolCallFound):
                    said.calls_tools = True
                    yield event
                elif isinstance(event, SourceFound):
                    said.sources.append(event.source)
                elif isinstance(event, Seam):
                    _goes_on(said, event)
        said.stop = scanner.found
        yield await self._closing(said, End(state=EndState.FINISHED, usage=self._estimated(said)))

    async def whole(self) -> Whole:
        """Return the whole reply. Raises as ``events``, with what came of a broken one among its facts."""
        if self._ask.stop:
            return await self._gathered()
        began = time.perf_counter()
        reply: ChatReply = await self._faces.gateway.chat(self._call)
        text = reply.text
        if self._is_voiced and self._persona is not None:
            text = voice_line(self._persona.voice, has_sources=bool(reply.sources), covered=reply.covered) + text
        end = End(state=reply.end, usage=reply.usage, covered=reply.covered, trace=reply.trace)
        first = reply.trace.first if reply.trace is not None else time.perf_counter() - began
        said = Said(text=text, sources=list(reply.sources), calls_tools=bool(reply.tool_calls), first=first)
        if end.state not in _GOOD:
            raise broken(end, text)
        said.text = await self._faces.ctx.decisions.filter("filter.reply", text)
        return Whole(text=said.text, tool_calls=reply.tool_calls, closing=await self._noted(said, end))

    async def _gathered(self) -> Whole:
        text, calls = "", []
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    text += event.text
                elif isinstance(event, ToolCallFound):
                    calls.append(event.call)
                else:
                    return Whole(text=text, tool_calls=tuple(calls), closing=event)
        raise RuntimeError("an answer ends with a closing")

    def _stream(self) -> AsyncGenerator[StreamEvent, None]:
        stream = self._faces.gateway.stream(self._call)
        return framed(stream, self._persona.voice) if self._is_voiced and self._persona is not None else stream

    async def _closing(self, said: Said, end: End) -> Closing:
        """Close a stream. What a filter would not have let through as it is has gone out already, so the end says ``filtered``."""
        if end.state not in _GOOD:
            raise broken(end)
        if said.text and await self._faces.ctx.decisions.filter("filter.reply", said.text) != said.text:
            end = replace(end, state=EndState.FILTERED)
        return await self._noted(said, end)

    async def _noted(self, said: Said, end: End) -> Closing:
        usage, trace = usage_of(end), end.trace
        notes = Notes(
            end_state=end.state,
            usage_origin=usage.origin,
            model=answered_by(trace) or self._call.model,
            call=trace.call if trace is not None else "",
            enforced=trace.enforced if trace is not None else "",
            cache=trace.cache if trace is not None else "",
            seams=tuple(said.seams),
            ignored=self._ask.ignored,
            covered=end.covered,
            sources=tuple(said.sources),
        )
        if self._persona is not None:
            notes = await evaluated(self._faces.ctx, self._faces.resonance, notes, self._ask, self._persona, said.text, said.first)
        return Closing(state=end.state, usage=usage, notes=notes, stop=said.stop, calls_tools=said.calls_tools)

    def _estimated(self, said: Said) -> Usage:
        """Return what a reply used that was ended here, before its provider could say: four characters a token."""
        signs = sum(len(one.content) for one in self._call.request.messages)
        return Usage(input_tokens=-(-signs // _SIGNS_A_TOKEN), output_tokens=-(-len(said.text) // _SIGNS_A_TOKEN), origin="estimated")


def _call(faces: Faces, ask: Ask, actor: Actor, model: str, persona: Persona | None = None) -> ChatCall:
    """Return the gateway's call; ``persona`` is whose instructions come before the client's own."""
    request = ask.request(faces.config.total_seconds)
    version = ""
    if persona is not None:
        request = replace(request, messages=(ChatMessage("system", persona.instructions), *ask.messages))
        version = f"{persona.id}@{persona.version}"
    return ChatCall(actor=faces.caller(actor), model=model, origin=ask.origin, request=request, prompt_version=version)


def _goes_on(said: Said, seam: Seam) -> None:
    """Take down that another model goes on.

    Raises:
        Upstream: it begins anew, and what was sent cannot be taken back in any dialect (code ``ai-faces.void``).
    """
    if not seam.keep and (said.text or said.calls_tools):
        raise Upstream("The model broke off and another begins anew.", code="ai-faces.void", hint=RETRY_HINT, facts={"end_state": seam.state})
    said.seams.append(seam.model)
