"""Looks after the ledger, and has the engine bring what is due to workers: one loop in each process that runs jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, Final

from sqlalchemy.orm import Session

from luminai.config.settings import JobSettings
from luminai.contracts.context import Clock
from luminai.contracts.runtime import HealthCheck
from luminai.data.database import HubDatabase
from luminai.host.job_attempts import Attempts
from luminai.host.job_serving import EngineServing
from luminai.host.job_worker import JobWorker
from luminai.work import job_leases as leases
from luminai.work import jobs as ledger
from luminai.work.job_pauses import EVERYTHING, paused

if TYPE_CHECKING:
    from luminai.host.generation import Generation

_log = logging.getLogger("luminai.jobs")
POLL_SECONDS: Final = 5.0
"""Longest pause: another process may have put a job."""
FIRST_LOOK: Final = 0.02
"""A hint may come a moment before its commit, so the ledger is looked at again soon, and then at growing distances."""
LONGEST_BEAT: Final = 5.0
LOOK_SECONDS: Final = 0.1
"""While jobs flow, so often it is looked what is paused and what is to be cancelled."""
SURE_SECONDS: Final = 1.0
"""So long after a look what is put here is begun without another."""
SWEEP_SECONDS: Final = 3600.0


class JobDispatch:
    """One in a process.

    Args:
        generation: Returns the serving generation.
        is_alone: No other process uses the database, so a job that is found running at the start belongs to nobody.
        put: Called when a job was put in this process.
    """

    def __init__(
        self,
        database: HubDatabase,
        clock: Clock,
        generation: Callable[[], Generation],
        settings: JobSettings,
        attempts: Attempts,
        worker: JobWorker,
        *,
        is_alone: bool,
        put: Callable[[], None] | None = None,
    ) -> None:
        self._db = database
        self._clock = clock
        self._generation = generation
        self._attempts = attempts
        self._worker = worker
        self._is_alone = is_alone
        self._put = put
        self._serving = EngineServing(settings.engine, worker)
        self._woken = asyncio.Event()
        self._is_put = False
        self._must_look = False
        self._turning = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._beat_seconds = min(LONGEST_BEAT, settings.lease_seconds / 4)
        self._is_more = False
        self._looked = -inf
        self._due = -inf
        self._beaten = 0.0
        self._swept: float | None = None
        self._parked_for = 0
        attempts.ended = self._ended

    def wake(self) -> None:
        """A job was put: begin it now, and let the other processes look. May be called in any thread."""
        self._is_put = True
        self._go_on()
        if self._put is not None:
            self._put()

    def reconsider(self) -> None:
        """What is paused, or to be cancelled, has changed: learn that before anything else begins."""
        self._is_more = False
        self._must_look = True
        self.wake()

    def look(self) -> None:
        """Another process has put a job, paused or cancelled: look at the ledger now. May be called in any thread."""
        self._must_look = True
        self._go_on()

    def _go_on(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left to wake
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop = asyncio.get_running_loop()
        pause = FIRST_LOOK
        try:
            while True:
                self._woken.clear()
                found, until = 0, POLL_SECONDS
                self._serving.follow(self._generation())
                try:
                    found, until = await self._turn(self._serving.dispatch)
                except Exception:  # noqa: BLE001 - one bad turn must not end the work
                    _log.exception("jobs.turn.failed")
                pause = FIRST_LOOK if found else pause
                try:
                    async with asyncio.timeout(min(pause, until)):
                        await self._woken.wait()
                    pause = FIRST_LOOK
                except TimeoutError:
                    pause = min(2 * pause, POLL_SECONDS)
        finally:
            await self._serving.end()

    async def settle(self) -> None:
        """Run what is due now, and wait until nothing that is due is left (for tests and one-off commands); no engine is asked."""
        self._loop = asyncio.get_running_loop()
        while True:
            was_busy, ends = bool(self._attempts), self._attempts.ends
            found, _ = await self._turn(self._worker.take)
            if self._attempts:
                await self._attempts.one_ended()
            elif not found and not was_busy and ends == self._attempts.ends:  # what held places, or is to be retried, may have ended meanwhile
                return

    async def next_moment(self) -> datetime | None:
        """Return when the next job for a later moment is due; None when none is."""
        return await self._db.read(ledger.next_moment)

    async def end_own(self) -> None:
        """End what the hub itself does as jobs; another process, or the next start, takes it up."""
        await self._attempts.end_own()

    @property
    def running(self) -> int:
        """How many jobs run in this process."""
        return len(self._attempts)

    def health_check(self) -> HealthCheck:
        """Return the check that shows an engine which is not there, or does not go on."""
        return HealthCheck(name="job-engine", check=self._serving.health)

    def _ended(self) -> None:
        if self._worker.waiting:
            self._worker.take_brought()
        else:
            self._go_on()

    async def _turn(self, begin: Callable[[], Awaitable[int]]) -> tuple[int, float]:
        """Have jobs begun that are due, as far as there is room; return how many that were, and the seconds until there is more to do."""
        async with self._turning:
            await self._keep()
            if self._worker.slots and self._is_sure() and (found := await self._begin(begin)):
                return found, self._beat_seconds
            now, self._is_more = self._clock.now(), False
            is_ready, wait = await self._look(now)
            if EVERYTHING in self._worker.held:  # what is due waits too, and would be asked for without a pause
                return 0, self._beat_seconds
            if not is_ready and wait > 0:
                return 0, min(wait, self._beat_seconds)
            if wait <= 0:
                await self._db.write(lambda session: ledger.promote(session, now))
            found = await self._begin(begin) if self._worker.slots else 0
            return found, min(self._beat_seconds, self._worker.rest)

    async def _begin(self, begin: Callable[[], Awaitable[int]]) -> int:
        room = self._worker.slots
        found = await begin()
        self._is_more = found >= room or (found > 0 and self._worker.is_narrow)  # else those were all that may begin
        return found

    def _is_sure(self) -> bool:
        """Tell whether there are jobs without a look: one was put here, or they come so fast that looking each time would cost more than it tells."""
        is_put, self._is_put = self._is_put and not self._must_look, False
        now = self._clock.monotonic()
        return (is_put or self._is_more) and now < self._due and now - self._looked < (SURE_SECONDS if is_put else LOOK_SECONDS)

    async def _look(self, now: datetime) -> tuple[bool, float]:
        """Learn what is paused and end what is to be cancelled; return whether a job waits for a worker, and the seconds until one is due."""

        def look(session: Session) -> tuple[bool, float, set[str], list[str]]:
            is_ready, moment = ledger.outlook(session)
            wait = POLL_SECONDS if moment is None else max(0.0, (moment - now).total_seconds())
            return is_ready, wait, paused(session), self._attempts.unwanted(session)

        self._looked, self._must_look = self._clock.monotonic(), False
        is_ready, wait, self._worker.held, unwanted = await self._db.read(look)
        self._due = self._looked + wait  # a job for that moment is not kept waiting by those that keep coming
        self._attempts.cancel(unwanted)
        return is_ready, wait

    async def _keep(self) -> None:
        """Beat, take jobs from those that are gone, put aside what nobody here runs, forget what is old."""
        if self._is_alone:
            self._tell_dead(await self._db.write(lambda session: leases.reclaim(session, self._lease, self._clock.now(), all_of_them=True)))
            self._is_alone = False
        generation = self._generation()
        if generation.number != self._parked_for:
            served = generation.wiring.actions.owners
            await self._db.write(lambda session: leases.park(session, served))
            self._parked_for = generation.number
        now = self._clock.monotonic()
        if now - self._beaten >= self._beat_seconds:
            self._beaten = now
            await self._attempts.beat()
            await self._take_back()
        if self._swept is None or now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            await self._db.write(lambda session: ledger.sweep(session, self._clock.now()))

    async def _take_back(self) -> None:
        """Take jobs from workers that are gone."""
        now = self._clock.now()
        if await self._db.read(lambda session: leases.is_lost(session, now)):
            self._tell_dead(await self._db.write(lambda session: leases.reclaim(session, self._lease, now)))

    def _tell_dead(self, ids: list[str]) -> None:
        for job_id in ids:
            _log.error("job.dead", extra={"job": job_id, "reason": "its worker was gone three times"})
