"""One attempt of one job: the fence, the plugin's code, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Isolation
from luminai.contracts.errors import Conflict, Forbidden, HubError
from luminai.contracts.identity import Actor
from luminai.contracts.vault import HUB_SUBJECT
from luminai.data.after_commit import after_commit
from luminai.data.causes import Cause, cause
from luminai.data.database import HubDatabase
from luminai.data.owners import NOBODY, Acting, acting
from luminai.data.tables_jobs import jobs
from luminai.data.vault.sealing import SubjectVault
from luminai.host.actions import DeclaredAction
from luminai.host.calls import PluginRaised, call_within
from luminai.host.job_rooms import JobProgress, JobState
from luminai.work.job_leases import Claimed, Ended, Ran, finish, give_back
from luminai.work.jobs import LONGEST_PAUSE
from luminai.work.processes import ComputeFailed, ProcessPool

_log = logging.getLogger("luminai.jobs")
MAX_OUTPUT: Final = 64 * 1024
TellJob = Callable[[str, JobProgress | JobState], None]
PROGRESS_SECONDS: Final = 1.0
_JITTER: Final = 0.1


class Handle:
    """Implements ``Job``."""

    def __init__(
        self, database: HubDatabase, vault: SubjectVault, clock: Clock, declared: DeclaredAction, job: Claimed, ran: Ran, *, tell: TellJob
    ) -> None:
        self._tell = tell
        self._db = database
        self._vault = vault
        self._clock = clock
        self._declared = declared
        self._job = job
        self._ran = ran
        self._told_at: float | None = None
        self.id = job.id
        self.attempt = job.tries
        self.trigger = job.trigger
        self.actor = Actor(job.id, job.subject, frozenset({declared.action.scope}), declared.name, organisation=job.organisation)
        self.is_finished = False
        """Whether the plugin itself marked the job as done, in a unit that may still be rolled back."""
        self.is_settled = False
        """Whether such a unit was committed for sure."""

    def finish(self, session: Session, output: Struct, /) -> None:
        """Mark the job as done in the plugin's own unit."""
        finish(session, self._vault, self._job, self.ended(output), self._ran, self._clock.now())
        self.is_finished = True
        after_commit(session, self._committed)

    def ended(self, output: Any) -> Ended:
        """Return the good end of an attempt.

        Raises:
            Conflict: the output is not what the action declares, or too large (code ``bad-action-output``).
        """
        kind = self._declared.action.output
        if not isinstance(output, kind):
            raise Conflict(f"{self._declared.name} returned {type(output).__name__}, not {kind.__name__}.", code="bad-action-output")
        raw = msgspec.json.encode(output)
        if len(raw) > MAX_OUTPUT:
            raise Conflict(f"{self._declared.name} returned more than {MAX_OUTPUT // 1024} KiB.", code="bad-action-output")
        return Ended(outcome="succeeded", output=raw)

    async def progress(self, done: int, total: int, note: str = "") -> None:
        """Keep how far it is, at most once a second."""
        now = self._clock.monotonic()
        if self._told_at is not None and now - self._told_at < PROGRESS_SECONDS and done < total:
            return
        self._told_at = now
        said = JobProgress(_bounded(done), _bounded(total), note[:200])
        mine = (jobs.c.id == self.id) & (jobs.c.token == self._job.token)

        def unit(session: Session) -> None:
            session.execute(update(jobs).where(mine).values(done=said.done, total=said.total, note=said.note))

        await self._db.write(unit)
        self._tell(self.id, said)

    def _committed(self, is_sure: bool) -> None:
        self.is_settled = is_sure


class Runner:
    """Runs one attempt of a claimed job.

    Args:
        guard: Awaited with the action and the job's actor before the plugin's code; raises to deny.
        processes: Where what needs a core for itself is computed.
        tell: Told a job's progress.
    """

    def __init__(
        self, database: HubDatabase, vault: SubjectVault, clock: Clock, guard: Callable[[str, Any], Any], processes: ProcessPool, *, tell: TellJob
    ) -> None:
        self._tell = tell
        self._processes = processes
        self._db = database
        self._vault = vault
        self._clock = clock
        self._guard = guard
        self.code = ""
        """The error code of the attempt that was made."""
        self.is_denied = False
        """Whether a guard said no."""

    async def run(self, declared: DeclaredAction, job: Claimed, ran: Ran) -> str:
        """Make one attempt and return how it ended. A cancellation is left to the caller, who knows what it means."""
        handle = Handle(self._db, self._vault, self._clock, declared, job, ran, tell=self._tell)
        acting.set(Acting(job.subject, job.organisation) if job.subject != HUB_SUBJECT else NOBODY)
        cause.set(Cause(job.event.correlation, job.event.id) if job.event is not None else Cause(job.id, job.id))
        try:
            output = await self._attempt(declared, job, handle)
            if handle.is_settled or (handle.is_finished and await self._is_settled(job)):
                return "succeeded"
            ended = handle.ended(output)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - plugin code may raise anything
            ended = self._failed(declared, job, error)
        self.code = ended.error_code
        try:
            # who waits behind a job by its key is found by reading, and a fence does not guard that
            isolation: Isolation = "serializable" if job.is_keyed else "read-committed"
            await self._db.write(lambda session: finish(session, self._vault, job, ended, ran, self._clock.now()), isolation=isolation)
        except Conflict as lost:
            _log.warning("job.lease-lost", extra={"job": job.id, "action": declared.name, "reason": lost.code})
            return "lost"
        return "retrying" if ended.pause is not None else ended.outcome

    async def cancelled(self, job: Claimed, ran: Ran) -> None:
        """Note that a job was ended on request."""
        ended = Ended(outcome="cancelled", error_code="cancelled")
        try:
            await self._db.write(lambda session: finish(session, self._vault, job, ended, ran, self._clock.now()))
        except Conflict:
            _log.warning("job.lease-lost", extra={"job": job.id})

    async def give_back(self, job: Claimed) -> None:
        """Let another worker have it."""
        await self._db.write(lambda session: give_back(session, job, self._clock.now()))

    async def _is_settled(self, job: Claimed) -> bool:
        """Tell whether the unit in which the plugin marked its job was committed."""
        query = select(jobs.c.token).where(jobs.c.id == job.id)
        return await self._db.read(lambda session: session.execute(query).scalar() != job.token)

    async def _attempt(self, declared: DeclaredAction, job: Claimed, handle: Handle) -> Any:
        given = _given(declared, job)
        try:
            await self._guard("guard.action", {"action": declared.name, "actor": handle.actor, "input": given})
        except Forbidden:
            self.is_denied = True
            raise
        work: Any = declared.action.run(handle, given) if declared.computation is None else self._computed(declared, handle, given)
        return await call_within(declared.action.timeout, work)

    async def _computed(self, declared: DeclaredAction, handle: Handle, given: Any) -> Any:
        result = await declared.computation.of(given, self._processes) if declared.computation is not None else None
        return await declared.action.run(handle, given, result)

    def _failed(self, declared: DeclaredAction, job: Claimed, error: Exception) -> Ended:
        own = isinstance(error, HubError)
        # only the hub's own errors are written for people to read; the text of another may hold anything
        said = (
            f"{error.detail}"
            if isinstance(error, HubError)
            else str(error)
            if isinstance(error, PluginRaised | ComputeFailed)
            else type(error).__name__
        )
        code = error.code if isinstance(error, HubError) else "job-failed"
        is_final = isinstance(error, HubError) and error.status < 500 and error.code != "rate-limited"
        pause = None if is_final or job.tries > declared.action.retries else backoff(declared.action.backoff, job.tries)
        if pause is not None and isinstance(error, HubError) and error.retry_after:
            pause = max(pause, min(timedelta(seconds=error.retry_after), LONGEST_PAUSE))
        extra = {"plugin": declared.owner, "action": declared.name, "job": job.id, "attempt": job.tries, "code": code, "again": pause is not None}
        _log.warning("job.failed", exc_info=None if own else error, extra=extra)
        return Ended(outcome="dead", error_code=code, error=said, pause=pause)


def _given(declared: DeclaredAction, job: Claimed) -> Any:
    """Return what the attempt works on: its input, or the event that it delivers."""
    if job.is_delivery:
        if job.event is None:
            raise Conflict("The log no longer holds its event.", code="event-gone", hint="It is older than [events] keeps, or its person is erased.")
        return job.event.told()
    if job.input is None:
        raise Conflict("Its input cannot be read any more.", code="job-input-gone", hint="The person whose it was is erased.")
    return declared.decode(job.input)


def backoff(first: float, tries: int) -> timedelta:
    """Return the pause after a failed attempt (1 is the first): ``first`` seconds, doubling, at most an hour, give or take a tenth."""
    seconds = min(first * 2 ** (tries - 1), LONGEST_PAUSE.total_seconds())
    return timedelta(seconds=seconds * random.uniform(1 - _JITTER, 1 + _JITTER))


def _bounded(number: int) -> int:
    return max(0, min(int(number), 2**31 - 1))
