"""Pauses: jobs that are put, and not begun until somebody resumes them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import NotFound
from luminai.contracts.identity import Actor
from luminai.data.prepared import Prepared
from luminai.data.tables_jobs import job_pauses

EVERYTHING: Final = "*"
MAX_PAUSES: Final = 500
_PAUSED: Final = Prepared(select(job_pauses.c.target).limit(MAX_PAUSES))


class Pause(Struct, frozen=True, kw_only=True):
    """``target`` is ``*`` for all jobs, a plugin's id, or an action's full name."""

    target: str
    reason: str
    by: str
    since: datetime


class JobPauses:
    """What is paused; every process follows within seconds, what runs goes on."""

    def __init__(self, database: Database, clock: Clock, audit: AuditLog) -> None:
        self._db = database
        self._clock = clock
        self._audit = audit

    async def list(self) -> list[Pause]:
        """Return what is paused, by name."""
        query = select(job_pauses).order_by(job_pauses.c.target).limit(MAX_PAUSES)
        return await self._db.read(lambda session: [Pause(**row._asdict()) for row in session.execute(query)])

    async def pause(self, target: str, reason: str, *, by: Actor) -> Pause:
        """Pause; what is paused already gets the new reason."""
        found = Pause(target=target, reason=reason, by=by.id, since=self._clock.now())

        def unit(session: Session) -> Pause:
            session.execute(delete(job_pauses).where(job_pauses.c.target == target))
            session.execute(insert(job_pauses).values(target=target, reason=reason, by=by.id, since=found.since))
            self._audit.record(session, by, AuditEntry(action="job.pause", object=target, detail={"reason": reason}))
            return found

        return await self._db.write(unit)

    async def resume(self, target: str, *, by: Actor) -> None:
        """Take a pause back.

        Raises:
            NotFound: it is not paused (code ``not-paused``).
        """

        def unit(session: Session) -> None:
            gone = session.execute(delete(job_pauses).where(job_pauses.c.target == target).returning(job_pauses.c.target)).first()
            if gone is None:
                raise NotFound(f"{target} is not paused.", code="not-paused", hint="`luminai jobs paused` shows what is.")
            self._audit.record(session, by, AuditEntry(action="job.resume", object=target))

        await self._db.write(unit)


def paused(session: Session) -> set[str]:
    """Return what is paused."""
    return {row.target for row in _PAUSED.rows(session)}
