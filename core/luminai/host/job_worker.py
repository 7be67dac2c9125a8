"""The embedded engine: hands jobs of the ledger to the plugins of the serving generation, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy.orm import Session

import luminai
from luminai.config.settings import JobSettings
from luminai.contracts.context import Clock
from luminai.contracts.vault import Vault
from luminai.data.database import HubDatabase
from luminai.host.actions import ActionTable, DeclaredAction
from luminai.host.job_rooms import JobState
from luminai.host.job_run import Runner, TellJob
from luminai.telemetry.figures import Figures
from luminai.work import job_leases as leases
from luminai.work import jobs as ledger
from luminai.work.job_leases import Claimed, Ran
from luminai.work.job_pauses import EVERYTHING, paused
from luminai.work.processes import ProcessPool

if TYPE_CHECKING:
    from luminai.host.generation import Generation

_log = logging.getLogger("luminai.jobs")
HUB: Final = "hub"
"""Owner of the hub's own jobs."""
POLL_SECONDS: Final = 5.0
"""Longest pause: another process may have put a job."""
FIRST_LOOK: Final = 0.02
"""A job wakes the worker a moment before its commit, so it looks again soon, and then at growing distances."""
BEAT_SECONDS: Final = 5.0
SWEEP_SECONDS: Final = 3600.0


class _Room:
    """What may run beside what runs: so many jobs of a plugin, and of an action."""

    def __init__(self, running: Counter[str], settings: JobSettings, actions: ActionTable) -> None:
        self._actions = +running
        self._plugins = Counter(name.partition(".")[0] for name in running.elements())
        self._slots = settings.plugin_slots
        self._limits = {one.name: one.action.at_once for one in actions.all if one.action.at_once}
        self._computed = {one.name for one in actions.all if one.computation is not None}
        self._processes = settings.processes - sum(self._actions[name] for name in self._computed)

    def busy(self) -> set[str]:
        """Plugins without room."""
        return {plugin for plugin, count in self._plugins.items() if count >= self._slots}

    def full(self) -> set[str]:
        """Actions without room."""
        full = {name for name, limit in self._limits.items() if self._actions[name] >= limit}
        return full | self._computed if self._processes <= 0 else full  # a job must not wait for a process while its time runs

    def admits(self, plugin: str, action: str) -> bool:
        """Take a place if there is one, and tell whether there was."""
        name = f"{plugin}.{action}"
        if self._plugins[plugin] >= self._slots or self._actions[name] >= self._limits.get(name, self._slots):
            return False
        if name in self._computed:
            if self._processes <= 0:
                return False
            self._processes -= 1
        self._plugins[plugin] += 1
        self._actions[name] += 1
        return True


class JobWorker:
    """One in a process.

    Args:
        generation: Returns the serving generation.
        processes: Where what needs a core for itself is computed.
        is_alone: No other process uses the database, so a job that is found running at the start belongs to nobody.
        figures: Count the attempts.
        put: Called when a job was put in this process.
    """

    def __init__(
        self,
        database: HubDatabase,
        vault: Vault,
        clock: Clock,
        generation: Callable[[], Generation],
        settings: JobSettings,
        *,
        name: str,
        is_alone: bool,
        figures: Figures,
        processes: ProcessPool,
        tell: TellJob,
        put: Callable[[], None] | None = None,
    ) -> None:
        self._db = database
        self._vault = vault
        self._clock = clock
        self._generation = generation
        self._settings = settings
        self._name = name
        self._is_alone = is_alone
        self._figures = figures
        self._processes = processes
        self._say = tell
        self._put = put
        self._woken = asyncio.Event()
        self._turning = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[str, tuple[Claimed, asyncio.Task[None]]] = {}
        self._to_cancel: set[str] = set()
        self._running_of: Counter[str] = Counter()  # by full name of the action
        self._ends = 0
        self._beaten = 0.0
        self._swept: float | None = None
        self._parked_for = 0

    def wake(self) -> None:
        """A job was put: look now, and let the other processes look. May be called in any thread."""
        self.look()
        if self._put is not None:
            self._put()

    def look(self) -> None:
        """Look at the ledger now. May be called in any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left to wake
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop = asyncio.get_running_loop()
        pause = FIRST_LOOK
        while True:
            self._woken.clear()
            found, until = 0, POLL_SECONDS
            try:
                found, until = await self._turn()
            except Exception:  # noqa: BLE001 - one bad turn must not end the work
                _log.exception("jobs.turn.failed")
            pause = FIRST_LOOK if found else pause
            try:
                async with asyncio.timeout(min(pause, until)):
                    await self._woken.wait()
                pause = FIRST_LOOK
            except TimeoutError:
                pause = min(2 * pause, POLL_SECONDS)

    async def settle(self) -> None:
        """Run what is due now, and wait until nothing that is due is left (for tests and one-off commands)."""
        self._loop = asyncio.get_running_loop()
        while True:
            was_busy, ends = bool(self._running), self._ends
            found, _ = await self._turn()
            if self._running:
                await asyncio.wait([task for _, task in self._running.values()], return_when=asyncio.FIRST_COMPLETED)
            elif not found and not was_busy and ends == self._ends:  # what held places, or is to be retried, may have ended meanwhile
                return

    async def next_moment(self) -> datetime | None:
        """Return when the next job for a later moment is due; None when none is."""
        return await self._db.read(ledger.next_moment)

    async def end_own(self) -> None:
        """End what the hub itself does as jobs; another process, or the next start, takes it up."""
        own = [task for job, task in self._running.values() if job.plugin == HUB]
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)

    @property
    def running(self) -> int:
        """How many jobs run in this process."""
        return len(self._running)

    async def _turn(self) -> tuple[int, float]:
        """Hand out what is due, as far as there is room; return how many jobs that were, and the seconds until there is more to do."""
        async with self._turning:
            await self._keep()
            now = self._clock.now()

            def look(session: Session) -> tuple[bool, float, set[str], list[str]]:
                moment = ledger.next_moment(session)
                wait = POLL_SECONDS if moment is None else max(0.0, (moment - now).total_seconds())
                return leases.is_ready(session), wait, paused(session), leases.unwanted(session, self._name) if self._running else []

            is_ready, wait, held, unwanted = await self._db.read(look)
            for job_id in unwanted:
                self._cancel(job_id)
            room = self._settings.slots - len(self._running)
            if EVERYTHING in held or room <= 0 or (not is_ready and wait > 0):
                return 0, min(wait, BEAT_SECONDS) if room > 0 else BEAT_SECONDS

            def take(session: Session) -> list[Claimed]:
                ledger.promote(session, now)
                room_of = _Room(self._running_of, self._settings, self._generation().wiring.actions)
                busy, full = sorted(held | room_of.busy()), sorted(held | room_of.full())
                return leases.claim(session, self._vault, worker=self._name, most=room, busy=busy, full=full, admits=room_of.admits, now=now)

            claimed = await self._db.write(take)
            for job in claimed:
                await self._hand_out(job)
            return len(claimed), BEAT_SECONDS

    def _cancel(self, job_id: str) -> None:
        found = self._running.get(job_id)
        if found is not None and job_id not in self._to_cancel:
            self._to_cancel.add(job_id)
            found[1].cancel()

    async def _keep(self) -> None:
        """Beat, take jobs from those that are gone, put aside what nobody here runs, forget what is old."""
        if self._is_alone:
            self._tell_dead(await self._db.write(lambda session: leases.reclaim(session, self._clock.now(), all_of_them=True)))
            self._is_alone = False
        generation = self._generation()
        if generation.number != self._parked_for:
            served = generation.wiring.actions.owners
            await self._db.write(lambda session: leases.park(session, served))
            self._parked_for = generation.number
        now = self._clock.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            await self._beat()
        if self._swept is None or now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            await self._db.write(lambda session: ledger.sweep(session, self._clock.now()))

    async def _beat(self) -> None:
        now = self._clock.now()
        if self._running:
            tokens = await self._db.write(lambda session: leases.beat(session, self._name, now))
            for job, task in list(self._running.values()):
                if job.token not in tokens:
                    task.cancel()  # somebody else has it, or it was settled: what it does now would be for nothing
        if await self._db.read(lambda session: leases.is_lost(session, now)):
            self._tell_dead(await self._db.write(lambda session: leases.reclaim(session, now)))

    def _tell_dead(self, ids: list[str]) -> None:
        for job_id in ids:
            _log.error("job.dead", extra={"job": job_id, "reason": "its worker was gone three times"})

    async def _hand_out(self, job: Claimed) -> None:
        """Begin an attempt with whoever has the action now: the plugin may have been replaced while the job was claimed."""
        generation = self._generation()
        declared = generation.wiring.actions.known(f"{job.plugin}.{job.action}")
        loaded = generation.loaded(job.plugin)
        context = loaded.context if loaded is not None else None
        if declared is None or (context is None and job.plugin != HUB):
            await self._db.write(lambda session: leases.put_aside(session, job))
            return
        table = generation.table
        table.inflight += 1  # a swap or stop waits for it as for a request
        self._running_of[declared.name] += 1
        version = context.version if context is not None else luminai.__version__
        ran = Ran(version=version, generation=generation.number, worker=self._name, began_at=self._clock.now())
        runner = Runner(self._db, self._vault, self._clock, generation.wiring.decisions.guard, self._processes, tell=self._say)
        work, name = self._attempt(runner, declared, job, ran), f"job {declared.action.name}"
        task = asyncio.ensure_future(context.spawn(work, name=name) if context is not None else asyncio.create_task(work, name=f"{HUB}:{name}"))
        self._running[job.id] = (job, task)

        def end(_: object) -> None:
            self._running.pop(job.id, None)
            self._to_cancel.discard(job.id)
            self._running_of[declared.name] -= 1
            self._ends += 1
            table.leave()
            self.look()

        task.add_done_callback(end)

    async def _attempt(self, runner: Runner, declared: DeclaredAction, job: Claimed, ran: Ran) -> None:
        began = time.perf_counter()
        self._say(job.id, JobState("running"))
        try:
            outcome = await runner.run(declared, job, ran)
        except asyncio.CancelledError:
            if job.id not in self._to_cancel:
                await runner.give_back(job)
                raise
            await runner.cancelled(job, ran)
            outcome = "cancelled"
        if outcome != "lost":
            self._say(job.id, JobState(outcome))
        self._tell(declared, job, ran, outcome, runner.code, time.perf_counter() - began)

    def _tell(self, declared: DeclaredAction, job: Claimed, ran: Ran, outcome: str, code: str, seconds: float) -> None:
        """Count an attempt and write its one line."""
        of = (declared.owner, declared.action.name)
        waited = max(0.0, (ran.began_at - job.run_at).total_seconds())
        self._figures.jobs.observe(seconds, *of)
        self._figures.job_waits.observe(waited, *of)
        self._figures.job_ends.add(*of, outcome)
        extra = {
            "job": job.id,
            "plugin": declared.owner,
            "action": declared.name,
            "attempt": job.attempt,
            "outcome": outcome,
            "code": code,
            "ms": round(seconds * 1000, 2),
            "waited_ms": round(waited * 1000, 2),
            "trigger": job.trigger,
            "actor": job.actor,
            "subject": job.subject,
            "generation": ran.generation,
            "worker": ran.worker,
        }
        _log.info("job", extra=extra)
