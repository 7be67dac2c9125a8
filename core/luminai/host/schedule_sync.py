"""Schedules that plugins declare, and the rows that follow them: added, changed and retired as a generation begins to serve."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from luminai.contracts.errors import Conflict, HubError
from luminai.contracts.jobs import Schedule
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.ids import new_id
from luminai.data.tables_schedules import schedules
from luminai.host.actions import ActionTable, DeclaredAction
from luminai.host.schedule_checks import Timing, check, whole
from luminai.host.schedule_firing import place
from luminai.host.schedule_rows import NewSchedule, fresh_row, timing_of
from luminai.work.triggers import first_of, read_trigger

MAX_DECLARED: Final = 100
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSERT: Final[dict[str, Any]] = {
    "sqlite": sqlite.insert(schedules).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(schedules).on_conflict_do_nothing(),
}


class DeclaredSchedule(Struct, frozen=True, kw_only=True):
    """A plugin's schedule, checked; ``raw`` is its input."""

    schedule: Schedule
    action: DeclaredAction
    raw: bytes

    def timing(self, start: datetime) -> Timing:
        """Return when it runs; ``start`` counts where the plugin says nothing of it."""
        own = {name: getattr(self.schedule, name) for name in Timing.__struct_fields__}
        return Timing(**own | {"start": whole(self.schedule.start or start)})


class ScheduleTable:
    """The declared schedules of one generation, over its actions."""

    def __init__(self, actions: ActionTable) -> None:
        self._actions = actions
        self._declared: dict[tuple[str, str], DeclaredSchedule] = {}

    def add(self, owner: str, items: Iterable[Schedule]) -> None:
        """Enter a plugin's schedules.

        Raises:
            Conflict: more than 100, a name that is no plain name or is given twice (code ``bad-schedule``).
            HubError: an action that is not the plugin's own, an input that does not fit, a trigger that is none or never fires, an unknown zone.
        """
        for schedule in items:
            name = (owner, schedule.name)
            if not _NAME.fullmatch(schedule.name) or len(schedule.name) > 80 or name in self._declared:
                hint = "A name is made of lower-case words and given once."
                raise Conflict(f"schedule {schedule.name[:80]!r}: the name is there twice, or no plain name", code="bad-schedule", hint=hint)
            declared = DeclaredSchedule(
                schedule=schedule, action=self._actions.find(f"{owner}.{schedule.action}"), raw=msgspec.json.encode(schedule.input)
            )
            check(declared.action, declared.raw, declared.timing(_LONG_AGO), _LONG_AGO, least=1)
            self._declared[name] = declared
        if sum(plugin == owner for plugin, _ in self._declared) > MAX_DECLARED:
            raise Conflict(f"more than {MAX_DECLARED} schedules", code="bad-schedule", hint="Let people add them at run time.")

    def remove(self, owner: str) -> None:
        """Take out a plugin's schedules."""
        self._declared = {name: one for name, one in self._declared.items() if name[0] != owner}

    @property
    def all(self) -> Mapping[tuple[str, str], DeclaredSchedule]:
        """All of them, by plugin and name."""
        return self._declared


def differences(
    session: Session, vault: Vault, declared: Mapping[tuple[str, str], DeclaredSchedule], served: Sequence[str], now: datetime, *, least: int
) -> list[tuple[str | None, dict[str, Any]]]:
    """Return what has to be written: the id of a row with its changes, or None with a new row. Writes nothing, and opens what is sealed."""
    found: list[tuple[str | None, dict[str, Any]]] = []
    known = {(row.plugin, row.declared): row for row in _rows(session, served)}
    for name, row in known.items():
        if name not in declared and row.retired_at is None:
            found.append((row.id, {"retired_at": now, "next_fire_at": None}))
    for name, one in declared.items():
        row = known.get(name)
        if row is None:
            new = NewSchedule(name=one.schedule.name, action=one.action, raw=one.raw, timing=one.timing(now))
            own = {"declared": one.schedule.name, "input": one.raw, "subject": HUB_SUBJECT, "origin": "plugin"}
            found.append((None, fresh_row(new_id("sch"), new, now, **own) | _begin(new.timing, now, least)))
            continue
        change: dict[str, Any] = {}
        if not row.edited:
            timing = one.timing(row.start)
            change = {key: value for key, value in asdict(timing).items() if value != getattr(row, key)}
            change |= {"action": one.schedule.action} if row.action != one.schedule.action else {}
            change |= {"input": one.raw} if vault.open(session, subject=HUB_SUBJECT, place=place(row.id), sealed=bytes(row.input)) != one.raw else {}
        if row.retired_at is not None:
            change["retired_at"] = None
        if change and row.paused_at is None:
            after = timing_of(row) if row.edited else one.timing(row.start)
            if row.retired_at is not None or after != timing_of(row):
                change |= _begin(after, now, least)
        if change:
            found.append((row.id, change))
    return found


def write(session: Session, vault: Vault, changes: Sequence[tuple[str | None, dict[str, Any]]], now: datetime) -> None:
    """Write differences. A row that another process added meanwhile stays as that one wrote it."""
    for schedule_id, values in changes:
        row = dict(values)
        if "input" in row:
            row["input"] = vault.seal(session, subject=HUB_SUBJECT, place=place(schedule_id or row["id"]), value=row["input"])
        if schedule_id is None:
            session.execute(_INSERT[session.get_bind().dialect.name], [row])
        else:
            row |= {"revision": schedules.c.revision + 1, "changed_at": now}
            session.execute(update(schedules).where(schedules.c.id == schedule_id).values(**row))


def _begin(timing: Timing, now: datetime, least: int) -> dict[str, Any]:
    """Return the next moment, or a pause where the operator does not allow one so frequent; a moment that is past is no fault of the plugin's."""
    try:
        return {"next_fire_at": first_of(read_trigger(timing.trigger, timing.zone), timing.start, now, least=least)}
    except HubError as refused:
        if refused.code == "schedule-never-fires":
            return {"next_fire_at": None}
        return {"next_fire_at": None, "paused_at": now, "paused_because": f"{refused.code}: {refused.detail}"[:200]}


def _rows(session: Session, served: Sequence[str]) -> Sequence[Any]:
    return session.execute(select(schedules).where(schedules.c.declared.is_not(None), schedules.c.plugin.in_(served))).all()
