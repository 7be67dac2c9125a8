"""Opens turns, keeps the running ones, stores what came of them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy.orm import Session

from luminai import (
    Actor,
    AIProvider,
    Event,
    Forbidden,
    Health,
    HealthState,
    InvalidInput,
    Model,
    NotFound,
    NotSignedIn,
    Once,
    PluginContext,
    TooLarge,
    Unprocessable,
)
from luminai_chat import store
from luminai_chat.charges import SLICE, Charges
from luminai_chat.config import ChatConfig
from luminai_chat.quota import Quota
from luminai_chat.schemas import MAX_PLAYGROUND_MESSAGE, ChatAnswer, ChatAsk
from luminai_chat.sealed import seal_old_rows
from luminai_chat.store import Said
from luminai_chat.turn import Outcome, Runner, Turn
from luminai_chat.turn_log import LogEvent, TurnLog
from luminai_personas import PersonaDirectory
from luminai_resonance import Evaluation, Resonance, frequency_named

KEPT_TURNS: Final = 1000
TITLE_LENGTH: Final = 80


Id = Annotated[str, Meta(max_length=40)]


class TurnOpened(Struct, frozen=True):
    """A question was stored."""

    session_id: Id
    message_id: Id
    turn_id: Id


class TurnClosed(Struct, frozen=True):
    """A reply was stored."""

    session_id: Id
    message_id: Id
    turn_id: Id
    end_state: Annotated[str, Meta(max_length=20)]
    R: float


class Opened(Struct, frozen=True):
    """What opening a kept turn wrote, as an Idempotency-Key replays it."""

    turn_id: str
    session_id: str
    message_id: str


class Subject(Struct, frozen=True, kw_only=True):
    """What ``guard.turn`` and ``choose.*`` steps decide on."""

    ask: ChatAsk
    actor: Actor | None
    address: str


class Chat:
    """The service behind the routes, and for plugins that show a chat of their own."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._personas = ctx.service(PersonaDirectory)
        self._resonance = ctx.service(Resonance)
        self._quota = Quota(ctx.config)
        self._charges = Charges(ctx)
        self._runner = Runner(ctx, self._resonance, self._save, self._charges)
        self._turns: dict[str, tuple[str, Turn]] = {}

    async def open(self, ask: ChatAsk, *, actor: Actor | None, address: str, idempotency_key: str | None = None) -> TurnLog:
        """Check a question, store it, start its turn and return the turn's log.

        Raises:
            NotSignedIn: no actor, and the playground is closed.
            Forbidden: ``user_id`` is somebody else (code ``chat.user-mismatch``), or a guard said no.
            RateLimited, Unavailable: see ``Quota``.
            Unprocessable: unknown persona, model or calculator; a session in the playground.
            NotFound: the session or message is not the actor's.
            PaymentRequired: it costs more than there is; see ``Metering.hold``.
        """
        _check_text(ask.message)
        if actor is None:
            self._check_playground(ask, address)
        elif ask.user_id is not None and ask.user_id not in (actor.subject, actor.id):
            hint = "Leave user_id out; the credential says who you are."
            raise Forbidden("user_id is not the signed-in actor.", code="chat.user-mismatch", hint=hint)
        subject = Subject(ask=ask, actor=actor, address=address)
        await self._ctx.decisions.guard("guard.turn", subject)
        if ask.calculator is not None:
            self._resonance.calculator(ask.calculator)
        active = ask.context.active_frequencies
        if active is not None:
            active = tuple(dict.fromkeys(frequency_named(name).id for name in active))
        persona = await self._ctx.decisions.choose("choose.persona", subject)
        if persona is None:
            persona = self._personas.resolve(ask.persona) if ask.persona else self._personas.default
        provider, model = await self._route(subject)
        turn = Turn(
            id=self._ctx.new_id("turn"),
            ask=ask,
            subject=actor.subject if actor is not None else "",
            session_id=None,
            message_id=None,
            parent_id=None,
            history=(),
            previous_sessions=None,
            persona=persona,
            provider=provider,
            model=model,
            log=TurnLog(),
            active_frequencies=active,
        )
        who = actor.subject if actor else address
        place = self._quota.turn(who)
        place.__enter__()  # given back by the task, which outlives this call
        try:
            running = await self._store_question(turn, actor, idempotency_key) if actor is not None else None
        except BaseException:
            place.__exit__(None, None, None)
            raise
        if running is not None:
            place.__exit__(None, None, None)
            return running
        turn.task = self._ctx.spawn(self._run(turn, place), name=turn.id)
        self._remember(who, turn)
        return turn.log

    async def answer(self, ask: ChatAsk, *, actor: Actor | None, address: str) -> ChatAnswer:
        """Ask and wait for the whole reply. Raises as ``open``, and the problem that a failed turn ends with as ``HubError``."""
        return await whole(await self.open(ask, actor=actor, address=address))

    async def owns(self, actor: Actor, params: Mapping[str, str]) -> bool:
        """Tell whether a conversation is the actor's."""
        try:
            await self._ctx.db.read(lambda session: store.find_session(session, actor.subject, params["id"]))
        except NotFound:
            return False
        return True

    def cancel(self, turn_id: str, actor: Actor | None, address: str) -> None:
        """End a running turn; what was generated is kept, the turn ends as ``cancelled``.

        Raises:
            NotFound: no such turn of this actor is known.
        """
        owner, turn = self._turns.get(turn_id, ("", None))
        if turn is None or owner != (actor.subject if actor else address):
            raise NotFound("There is no such turn.", code="chat.turn-not-found")
        if not turn.task.done():
            turn.task.cancel()

    def end_turns(self, subject: str) -> None:
        """End and forget every turn of a subject; what they hold is not stored any more once the session is gone."""
        for turn_id in [turn_id for turn_id, (owner, _) in self._turns.items() if owner == subject]:
            self._turns.pop(turn_id)[1].task.cancel()

    async def global_r(self, _: object = None) -> float | None:
        """Return the mean R of the last 24 hours, None when there was none."""
        since = self._ctx.clock.now() - timedelta(hours=24)
        return await self._ctx.db.as_system().read(lambda session: store.mean_r_since(session, since))

    async def seal_old_rows(self) -> None:
        """Seal what an earlier release stored plainly, some rows at a time, so that nobody waits for it."""
        count = 0
        while done := await self._ctx.db.as_system().write(lambda session: seal_old_rows(session, self._ctx.vault)):
            count += done
        if count:
            self._ctx.log.warning("chat.rows.sealed", extra={"rows": count})

    async def health(self) -> Health:
        """Failing while nothing can answer."""
        try:
            self._default_model()
            _ = self._personas.default
            self._resonance.calculator()
        except Unprocessable as missing:
            return Health(HealthState.FAILING, missing.detail)
        return Health(HealthState.OK)

    async def _run(self, turn: Turn, place: Any) -> None:
        try:
            await self._runner.run(turn)
        finally:
            place.__exit__(None, None, None)

    def _remember(self, who: str, turn: Turn) -> None:
        self._turns[turn.id] = (who, turn)
        while len(self._turns) > KEPT_TURNS:
            self._turns.pop(next(iter(self._turns)))

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

    async def _route(self, subject: Subject) -> tuple[AIProvider, Model]:
        """Return provider and model: named, chosen by a step, configured, or the first there is; the playground only gets listed providers."""
        chosen = subject.ask.model or await self._ctx.decisions.choose("choose.route", subject)
        provider, model = self._find_model(str(chosen)) if chosen else self._default_model(subject.actor is None)
        if subject.actor is None and provider.name not in self._config.playground_providers:
            allowed = ", ".join(self._config.playground_providers)
            raise Unprocessable(f"The playground does not use {provider.name}.", code="chat.playground-model", hint=f"It uses: {allowed}.")
        return provider, model

    def _models(self) -> dict[str, tuple[AIProvider, Model]]:
        providers = self._ctx.providers.ai_providers.values()
        return {f"{provider.name}/{model.id}": (provider, model) for provider in providers for model in provider.models() if "chat" in model.kinds}

    def _find_model(self, name: str) -> tuple[AIProvider, Model]:
        known = self._models()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known) or 'none'}."
            raise Unprocessable(f"There is no model {name[:60]!r}.", code="chat.unknown-model", hint=hint)
        return known[name]

    def _default_model(self, playground: bool = False) -> tuple[AIProvider, Model]:
        if self._config.model and not playground:
            return self._find_model(self._config.model)
        known = [found for found in self._models().values() if not playground or found[0].name in self._config.playground_providers]
        if not known:
            raise Unprocessable("No model can answer.", code="chat.no-model", hint="Enable a plugin that offers one, such as ai-offline.")
        return known[0]

    async def _store_question(self, turn: Turn, actor: Actor, idempotency_key: str | None) -> TurnLog | None:
        """Write the question with its event; return the log of the turn that a repeated Idempotency-Key already started."""
        ask, now = turn.ask, self._ctx.clock.now()
        session_id, message_id = ask.session_id or self._ctx.new_id("ses"), self._ctx.new_id("msg")
        found: dict[str, Any] = {}

        def unit(session: Session) -> Opened:
            if ask.session_id is None:
                found["history"], found["earlier"] = [], store.count_sessions(session, actor.subject)
                store.open_session(session, self._ctx.vault, session_id, actor.subject, title=_title(ask.message), persona=turn.persona.id, at=now)
            else:
                store.find_session(session, actor.subject, session_id)
                found["history"] = store.branch(session, self._ctx.vault, actor.subject, session_id, ask.parent_id)
                found["earlier"] = store.count_sessions(session, actor.subject) - 1
            history: list[Said] = found["history"]
            parent = history[-1].id if history else None
            question = store.Question(message_id, session_id, parent, ask.message, now)
            store.add_question(session, self._ctx.vault, actor.subject, question)
            found["held"] = self._charges.hold(session, turn, history)
            opened = Opened(turn.id, session_id, message_id)
            event = TurnOpened(session_id, message_id, turn.id)
            self._ctx.db.publish(session, Event(type="chat.TurnOpened", payload=msgspec.to_builtins(event), subject=actor.subject))
            self._ctx.live.publish(f"chat.conversation.{session_id}", "turn-opened", event, session=session)
            return opened

        once = None
        if idempotency_key is not None:
            fingerprint = hashlib.sha256(msgspec.json.encode(ask)).digest()
            once = Once(f"chat:{actor.subject}", idempotency_key, fingerprint, Opened)
        opened = await self._ctx.db.as_subject(actor.subject).write(unit, once=once)
        if opened.turn_id != turn.id:
            known = self._turns.get(opened.turn_id)
            if known is None:
                hint = f"GET /api/session/{opened.session_id} shows what became of it."
                raise Unprocessable("This question was asked before.", code="chat.already-asked", hint=hint)
            return known[1].log
        turn.session_id, turn.message_id = session_id, message_id
        turn.history, turn.previous_sessions, turn.held = found["history"], found["earlier"], found["held"]
        turn.covered_tokens = SLICE
        return None

    async def _save(self, turn: Turn, outcome: Outcome, evaluation: Evaluation, _seconds: float) -> str:
        message_id, now = self._ctx.new_id("msg"), self._ctx.clock.now()
        if turn.session_id is None or turn.message_id is None or outcome.usage is None:
            raise RuntimeError("a playground turn is never saved")
        closed = TurnClosed(turn.session_id, message_id, turn.id, outcome.end, evaluation.R)
        reply = store.Reply(
            id=message_id,
            session_id=turn.session_id,
            subject=turn.subject,
            parent_id=turn.message_id,
            content=outcome.text,
            persona=turn.persona.id,
            persona_version=turn.persona.version,
            model=turn.full_model,
            end_state=outcome.end,
            usage=outcome.usage,
            sources=outcome.sources,
            report=evaluation.report,
            context=msgspec.to_builtins(turn.ask.context),
            at=now,
        )

        def unit(session: Session) -> None:
            store.add_reply(session, self._ctx.vault, reply)
            self._charges.end(session, turn, outcome)
            self._ctx.db.publish(session, Event(type="chat.TurnClosed", payload=msgspec.to_builtins(closed), subject=turn.id))
            self._ctx.live.publish(f"chat.conversation.{closed.session_id}", "turn-closed", closed, session=session)

        await self._ctx.db.as_subject(turn.subject).write(unit)
        return message_id


async def whole(log: TurnLog) -> ChatAnswer:
    """Wait for a turn's end.

    Raises:
        TurnFailed: it ended with a problem.
    """
    last: LogEvent | None = None
    async for event in _events(log):
        last = event
    if last is None or last.kind != "end":
        raise TurnFailed(last.data if last else None)
    answer: ChatAnswer = last.data
    return answer


async def _events(log: TurnLog) -> AsyncIterator[LogEvent]:
    async for event in log.follow():
        if event is not None:
            yield event


class TurnFailed(Exception):
    """A turn ended with ``problem``."""

    def __init__(self, problem: Any) -> None:
        super().__init__(getattr(problem, "detail", "the turn failed"))
        self.problem = problem


def _check_text(message: str) -> None:
    """Refuse what no person writes and a database may choke on."""
    if not message.strip():
        raise InvalidInput("The message is empty.", code="chat.empty-message", hint="Write a question.")
    if any((ord(sign) < 32 and sign not in "\n\r\t") or ord(sign) == 127 or 0xD800 <= ord(sign) <= 0xDFFF for sign in message):
        raise InvalidInput("The message holds control characters.", code="chat.bad-characters", hint="Send plain text.")


def _title(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= TITLE_LENGTH else f"{line[: TITLE_LENGTH - 1].rsplit(' ', 1)[0]}…"
