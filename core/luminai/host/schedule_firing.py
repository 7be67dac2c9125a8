"""From schedules that are due to jobs: one transaction moves the schedule on and puts its jobs, so that neither happens without the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from luminai.audit.log import HUB, AuditLog
from luminai.config.settings import ScheduleSettings
from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import HubError
from luminai.contracts.identity import Actor
from luminai.data.owners import Acting
from luminai.data.tables_schedules import schedules
from luminai.data.vault.sealing import SubjectVault
from luminai.host.actions import ActionTable, new_job, require
from luminai.identity.rights import standing
from luminai.work.jobs import NewJob, put_all
from luminai.work.schedule_due import Due, delay, due, key_of
from luminai.work.triggers import read_trigger, too_frequent

_log = logging.getLogger("luminai.schedules")
BATCH: Final = 250
"""Schedules of one transaction."""
MAX_JOBS: Final = 1000
"""Jobs of one transaction, give or take those of one schedule: some may have a long time to catch up."""
_FOR_GOOD: Final = ("not-sealed-here",)

# built once: building a statement costs more than running it
_NEXT: Final = (
    select(schedules.c.next_fire_at)
    .where(schedules.c.next_fire_at.is_not(None), schedules.c.plugin.in_(bindparam("served", expanding=True)))
    .order_by(schedules.c.next_fire_at)
    .limit(1)
)
_DUE: Final = (
    select(schedules)
    .where(schedules.c.next_fire_at <= bindparam("now"), schedules.c.plugin.in_(bindparam("served", expanding=True)))
    .order_by(schedules.c.next_fire_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_MOVE: Final = (
    update(schedules)
    .where(schedules.c.id == bindparam("of"), schedules.c.next_fire_at == bindparam("was"), schedules.c.revision == bindparam("seen"))
    .values(next_fire_at=bindparam("then"), last_fire_at=bindparam("last"), last_job=bindparam("job"))
)


def next_moment(session: Session, served: Sequence[str]) -> datetime | None:
    """Return when the next schedule of these plugins is due."""
    found: datetime | None = session.execute(_NEXT, {"served": served}).scalar()
    return found


class Firing:
    """Fires what is due.

    Args:
        actions: Returns the actions of the serving generation.
    """

    def __init__(self, vault: SubjectVault, audit: AuditLog, settings: ScheduleSettings, actions: Callable[[], ActionTable]) -> None:
        self._vault = vault
        self._audit = audit
        self._settings = settings
        self._actions = actions

    def fire(self, session: Session, served: Sequence[str], now: datetime) -> int:
        """Put the jobs of up to 250 schedules that are due, and return how many schedules that were.

        The rows are locked as they are read, and compared again as they are moved on: another process passes them over, and an edit between the two
        is a conflict of transactions, which is tried again.
        """
        rights: dict[tuple[str, str], Actor] = {}
        moved: list[dict[str, Any]] = []
        jobs: list[NewJob] = []
        for row in session.execute(_DUE, {"served": served, "now": now}).all():
            if len(jobs) >= MAX_JOBS:
                break
            try:
                found = self._due(row, now)
                fresh = [self._job(session, row, moment, rights, now) for moment in found.runs]
            except HubError as refused:
                if refused.status >= 500 and refused.code not in _FOR_GOOD:
                    raise  # the vault is locked, or the like: it stays due
                self._pause(session, row, refused, now)
                moved.append({})
                continue
            jobs += fresh
            moved.append({"of": row.id, "was": row.next_fire_at, "seen": row.revision, "then": found.then, "runs": found.runs, "row": row})
        ids = iter(put_all(session, self._vault, jobs, now))
        changes = []
        for one in moved:
            if one:
                row, runs = one.pop("row"), one.pop("runs")
                put = [next(ids) for _ in runs]
                changes.append(one | {"last": runs[-1] if runs else row.last_fire_at, "job": put[-1] if put else row.last_job})
        if changes:
            session.execute(_MOVE, changes)
        return len(moved)

    def job(self, session: Session, row: Any, now: datetime, *, actor: str) -> NewJob:
        """Return the job of a schedule that is run out of turn. Raises as ``_job`` does."""
        return self._made(session, row, {}, now, actor=actor)

    def _due(self, row: Any, now: datetime) -> Due:
        found = due(read_trigger(row.trigger, row.zone), row.start, row.next_fire_at, now, row.misfire, timedelta(seconds=row.grace))
        least = self._settings.min_interval
        gap = found.then - (found.runs[-1] if found.runs else row.next_fire_at) if found.then is not None else None
        if gap is not None and gap.total_seconds() < least:  # the operator allowed more when it was added
            raise too_frequent(gap, least)
        if found.is_cut:
            _log.warning("schedule.cut", extra={"schedule": row.id, "runs": len(found.runs)})
        return found

    def _job(self, session: Session, row: Any, moment: datetime, rights: dict[tuple[str, str], Actor], now: datetime) -> NewJob:
        return self._made(session, row, rights, now, actor=row.id, run_at=moment + delay(row.id, moment, row.jitter), once=key_of(row.id, moment))

    def _made(self, session: Session, row: Any, rights: dict[tuple[str, str], Actor], now: datetime, **given: Any) -> NewJob:
        """Return a job in the name of the schedule's owner, who must still be allowed to ask for it.

        Raises:
            HubError: the action is gone, takes another input by now, the owner lacks its scope, or the input cannot be opened.
        """
        declared = self._actions().find(f"{row.plugin}.{row.action}")
        who = (row.subject, row.organisation)
        if row.origin != "plugin":
            if who not in rights:
                rights[who] = standing(session, *who, now)
            require(declared, rights[who])
        raw = self._vault.open(session, subject=row.subject, place=place(row.id), sealed=bytes(row.input))
        job = new_job(declared, raw, whose=Acting(*who), trigger=f"schedule:{row.id}", **given)
        return job if row.overlap in ("action", "allow") else replace(job, rule=row.overlap, same=row.id)

    def _pause(self, session: Session, row: Any, refused: HubError, now: datetime) -> None:
        """Stop a schedule that may not or cannot run any more, until somebody looked at it."""
        reason = f"{refused.code}: {refused.detail}"[:200]
        stopped = {"paused_at": now, "paused_because": reason, "next_fire_at": None, "revision": row.revision + 1, "changed_at": now}
        session.execute(update(schedules).where(schedules.c.id == row.id).values(**stopped))
        self._audit.record(session, HUB, AuditEntry(action="schedule.pause", object=row.id, outcome="denied", detail={"code": refused.code}))
        _log.warning("schedule.paused", extra={"schedule": row.id, "plugin": row.plugin, "code": refused.code})


def place(schedule_id: str) -> str:
    """Return what the vault binds a schedule's input to."""
    return f"{schedules.name}.input:{schedule_id}"
