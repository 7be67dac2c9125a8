"""Opens turns, keeps the running ones, answers for those that ran elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import msgspec

from luminai import (
    Actor,
    Conflict,
    EndState,
    Health,
    HealthState,
    NotFound,
    PluginContext,
    Unprocessable,
)
from luminai_chat import approvals, store, turn_rows
from luminai_chat.admission import Admission, once_of
from luminai_chat.answer import GO_ON, view_of
from luminai_chat.charges import Charges
from luminai_chat.config import ChatConfig
from luminai_chat.generation import Generation
from luminai_chat.keeper import Keeper
from luminai_chat.quota import Quota
from luminai_chat.recovery import Recovery
from luminai_chat.replay import KeptLog
from luminai_chat.routing import Routing
from luminai_chat.schemas import Approval, ChatAnswer, ChatAsk, ContinueAsk, TurnView
from luminai_chat.sealed import seal_old_rows
from luminai_chat.tools import Toolbox
from luminai_chat.turn import Runner, Turn
from luminai_chat.turn_log import Log, LogEvent
from luminai_chat.turn_store import TurnStore
from luminai_chat.whole import whole
from luminai_personas import PersonaDirectory
from luminai_resonance import Resonance

ENDED_PLAYGROUND_TURNS: Final = 100
"""Of those nothing is stored, so their logs stay here for a while."""
PROCESS: Final = uuid4().hex
"""Names this process in the turns that it runs; all its generations share it."""
STOP_SECONDS: Final = 4.0
"""What the turns that are ended with the hub have to be stored."""
STOPPED: Final = "the hub was stopped while it answered"


class Chat:
    """The service behind the routes, and for plugins that show a chat of their own."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._config: ChatConfig = ctx.config
        self._personas = ctx.service(PersonaDirectory)
        self._resonance = ctx.service(Resonance)
        self._routing = Routing(ctx)
        self._quota = Quota(ctx.config)
        self._admission = Admission(ctx, self._personas, self._resonance, self._routing, self._quota)
        charges = Charges(ctx)
        self._keeper = Keeper(ctx, PROCESS)
        self._store = TurnStore(ctx, charges, PROCESS)
        generation = Generation(ctx, charges, self._keeper, Toolbox(ctx, self._answered))
        self._runner = Runner(ctx, self._resonance, generation, self._store, self._keeper)
        self._recovery = Recovery(ctx, self._runner, PROCESS, self._personas, lambda: self._turns)
        self._turns: dict[str, tuple[str, Turn]] = {}
        self._upkeep: list[asyncio.Future[Any]] = []

    def start(self) -> None:
        """Keep what turns generate, and close those that an earlier process left."""
        for work, name in ((self._keeper.run(), "keep-turns"), (self._recovery.run(), "close-lost-turns")):
            self._upkeep.append(asyncio.ensure_future(self._ctx.spawn(work, name=name)))
        self._ctx.spawn(self.seal_old_rows(), name="seal-old-rows")

    async def stop(self) -> None:
        """End what runs as cut, keeping what was generated."""
        tasks = []
        for _, turn in self._turns.values():
            if turn.task is not None and not turn.task.done():
                turn.end(EndState.CUT, STOPPED, is_interrupted=True)
                tasks.append(turn.task)
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for work in self._upkeep:
            work.cancel()

    async def open(self, ask: ChatAsk, *, actor: Actor | None, address: str, idempotency_key: str | None = None) -> Log:
        """Check a question, store it, start its turn and return the turn's log.

        Raises:
            NotSignedIn: no actor, and the playground is closed.
            Forbidden: ``user_id`` is somebody else (code ``chat.user-mismatch``), or a guard said no.
            RateLimited, Unavailable: see ``Quota``.
            Unprocessable: unknown persona, model or calculator; a session in the playground.
            NotFound: the session or message is not the actor's.
            PaymentRequired: it costs more than there is; see ``Metering.hold``.
        """
        self._admission.check(ask, actor, address)
        turn = await self._admission.prepare(ask, actor, address)
        once = once_of(actor, idempotency_key, ask)
        return await self._start(turn, actor.subject if actor else address, self._store.begin(turn, once) if actor else None)

    async def go_on(self, turn_id: str, ask: ContinueAsk, *, actor: Actor, address: str, idempotency_key: str | None = None) -> Log:
        """Continue the reply of a turn that broke off: its text stays as it is, and what comes is a message that follows it.

        Raises:
            NotFound: no such turn of this actor (code ``chat.turn-not-found``).
            Conflict: it still runs (code ``chat.turn-runs``), or has nothing to continue (``chat.nothing-to-continue``).
        """

        def unit(session: Any) -> tuple[turn_rows.TurnRow, ChatAsk]:
            row = turn_rows.find_turn(session, actor.subject, turn_id)
            return row, turn_rows.asked(session, self._ctx.vault, row)

        row, before = await self._ctx.db.as_subject(actor.subject).read(unit)
        if not row.end_state:
            raise Conflict("This turn still runs.", code="chat.turn-runs", hint="Follow it, or cancel it first.")
        if row.end_state not in GO_ON or row.reply_id is None:
            raise Conflict(f"This turn is {row.end_state}.", code="chat.nothing-to-continue", hint="Ask a new question.")
        fields = {"session_id": row.session_id, "parent_id": None, "persona": row.persona, "model": ask.model or row.model, "user_id": None}
        turn = await self._admission.prepare(msgspec.structs.replace(before, **fields), actor, address)
        once = once_of(actor, idempotency_key, [turn_id, ask])
        return await self._start(turn, actor.subject, self._store.begin_again(turn, row, once))

    async def answer(self, ask: ChatAsk, *, actor: Actor | None, address: str) -> ChatAnswer:
        """Ask and wait for the whole reply. Raises as ``open``, and the problem that a failed turn ends with as ``HubError``."""
        return await whole(await self.open(ask, actor=actor, address=address))

    async def log(self, turn_id: str, actor: Actor | None, address: str) -> Log:
        """Return the log of a turn, whichever process runs or ran it.

        Raises:
            NotFound: no such turn of this actor; or it ended long ago, and its log is not kept any more (code ``chat.log-swept``).
        """
        if turn := self._own(turn_id, actor, address):
            return turn.log
        if actor is None:
            raise turn_rows.no_such_turn()
        await self.turn(turn_id, actor)
        return await self._kept_log(actor.subject, turn_id)

    async def turn(self, turn_id: str, actor: Actor) -> TurnView:
        """Return how a kept turn stands, and what it took. Raises NotFound as ``cancel``."""

        def unit(session: Any) -> tuple[turn_rows.TurnRow, LogEvent | None]:
            row = turn_rows.find_turn(session, actor.subject, turn_id)
            return row, turn_rows.last_event(session, self._ctx.vault, turn_id, actor.subject) if row.end_state else None

        return view_of(*await self._ctx.db.as_subject(actor.subject).read(unit))

    async def owns(self, actor: Actor, params: Mapping[str, str]) -> bool:
        """Tell whether a conversation is the actor's."""
        try:
            await self._ctx.db.read(lambda session: store.find_session(session, actor.subject, params["id"]))
        except NotFound:
            return False
        return True

    async def cancel(self, turn_id: str, actor: Actor | None, address: str) -> None:
        """End a running turn, whichever process runs it; what was generated is kept, the turn ends as ``cancelled``.

        Raises:
            NotFound: no such turn of this actor is known (code ``chat.turn-not-found``).
        """
        if turn := self._own(turn_id, actor, address):
            turn.end(EndState.CANCELLED, "cancelled")
            return
        if actor is None:
            raise turn_rows.no_such_turn()
        subject = actor.subject

        def unit(session: Any) -> None:
            if not turn_rows.find_turn(session, subject, turn_id).end_state:
                turn_rows.ask_to_cancel(session, subject, turn_id)

        await self._ctx.db.as_subject(subject).write(unit)

    async def approve(self, turn_id: str, given: Approval, actor: Actor) -> None:
        """Take a person's answer to what a turn's model wants to change.

        Raises:
            NotFound: no such turn of this actor.
            Conflict: the turn has ended (code ``chat.turn-ended``), or that was answered (``chat.already-answered``).
        """
        now = self._ctx.clock.now()

        def unit(session: Any) -> None:
            if turn_rows.find_turn(session, actor.subject, turn_id).end_state:
                raise Conflict("This turn has ended.", code="chat.turn-ended", hint="Nothing waits for an answer.")
            approvals.give(session, actor.subject, turn_id, given.digest, allow=given.allow, at=now)

        await self._ctx.db.as_subject(actor.subject).write(unit)

    def end_turns(self, subject: str) -> None:
        """End and forget every turn of a subject; what they hold is not stored any more once the session is gone."""
        for turn_id in [turn_id for turn_id, (owner, _) in self._turns.items() if owner == subject]:
            self._turns.pop(turn_id)[1].end(EndState.CANCELLED, "cancelled")

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
        """Say which model answers when none is named; degraded when there are several and no word which, failing while nothing can answer."""
        try:
            _ = self._personas.default
            self._resonance.calculator()
            provider, model = self._routing.default()
        except Unprocessable as missing:
            state = HealthState.DEGRADED if missing.code == "chat.no-model" and self._routing.has_any else HealthState.FAILING
            return Health(state, f"{missing.detail} {missing.hint}")
        return Health(HealthState.OK, f"{provider.name}/{model.id} answers when no model is named")

    async def _start(self, turn: Turn, who: str, begin: Any) -> Log:
        """Store the beginning of a kept turn, and start it; return its log, or that of the turn that the same Idempotency-Key started before."""
        place = self._quota.turn(who)
        try:
            place.__enter__()  # given back by the task, which outlives this call
        except BaseException:
            if begin is not None:
                begin.close()
            raise
        try:
            opened = await begin if begin is not None else None
        except BaseException:
            place.__exit__(None, None, None)
            raise
        if opened is not None and opened.turn_id != turn.id:
            place.__exit__(None, None, None)
            running = self._turns.get(opened.turn_id)
            return running[1].log if running else await self._kept_log(who, opened.turn_id)
        self._turns[turn.id] = (who, turn)
        turn.task = self._ctx.spawn(self._run(turn, place), name=turn.id)
        return turn.log

    async def _run(self, turn: Turn, place: Any) -> None:
        try:
            await self._runner.run(turn)
        finally:
            place.__exit__(None, None, None)
            if turn.session_id is not None:
                self._turns.pop(turn.id, None)
            else:
                ended = [turn_id for turn_id, (_, one) in self._turns.items() if one.session_id is None and one.log.is_closed]
                for turn_id in ended[:-ENDED_PLAYGROUND_TURNS]:
                    del self._turns[turn_id]

    def _own(self, turn_id: str, actor: Actor | None, address: str) -> Turn | None:
        """Return a turn of this process, if it is the actor's, or that of the playground's guest at this address."""
        owner, turn = self._turns.get(turn_id, ("", None))
        is_own = turn is not None and owner == (actor.subject if actor else address) and turn.subject == (actor.subject if actor else "")
        return turn if is_own else None

    async def _kept_log(self, subject: str, turn_id: str) -> Log:
        log = KeptLog(self._ctx, subject, turn_id)
        if await log.is_swept():
            hint = f"Its log is kept for {self._config.replay_hours} h; GET /api/session/{{id}} shows what became of it."
            raise NotFound("The log of this turn is not kept any more.", code="chat.log-swept", hint=hint)
        return log

    async def _answered(self, turn: Turn, digest: str, since: datetime) -> bool | None:
        database = self._ctx.db.as_subject(turn.subject)
        return await database.write(lambda session: approvals.take(session, turn.subject, turn.id, digest, since))
