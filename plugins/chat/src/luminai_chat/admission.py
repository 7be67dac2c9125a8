"""What is decided about a question before anything is stored: whether it may be asked, who answers, and with which model."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from luminai import Actor, Forbidden, InvalidInput, NotSignedIn, Once, Persona, PluginContext, TooLarge, Unprocessable
from luminai_chat.config import ChatConfig
from luminai_chat.quota import Quota
from luminai_chat.routing import Route, Routing
from luminai_chat.schemas import MAX_PLAYGROUND_MESSAGE, ChatAsk
from luminai_chat.turn import Turn
from luminai_chat.turn_log import TurnLog
from luminai_chat.turn_store import Opened
from luminai_personas import PersonaDirectory
from luminai_resonance import Resonance, frequency_named


class Subject(Struct, frozen=True, kw_only=True):
    """What ``guard.turn`` and ``choose.*`` steps decide on."""

    ask: ChatAsk
    actor: Actor | None
    address: str


class Admission:
    """Checks questions and makes turns of them."""

    def __init__(self, ctx: PluginContext, personas: PersonaDirectory, resonance: Resonance, routing: Routing, quota: Quota) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._personas = personas
        self._resonance = resonance
        self._routing = routing
        self._quota = quota

    def check(self, ask: ChatAsk, actor: Actor | None, address: str) -> None:
        """Refuse what may not be asked; counts a question to the playground. Raises as ``Chat.open``."""
        _check_text(ask.message)
        if actor is None:
            self._check_playground(ask, address)
        elif ask.user_id is not None and ask.user_id not in (actor.subject, actor.id):
            hint = "Leave user_id out; the credential says who you are."
            raise Forbidden("user_id is not the signed-in actor.", code="chat.user-mismatch", hint=hint)

    async def prepare(self, ask: ChatAsk, actor: Actor | None, address: str) -> Turn:
        """Return the turn of a question, with all that is decided. Raises as ``Chat.open``."""
        subject = Subject(ask=ask, actor=actor, address=address)
        await self._ctx.decisions.guard("guard.turn", subject)
        if ask.calculator is not None:
            self._resonance.calculator(ask.calculator)
        active = ask.context.active_frequencies
        if active is not None:
            active = tuple(dict.fromkeys(frequency_named(name).id for name in active))
        persona: Persona | None = await self._ctx.decisions.choose("choose.persona", subject)
        if persona is None:
            persona = self._personas.resolve(ask.persona) if ask.persona else self._personas.default
        provider, model = await self._route(subject)
        return Turn(
            id=self._ctx.new_id("turn"),
            ask=ask,
            subject=actor.subject if actor is not None else "",
            actor=actor,
            persona=persona,
            full_model=f"{provider.name}/{model.id}",
            provider=provider,
            model=model,
            log=TurnLog(),
            active_frequencies=active,
        )

    async def _route(self, subject: Subject) -> Route:
        """Return the model that is named, chosen by a step, or the default; the playground only gets listed providers."""
        chosen = subject.ask.model or await self._ctx.decisions.choose("choose.route", subject)
        is_playground = subject.actor is None
        route = self._routing.find(str(chosen)) if chosen else self._routing.default(playground=is_playground)
        if is_playground:
            self._routing.check_playground(route)
        return route

    def _check_playground(self, ask: ChatAsk, address: str) -> None:
        if not self._config.playground:
            raise NotSignedIn("This needs a credential: the playground is closed.", hint="Send an API key as `Authorization: Bearer …`.")
        if ask.session_id is not None or ask.parent_id is not None:
            hint = "Leave session_id out, or use an API key."
            raise Unprocessable("The playground keeps no sessions.", code="chat.playground-no-session", hint=hint)
        if len(ask.message) > MAX_PLAYGROUND_MESSAGE:
            raise TooLarge(
                f"The playground takes {MAX_PLAYGROUND_MESSAGE} characters.", code="chat.playground-too-long", hint="Shorten the question."
            )
        self._quota.take_playground(address)


def once_of(actor: Actor | None, key: str | None, asked: Any) -> Once | None:
    """Return what makes a turn begin once for an Idempotency-Key; the playground knows none."""
    if actor is None or key is None:
        return None
    return Once(f"chat:{actor.subject}", key, hashlib.sha256(msgspec.json.encode(asked)).digest(), Opened)


def _check_text(message: str) -> None:
    """Refuse what no person writes and a database may choke on."""
    if not message.strip():
        raise InvalidInput("The message is empty.", code="chat.empty-message", hint="Write a question.")
    if any((ord(sign) < 32 and sign not in "\n\r\t") or ord(sign) == 127 or 0xD800 <= ord(sign) <= 0xDFFF for sign in message):
        raise InvalidInput("The message holds control characters.", code="chat.bad-characters", hint="Send plain text.")
