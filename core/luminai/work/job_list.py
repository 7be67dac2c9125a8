"""Jobs as people see them, and what they can do about one; what operators do is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, HubError, NotFound
from luminai.contracts.identity import Actor
from luminai.contracts.vault import Vault
from luminai.data.tables_jobs import job_attempts, jobs
from luminai.work.event_jobs import event_of
from luminai.work.jobs import LIVE, OPEN, SETTLED, URGENT, place, settle

REQUEUED: Final = ("dead", "cancelled", "expired")
MAX_HISTORY: Final = 100


class JobInfo(Struct, frozen=True, kw_only=True):
    """A job without its input and output.

    Attributes:
        action: The full name.
        subject: In whose name it works: a person's id, or ``hub``.
        state: scheduled, waiting (behind another of its key), queued, running, retrying, parked (its plugin does not run, as ``error`` says),
            succeeded, dead, cancelled, expired, skipped, discarded.
        done: How far it is, of ``total``; both 0 while it says nothing.
    """

    id: str
    action: str
    subject: str
    trigger: str
    state: str
    priority: int
    run_at: datetime
    expires_at: datetime | None
    attempts: int
    crashes: int
    cancelling: bool
    done: int
    total: int
    note: str
    error_code: str
    error: str
    created_at: datetime
    settled_at: datetime | None


class JobDetail(JobInfo, frozen=True, kw_only=True):
    """A job with its input and output as plain values; None where there is none, or where it cannot be read any more."""

    input: Any
    output: Any


class AttemptInfo(Struct, frozen=True, kw_only=True):
    """What became of an attempt, and which version of the plugin in which generation made it."""

    attempt: int
    outcome: str
    version: str
    generation: int
    worker: str
    began_at: datetime
    milliseconds: int
    error_code: str
    error: str


class OtherInput(Struct, frozen=True):
    """What a job is given instead of its input: checked JSON, and the key of its concurrency rule that follows from it."""

    raw: bytes
    same: str | None


class JobList:
    """The ledger as people use it. With ``subject`` only that one's jobs are there."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, audit: AuditLog) -> None:
        self._db = database
        self._vault = vault
        self._clock = clock
        self._audit = audit

    async def page(self, *, subject: str | None, action: str, state: str, limit: int, before: str | None) -> list[JobInfo]:
        """Return jobs, newest first; an empty ``action`` or ``state`` stands for all, ``action`` may be a plugin's id."""
        query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        plugin, _, name = action.partition(".")
        for column, value in ((jobs.c.plugin, plugin), (jobs.c.action, name), (jobs.c.state, state)):
            query = query.where(column == value) if value else query
        query = query.where(jobs.c.subject == subject) if subject is not None else query
        query = query.where(jobs.c.id < before) if before else query
        return await self._db.read(lambda session: [_info(row) for row in session.execute(query)])

    async def find(self, job_id: str, *, subject: str | None) -> JobDetail:
        """Return one with its input and output.

        Raises:
            NotFound: there is none, or it is somebody else's.
        """
        return await self._db.read(lambda session: self._detail(session, _row(session, job_id, subject)))

    async def history(self, job_id: str, *, subject: str | None) -> list[AttemptInfo]:
        """Return the last 100 attempts, newest first. Raises as ``find`` does."""
        query = select(job_attempts).where(job_attempts.c.job == job_id).order_by(job_attempts.c.attempt.desc()).limit(MAX_HISTORY)

        def unit(session: Session) -> list[AttemptInfo]:
            _row(session, job_id, subject)
            return [AttemptInfo(**{name: getattr(row, name) for name in AttemptInfo.__struct_fields__}) for row in session.execute(query)]

        return await self._db.read(unit)

    async def cancel(self, job_id: str, *, subject: str | None, by: Actor) -> JobInfo:
        """End a job: at once where nobody runs it, else as soon as its worker hears of it.

        Raises:
            NotFound: as for ``find``.
            Conflict: it has ended (code ``job-settled``).
        """

        def change(session: Session, row: Any) -> None:
            if row.state in SETTLED:
                raise Conflict(f"The job is {row.state}.", code="job-settled", hint="There is nothing left to cancel.")
            if row.state == "running":
                session.execute(update(jobs).where(jobs.c.id == job_id).values(wants_cancel=True))
            else:
                settle(session, job_id, "cancelled", self._clock.now(), error_code="cancelled")

        return await self._change(job_id, subject, by, "job.cancel", change)

    async def retry(self, job_id: str, *, by: Actor, other: OtherInput | None = None) -> JobInfo:
        """Have a job that ended badly run again, with all its attempts before it, and with another input if one is given.

        Raises:
            NotFound: there is none.
            Conflict: it did not end badly (code ``job-not-dead``), its input is gone (``job-input-gone``), or another of its key is under way
                (``job-key-busy``).
        """

        def change(session: Session, row: Any) -> None:
            if row.state not in REQUEUED:
                raise Conflict(f"The job is {row.state}.", code="job-not-dead", hint="Only jobs that are dead, cancelled or expired run again.")
            if other is None and event_of(row.trigger) is None and self._opened(session, row, "input") is None:
                raise Conflict("Its input cannot be read any more.", code="job-input-gone", hint="The person whose it was is erased.")
            same = row.same if other is None else other.same
            if same is not None and _is_busy(session, row, same):
                raise Conflict("Another job of its key is under way.", code="job-key-busy", hint="Wait for it, or cancel it.")
            values = {
                "state": "queued",
                "told_until": None,
                "attempts_before": row.attempts,
                "crashes": 0,
                "wants_cancel": False,
                "run_at": self._clock.now(),
            }
            values |= {"settled_at": None, "expires_at": None, "error": "", "error_code": "", "done": 0, "total": 0, "note": ""}
            if other is not None:
                values["same"] = other.same
                values["input"] = self._vault.seal(session, subject=row.subject, place=place(job_id, "input"), value=other.raw)
            session.execute(update(jobs).where(jobs.c.id == job_id).values(**values))

        return await self._change(job_id, None, by, "job.retry" if other is None else "job.edit", change)

    async def discard(self, job_id: str, *, by: Actor) -> JobInfo:
        """Give a job up that ended badly; its input is deleted. Raises as ``retry`` does."""

        def change(session: Session, row: Any) -> None:
            if row.state not in REQUEUED:
                raise Conflict(f"The job is {row.state}.", code="job-not-dead", hint="Cancel it first.")
            values = {"state": "discarded", "input": None, "settled_at": self._clock.now()}
            session.execute(update(jobs).where(jobs.c.id == job_id).values(**values))

        return await self._change(job_id, None, by, "job.discard", change)

    async def _change(self, job_id: str, subject: str | None, by: Actor, action: str, change: Callable[[Session, Any], None]) -> JobInfo:
        def unit(session: Session) -> JobInfo:
            row = _row(session, job_id, subject)
            change(session, row)
            detail = {"action": f"{row.plugin}.{row.action}", "was": row.state}
            self._audit.record(session, by, AuditEntry(action=action, object=job_id, detail=detail))
            return _info(_row(session, job_id, subject))

        return await self._db.write(unit)

    def _detail(self, session: Session, row: Any) -> JobDetail:
        parts = {name: self._opened(session, row, name) for name in ("input", "output")}
        return JobDetail(**{name: getattr(_info(row), name) for name in JobInfo.__struct_fields__}, **parts)

    def _opened(self, session: Session, row: Any, column: str) -> Any:
        sealed = getattr(row, column)
        if sealed is None:
            return None
        try:
            return msgspec.json.decode(self._vault.open(session, subject=row.subject, place=place(row.id, column), sealed=bytes(sealed)))
        except HubError:
            return None


def is_open(state: str) -> bool:
    """Tell whether a job may still end some way or other."""
    return state in OPEN


def _info(row: Any) -> JobInfo:
    same = ("id", "subject", "trigger", "state", "run_at", "expires_at", "attempts", "crashes", "done", "total", "note", "error_code")
    return JobInfo(
        **{name: getattr(row, name) for name in (*same, "error", "created_at", "settled_at")},
        action=f"{row.plugin}.{row.action}",
        priority=URGENT - row.rank,
        cancelling=row.wants_cancel and row.state == "running",
    )


def _row(session: Session, job_id: str, subject: str | None) -> Any:
    query = select(jobs).where(jobs.c.id == job_id)
    row = session.execute(query if subject is None else query.where(jobs.c.subject == subject)).first()
    if row is None:
        raise NotFound(f"There is no job {job_id}.", code="job-not-found", hint="`luminai jobs list` shows them.")
    return row


def _is_busy(session: Session, row: Any, same: str) -> bool:
    of_key = (jobs.c.plugin == row.plugin) & (jobs.c.action == row.action) & (jobs.c.same == same)
    return session.execute(select(jobs.c.id).where(of_key, jobs.c.state.in_(LIVE)).limit(1)).first() is not None
