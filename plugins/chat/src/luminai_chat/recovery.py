"""Turns whose process is gone: what they generated becomes a reply that is ``cut``, what it cost is settled, and whoever asks goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy.orm import Session

from luminai import EndState, Held, HubError, Persona, PluginContext, Source, Unprocessable
from luminai_chat import store, turn_rows
from luminai_chat.answer import opening_of
from luminai_chat.schemas import ChatAsk
from luminai_chat.store import Said
from luminai_chat.turn import Outcome, Runner, Turn
from luminai_chat.turn_log import MAX_AHEAD, LogEvent, TurnLog
from luminai_chat.turn_rows import TurnRow
from luminai_chat.turn_store import split
from luminai_personas import PersonaDirectory
from luminai_resonance import frequency_named

LOST: Final = "the hub was ended while it answered"
SWEEP_SECONDS: Final = 600.0


class _Text(Struct):
    text: str


class _Seam(Struct):
    keep: bool


class Recovery:
    """Closes lost turns, and forgets old logs.

    Args:
        runner: This process, as turns name it.
        besides: Returns the ids of turns that run here.
    """

    def __init__(self, ctx: PluginContext, runs: Runner, runner: str, personas: PersonaDirectory, besides: Callable[[], Collection[str]]) -> None:
        self._ctx = ctx
        self._runs = runs
        self._runner = runner
        self._personas = personas
        self._besides = besides
        self._swept = 0.0

    async def run(self) -> None:
        """Look again and again, until cancelled; at once when the plugin starts."""
        pause = self._ctx.config.lease_seconds / 3
        while True:
            try:
                await self.round()
            except Exception:
                self._ctx.log.exception("chat.recovery.failed")
            await asyncio.sleep(pause)

    async def round(self) -> int:
        """Close what is lost now; return how many turns that were."""
        now, system = self._ctx.clock.now(), self._ctx.db.as_system()
        alone = self._runner if self._ctx.db.dialect == "sqlite" else ""
        besides = list(self._besides())
        lost = await system.read(lambda session: turn_rows.lost_turns(session, now, besides=besides, alone_as=alone))
        closed = 0
        for row in lost:
            try:
                closed += await self._close(row)
            except Exception:
                self._ctx.log.exception("chat.turn.not-closed", extra={"turn": row.id})
        await self._sweep()
        return closed

    async def _close(self, row: TurnRow) -> bool:
        """Store what is left of a turn, unless another process was faster."""
        database, vault = self._ctx.db.as_subject(row.subject), self._ctx.vault
        until = turn_rows.lease_until(self._ctx.clock.now(), self._ctx.config.lease_seconds)

        def take(session: Session) -> tuple[ChatAsk, list[LogEvent], list[Said], int] | None:
            if not turn_rows.take_over(session, row, self._runner, until):
                return None
            events = turn_rows.events_behind(session, vault, row.id, row.subject, 0, limit=1000)
            path = store.branch(session, vault, row.subject, row.session_id, row.parent_id)
            return turn_rows.asked(session, vault, row), events, path, store.count_sessions(session, row.subject) - 1

        found = await database.write(take)
        if found is None:
            return False
        ask, events, path, earlier = found
        history, _, prefix = split(path) if path and path[-1].role == "assistant" else (path[:-1], None, "")
        active = ask.context.active_frequencies
        turn = Turn(
            id=row.id,
            ask=ask,
            subject=row.subject,
            persona=self._persona(row.persona),
            full_model=row.model,
            log=TurnLog(start=(events[-1].id if events else 0) + MAX_AHEAD),
            session_id=row.session_id,
            parent_id=row.parent_id,
            history=history,
            prefix=prefix,
            is_continuation=bool(path) and path[-1].role == "assistant",
            previous_sessions=earlier,
            active_frequencies=None if active is None else tuple(dict.fromkeys(frequency_named(name).id for name in active)),
            held=Held(row.id, row.subject) if row.is_held else None,
        )
        if not events:
            turn.log.add("turn", opening_of(turn))
        await self._runs.close_lost(turn, _outcome(events))
        self._ctx.log.warning("chat.turn.closed-as-cut", extra={"turn": row.id})
        return True

    def _persona(self, name: str) -> Persona:
        try:
            return self._personas.resolve(name)
        except Unprocessable:
            return self._personas.default

    async def _sweep(self) -> None:
        moment = self._ctx.clock.monotonic()
        if self._swept and moment - self._swept < SWEEP_SECONDS:
            return
        self._swept = moment
        before = self._ctx.clock.now() - timedelta(hours=self._ctx.config.replay_hours)
        try:
            while await self._ctx.db.as_system().write(lambda session: turn_rows.sweep_slices(session, before)) == turn_rows.SWEEP:
                pass
        except HubError:
            self._ctx.log.exception("chat.logs.not-swept")


def _outcome(events: list[LogEvent]) -> Outcome:
    anew = [place for place, event in enumerate(events) if event.kind == "seam" and not msgspec.json.decode(event.data, type=_Seam).keep]
    events = events[anew[-1] + 1 :] if anew else events
    texts = [msgspec.json.decode(event.data, type=_Text).text for event in events if event.kind == "text"]
    sources = [msgspec.json.decode(event.data, type=Source) for event in events if event.kind == "source"]
    return Outcome(text="".join(texts), sources=sources, end=EndState.CUT, reason=LOST, is_interrupted=True)
