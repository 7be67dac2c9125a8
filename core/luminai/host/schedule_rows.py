"""Rows of schedules: what people see of them, and what a new one looks like."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict, NotFound
from luminai.data.tables_schedules import schedules
from luminai.host.actions import DeclaredAction
from luminai.host.schedule_checks import Timing, whole

TIMING: Final = Timing.__struct_fields__


class ScheduleInfo(Struct, frozen=True, kw_only=True):
    """A schedule without its input.

    Attributes:
        action: The full name.
        subject: In whose name it runs: a person's id, the name that a key belongs to, or ``hub``.
        origin: plugin (declared by it), operator or person.
        state: active, paused (``paused_because`` says why), off (its plugin does not run), ended (no moment is left), retired (its plugin declares
            it no more).
        edited: An operator changed what the plugin declared, so the plugin no longer does.
        last_fire_at: The planned moment of the last run, whose job is ``last_job``.
        revision: Rises with every change, not with every run.
    """

    id: str
    name: str
    action: str
    subject: str
    origin: str
    state: str
    trigger: str
    zone: str
    start: datetime
    misfire: str
    grace: int
    overlap: str
    jitter: int
    edited: bool
    paused_at: datetime | None
    paused_because: str
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    last_job: str | None
    revision: int
    created_at: datetime
    changed_at: datetime


class ScheduleDetail(ScheduleInfo, frozen=True, kw_only=True):
    """A schedule with its input (None where it cannot be read any more) and its next five moments (none while it does not run)."""

    input: Any
    next_fires: list[datetime]


class NewSchedule(Struct, frozen=True, kw_only=True):
    """What is added: ``action`` with the input ``raw``."""

    name: str
    action: DeclaredAction
    raw: bytes
    timing: Timing


def fresh_row(schedule_id: str, new: NewSchedule, now: datetime, **more: Any) -> dict[str, Any]:
    """Return a row that has not run yet, with ``more`` of its columns."""
    timing = replace(new.timing, start=whole(new.timing.start))
    row: dict[str, Any] = {"id": schedule_id, "plugin": new.action.owner, "action": new.action.action.name, "declared": None, "name": new.name}
    row |= asdict(timing) | {"organisation": "", "edited": False, "paused_at": None, "paused_because": "", "retired_at": None, "last_fire_at": None}
    return row | {"last_job": None, "revision": 1, "created_at": now, "changed_at": now} | more


def timing_of(row: Any) -> Timing:
    """Return when a schedule runs."""
    return Timing(**{name: getattr(row, name) for name in TIMING})


def change_row(session: Session, row: Any, values: dict[str, Any], now: datetime) -> None:
    """Change a row, and its revision with it."""
    session.execute(update(schedules).where(schedules.c.id == row.id).values(**values, revision=row.revision + 1, changed_at=now))


def expect(row: Any, revision: int) -> None:
    """Refuse a change that is based on another revision.

    Raises:
        Conflict: it is another one by now (code ``revision-changed``).
    """
    if row.revision != revision:
        raise Conflict(f"The schedule was changed meanwhile: revision {row.revision}, not {revision}.", code="revision-changed", hint="Look again.")


def find_row(session: Session, schedule_id: str, subject: str | None) -> Any:
    """Return a row, with ``subject`` only that one's.

    Raises:
        NotFound: there is none, or it is somebody else's (code ``schedule-not-found``).
    """
    query = select(schedules).where(schedules.c.id == schedule_id)
    row = session.execute(query if subject is None else query.where(schedules.c.subject == subject)).first()
    if row is None:
        raise NotFound(f"There is no schedule {schedule_id}.", code="schedule-not-found", hint="`luminai schedules list` shows them.")
    return row


def info_of(row: Any, served: frozenset[str]) -> ScheduleInfo:
    """Return a row as people see it; ``served`` are the ids of the plugins that run."""
    own = {name: getattr(row, name) for name in ScheduleInfo.__struct_fields__ if name not in ("action", "state")}
    return ScheduleInfo(**own, action=f"{row.plugin}.{row.action}", state=_state(row, served))


def _state(row: Any, served: frozenset[str]) -> str:
    if row.retired_at is not None:
        return "retired"
    if row.paused_at is not None:
        return "paused"
    if row.next_fire_at is None:
        return "ended"
    return "active" if row.plugin in served else "off"
