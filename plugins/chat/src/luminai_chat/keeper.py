"""Keeps what running turns generate: one unit of work for all of them, every second or when much is waiting, renews leases and hears of cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai import EndState, PluginContext, Unavailable
from luminai_chat import turn_rows
from luminai_chat.turn_log import MAX_AHEAD, LogEvent

if TYPE_CHECKING:
    from luminai_chat.turn import Turn

SECONDS: Final = 1.0
"""Between two slices of a turn: what a killed process loses at most, as long as the database answers."""
MANY_BYTES: Final = 16_384
"""Of one turn; then it is not waited for the second."""


class _Slice(Struct, frozen=True):
    turn: Turn
    events: Sequence[LogEvent]


class Keeper:
    """One in a process and generation.

    Args:
        runner: This process, as turns name it.
    """

    def __init__(self, ctx: PluginContext, runner: str) -> None:
        self._ctx = ctx
        self._runner = runner
        self._lease = ctx.config.lease_seconds
        self._turns: dict[str, Turn] = {}
        self._renewed = 0.0
        self._has_work = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self._kept = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def running(self) -> list[Turn]:
        """The turns that are kept here."""
        return list(self._turns.values())

    def join(self, turn: Turn) -> None:
        """Keep what this turn says from now on."""
        self._turns[turn.id] = turn
        self._has_work.set()

    async def leave(self, turn: Turn) -> None:
        """Keep no more of it: from here on, whoever ends it stores the rest."""
        async with self._writing:
            self._turns.pop(turn.id, None)
            if not self._turns:
                self._has_work.clear()

    async def room(self, turn: Turn) -> None:
        """Wait while too much of a turn is not kept, so that the number of no event is ever given twice, and what is lost stays small.

        Raises:
            Unavailable: nothing can be kept for longer than a provider may be silent (code ``chat.not-kept``).
        """
        log = turn.log
        if log.unkept_bytes >= MANY_BYTES or log.last - log.kept >= MAX_AHEAD - 10:
            self._is_hurried.set()
        if log.last - log.kept < MAX_AHEAD - 10:
            return
        try:
            async with asyncio.timeout(self._ctx.config.idle_seconds):
                while log.last - log.kept >= MAX_AHEAD - 10:
                    await self._kept.wait()
        except TimeoutError as error:
            raise Unavailable("What is generated cannot be kept now.", code="chat.not-kept", hint="Continue in a moment.", retry_after=5) from error

    async def run(self) -> None:
        """Keep on, until cancelled."""
        while True:
            await self._has_work.wait()
            try:
                async with asyncio.timeout(SECONDS):
                    await self._is_hurried.wait()
            except TimeoutError:
                pass
            self._is_hurried.clear()
            try:
                await self._keep()
            except Exception:
                self._ctx.log.exception("chat.turns.not-kept", extra={"turns": len(self._turns)})
                await asyncio.sleep(SECONDS)

    async def _keep(self) -> None:
        async with self._writing:
            slices = [_Slice(turn, turn.log.since(turn.log.kept)) for turn in self._turns.values()]
            new = [one for one in slices if one.events]
            moment, now = self._ctx.clock.monotonic(), self._ctx.clock.now()
            is_due = moment - self._renewed >= self._lease / 3
            if not new and not is_due and self._ctx.db.dialect == "sqlite":
                return  # no other process could have left word
            ids = list(self._turns)

            def unit(session: Session) -> dict[str, bool]:
                own = turn_rows.own_turns(session, ids, self._runner)
                if is_due:
                    turn_rows.renew(session, list(own), turn_rows.lease_until(now, self._lease))
                for one in new:
                    if one.turn.id in own:
                        turn_rows.add_slice(session, self._ctx.vault, one.turn.id, one.turn.subject, one.events, now)
                return own

            database = self._ctx.db.as_system()
            own = await (database.write(unit) if new or is_due else database.read(unit))
            if is_due:
                self._renewed = moment
            for one in new:
                one.turn.log.has_kept(one.events[-1].id)
            for one in slices:
                if one.turn.id not in own:
                    one.turn.end(EndState.CUT, "the turn is not this process's any more", is_interrupted=True)
                elif own[one.turn.id]:
                    one.turn.end(EndState.CANCELLED, "cancelled")
            kept, self._kept = self._kept, asyncio.Event()
            kept.set()
