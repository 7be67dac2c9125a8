"""Takes due jobs from the ledger, as far as this process has room for them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.orm import Session

from luminai.config.settings import JobSettings
from luminai.contracts.context import Clock
from luminai.contracts.engines import DueJob
from luminai.data.database import HubDatabase
from luminai.data.vault.sealing import SubjectVault
from luminai.host.job_attempts import Attempts
from luminai.host.job_room import Room
from luminai.work import jobs as ledger
from luminai.work.job_heads import TOLD_MOST, heads, named, tell, told
from luminai.work.job_leases import Claimed, claim, claim_alone, expire, running_everywhere
from luminai.work.job_pauses import EVERYTHING
from luminai.work.job_rates import allowances, use

if TYPE_CHECKING:
    from luminai.host.generation import Generation

_log = logging.getLogger("luminai.jobs")
HELD_SECONDS: Final = 1.0
"""So long a job that an engine brings waits here for room; then workers are told of it anew."""
PUT_DOWN: Final = timedelta(seconds=1)
FIRST_REST: Final = 0.01
_Find = Callable[[Session, Room], Sequence[Any]]


class JobWorker:
    """One in a process; implements ``JobWork``.

    Args:
        generation: Returns the serving generation.

    Attributes:
        held: What is paused, as of the last look.
        is_narrow: Whether, when jobs were last looked for, some plugin or action had no room left: what waits may begin once one of its own ends.
        rest: Seconds from the last claim until a limit of ``[jobs] rates`` that is used up lets another job begin; infinite where none is.
    """

    def __init__(
        self,
        database: HubDatabase,
        vault: SubjectVault,
        clock: Clock,
        generation: Callable[[], Generation],
        settings: JobSettings,
        attempts: Attempts,
    ) -> None:
        self._db = database
        self._vault = vault
        self._clock = clock
        self._generation = generation
        self._settings = settings
        self._attempts = attempts
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._claiming = asyncio.Lock()
        self._brought: dict[str, asyncio.Future[None]] = {}
        self._taking: asyncio.Task[None] | None = None
        self._is_room_new = False
        self._again: asyncio.TimerHandle | None = None
        self.held: set[str] = set()
        self.is_narrow = False
        self.rest = inf

    @property
    def slots(self) -> int:
        """How many jobs more may run."""
        return 0 if EVERYTHING in self.held else max(0, self._settings.slots - len(self._attempts))

    @property
    def at_once(self) -> int:
        """As many as may run here at the same time."""
        return self._settings.slots

    async def take(self) -> int:
        """Begin as many due jobs as there is room for; return how many."""

        def find(session: Session, room: Room) -> Sequence[Any]:
            return heads(session, most=self.slots, busy=self.held | room.busy(), full=self.held | room.full())

        async with self._claiming:
            return len(await self._claim(find))

    @asynccontextmanager
    async def told(self, most: int, /) -> AsyncIterator[Sequence[DueJob]]:
        """Pick due jobs of which no worker was told; see ``JobWork``."""
        now, room = self._clock.now(), self._room()

        def unit(session: Session) -> list[DueJob]:
            waiting = told(session, now)
            self.is_narrow = bool(room.busy() or room.full())
            full = self.held | room.full() | {name for name, count in waiting.items() if count >= TOLD_MOST}
            found = []
            for row in heads(session, most=most, busy=self.held | room.busy(), full=full, untold_at=now):
                name = f"{row.plugin}.{row.action}"
                waiting[name] += 1
                if waiting[name] <= TOLD_MOST:
                    found.append(DueJob(id=row.id, action=name, priority=ledger.URGENT - row.rank))
            tell(session, [job.id for job in found], now + self._lease / 2)
            return found

        async with self._claiming:  # it would only meet the claims
            picked = await self._db.write(unit, isolation="read-committed", durable=False)  # what a server forgets in a crash is told anew
        try:
            yield picked
        except BaseException:
            await self._db.write(lambda session: tell(session, [job.id for job in picked], None), isolation="read-committed")
            raise

    async def run(self, job_id: str, /) -> None:
        """Begin a job that an engine brings; see ``JobWork``."""
        found = self._brought.get(job_id)
        if found is None:
            found = self._brought[job_id] = asyncio.get_running_loop().create_future()
        self._take_soon()
        try:
            async with asyncio.timeout(HELD_SECONDS):
                await asyncio.shield(found)
        except TimeoutError:
            if self._brought.pop(job_id, None) is not None:
                until = self._clock.now() + PUT_DOWN  # an engine that tells a job once at a time has to be done with this message first
                await self._db.write(lambda session: tell(session, [job_id], until), isolation="read-committed")

    @property
    def waiting(self) -> int:
        """How many that engines brought wait for room."""
        return len(self._brought)

    def take_brought(self) -> None:
        """Begin what engines brought, as far as there is room; many that come at once are one transaction."""
        self._is_room_new = True
        self._take_soon()

    def _take_soon(self) -> None:
        if self._brought and (self._taking is None or self._taking.done()):
            self._taking = asyncio.get_running_loop().create_task(self._take_brought(), name="luminai:jobs")

    async def _take_brought(self) -> None:
        try:
            await self._take_what_is_brought()
        finally:
            loop = asyncio.get_running_loop()
            if self._brought and self.rest < HELD_SECONDS and (self._again is None or self._again.when() <= loop.time()):
                self._again = loop.call_later(self.rest, self.take_brought)

    async def _take_what_is_brought(self) -> None:
        async with self._claiming:
            tried: set[str] = set()
            while self.slots:
                if self._is_room_new:  # those that found none are looked at again, also when it came while they were
                    self._is_room_new = False
                    tried.clear()
                ids = [job_id for job_id in self._brought if job_id not in tried][: self.slots]
                if not ids:
                    return
                tried.update(ids)
                try:
                    waiting = await self._take_named(ids)
                except Exception:  # noqa: BLE001 - whoever waits for it gives up after a while
                    _log.exception("jobs.take.failed")
                    return
                for job_id in set(ids) - waiting:
                    future = self._brought.pop(job_id, None)
                    if future is not None and not future.done():
                        future.set_result(None)

    async def _take_named(self, ids: Collection[str]) -> set[str]:
        """Begin those of ``ids`` that are due; return those that find no room."""
        waiting: set[str] = set()

        def find(session: Session, room: Room) -> Sequence[Any]:
            busy, full = self.held | room.busy(), self.held | room.full()
            rows = named(session, ids)
            waiting.clear()
            waiting.update(row.id for row in rows)
            return [row for row in rows if row.plugin not in busy and f"{row.plugin}.{row.action}" not in full]

        return waiting - {job.id for job in await self._claim(find)}

    async def _claim(self, find: _Find) -> list[Claimed]:
        now, everywhere, rates = self._clock.now(), self._settings.everywhere, self._settings.rates
        waits: list[float] = []

        def unit(session: Session) -> tuple[list[Claimed], list[str]]:
            if everywhere or rates:
                claim_alone(session)
            allowed = allowances(session, rates, now) if rates else {}
            waits[:] = [one.wait for one in allowed.values() if one.wait]
            starts = {target: one.left for target, one in allowed.items()}
            room = self._room(running_everywhere(session) if everywhere else None, starts)
            found = find(session, room)
            late = [row.id for row in found if row.expires_at is not None and row.expires_at <= now]
            rows = [row for row in found if row.id not in late]
            taken = claim(session, self._vault, worker=self._attempts.name, rows=rows, admits=room.admits, lease=self._lease, now=now)
            self.is_narrow = bool(room.busy() or room.full())
            if rates:
                use(session, rates, Counter(f"{job.plugin}.{job.action}" for job in taken), now)
            return taken, late

        # what it decides on it has locked: nobody else can claim these rows before they carry its fence
        claimed, late = await self._db.write(unit, isolation="read-committed")
        self.rest = max(FIRST_REST, min(waits, default=inf))
        if late:
            await self._db.write(lambda session: expire(session, late, now))
        for job in claimed:
            await self._attempts.begin(job)
        return claimed

    def _room(self, everywhere: Counter[str] | None = None, starts: Mapping[str, int] | None = None) -> Room:
        return Room(self._attempts.running_of, self._settings, self._generation().wiring.actions, everywhere or Counter(), starts or {})
