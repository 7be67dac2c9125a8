"""The clock of this process: sleeps until a schedule is due, and fires it unless another process was faster."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from luminai.contracts.context import Clock
from luminai.data.database import HubDatabase
from luminai.host.schedule_firing import BATCH, Firing, next_moment

if TYPE_CHECKING:
    from luminai.host.generation import Generation

_log = logging.getLogger("luminai.schedules")
POLL_SECONDS: Final = 5.0
"""Longest sleep: another process may have added or changed a schedule."""
_SHORTEST: Final = 0.001
_HELD_SECONDS: Final = 0.05


class ScheduleClock:
    """One in a process.

    Args:
        generation: Returns the serving generation; schedules of plugins that are not in it wait.
        fired: Called after each transaction that put jobs.
    """

    def __init__(self, database: HubDatabase, clock: Clock, firing: Firing, generation: Callable[[], Generation], fired: Callable[[], None]) -> None:
        self._db = database
        self._clock = clock
        self._firing = firing
        self._generation = generation
        self._fired = fired
        self._woken = asyncio.Event()
        self._turning = asyncio.Lock()

    def wake(self) -> None:
        """Look again: a schedule was changed, or another generation serves."""
        self._woken.set()

    async def run(self) -> None:
        """Fire what is due until cancelled."""
        while True:
            self._woken.clear()
            until = POLL_SECONDS
            try:
                until = await self.settle()
            except Exception:  # noqa: BLE001 - one bad turn must not end the clock
                _log.exception("schedules.turn.failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(_SHORTEST, min(until, POLL_SECONDS))):
                    await self._woken.wait()

    async def next_moment(self) -> datetime | None:
        """Return when the next schedule is due; None when none is."""
        return await self._db.read(lambda session: next_moment(session, self._served()))

    async def settle(self) -> float:
        """Fire all that is due now, and return the seconds until there is more, infinite where there is nothing."""
        async with self._turning:
            while True:
                moment = await self.next_moment()
                wait = float("inf") if moment is None else (moment - self._clock.now()).total_seconds()
                if wait > 0:
                    return wait
                while count := await self._db.write(lambda session: self._firing.fire(session, self._served(), self._clock.now())):
                    self._fired()
                    if count < BATCH:
                        break
                else:
                    return _HELD_SECONDS  # others hold what is due: they fire it

    def _served(self) -> list[str]:
        return sorted(loaded.id for loaded in self._generation().plugins)
