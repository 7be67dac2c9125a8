"""The attempts that run in this process: begun with the plugins of the serving generation, kept alive, ended, told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy.orm import Session

import luminai
from luminai.contracts.context import Clock
from luminai.data.database import HubDatabase
from luminai.data.vault.sealing import SubjectVault
from luminai.host.actions import DeclaredAction
from luminai.host.job_rooms import JobState
from luminai.host.job_run import Runner, TellJob
from luminai.telemetry.figures import Figures
from luminai.telemetry.spans import current, read_header
from luminai.work import job_leases as leases
from luminai.work.job_leases import Claimed, Ran
from luminai.work.processes import ProcessPool

if TYPE_CHECKING:
    from luminai.host.generation import Generation

_log = logging.getLogger("luminai.jobs")
HUB: Final = "hub"
"""Owner of the hub's own jobs."""


class Attempts:
    """One in a process.

    Args:
        generation: Returns the serving generation.
        name: What the ledger knows this process by.
        lease: For how long a job is this worker's without another beat.
        figures: Count the attempts.
        processes: Where what needs a core for itself is computed.
        note: Told how a job ended, for the audit log.

    Attributes:
        ended: Called when there is room again.
        running_of: How many run of each action, by full name.
        ends: How many have ended.
    """

    def __init__(
        self,
        database: HubDatabase,
        vault: SubjectVault,
        clock: Clock,
        generation: Callable[[], Generation],
        *,
        name: str,
        lease: timedelta,
        figures: Figures,
        processes: ProcessPool,
        tell: TellJob,
        note: Callable[[Claimed, str, Runner], None],
    ) -> None:
        self._note = note
        self._db = database
        self._vault = vault
        self._clock = clock
        self._generation = generation
        self.name = name
        self._lease = lease
        self._figures = figures
        self._processes = processes
        self._say = tell
        self.ended: Callable[[], None] = lambda: None
        self._running: dict[str, tuple[Claimed, asyncio.Task[None]]] = {}
        self._to_cancel: set[str] = set()
        self.running_of: Counter[str] = Counter()
        self.ends = 0

    def __len__(self) -> int:
        return len(self._running)

    async def one_ended(self) -> None:
        """Wait until one of them has ended; returns at once if none runs."""
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()], return_when=asyncio.FIRST_COMPLETED)

    async def beat(self) -> None:
        """Keep their leases, and end those that are not this worker's any more."""
        if self._running:
            now, ids = self._clock.now(), list(self._running)
            held = await self._db.write(lambda session: leases.beat(session, self.name, ids, self._lease, now), isolation="read-committed")
            for job, task in [self._running[one] for one in ids if one in self._running]:
                if (job.id, job.token) not in held:
                    task.cancel()  # somebody else has it, or it was settled: what it does now would be for nothing

    def unwanted(self, session: Session) -> list[str]:
        """Return the ids of those that are to be cancelled."""
        return leases.unwanted(session, self.name) if self._running else []

    def cancel(self, ids: Sequence[str]) -> None:
        """End those of them that run."""
        for job_id in ids:
            found = self._running.get(job_id)
            if found is not None and job_id not in self._to_cancel:
                self._to_cancel.add(job_id)
                found[1].cancel()

    async def end_own(self) -> None:
        """End what the hub itself does as jobs; another process, or the next start, takes it up."""
        own = [task for job, task in self._running.values() if job.plugin == HUB]
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)

    async def begin(self, job: Claimed) -> None:
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
        self.running_of[declared.name] += 1
        version = context.version if context is not None else luminai.__version__
        ran = Ran(version=version, generation=generation.number, worker=self.name, began_at=self._clock.now())
        runner = Runner(self._db, self._vault, self._clock, generation.wiring.decisions.guard, self._processes, tell=self._say)
        work, name = self._attempt(runner, declared, job, ran), f"job {declared.action.name}"
        place = current.set(read_header(job.trace.encode()) if job.trace is not None else None)  # its span is one of the trace of whoever put it
        task = asyncio.ensure_future(context.spawn(work, name=name) if context is not None else asyncio.create_task(work, name=f"{HUB}:{name}"))
        current.reset(place)
        self._running[job.id] = (job, task)

        def end(_: object) -> None:
            self._running.pop(job.id, None)
            self._to_cancel.discard(job.id)
            self.running_of[declared.name] -= 1
            self.ends += 1
            table.leave()
            self.ended()

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
            self._note(job, outcome, runner)
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
        if (place := current.get()) is not None:
            extra["trace"] = place.trace
        _log.info("job", extra=extra)
