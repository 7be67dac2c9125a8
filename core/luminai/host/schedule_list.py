"""Schedules as people see and change them; every change is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import asdict, replace
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.config.settings import ScheduleSettings
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, Forbidden, HubError
from luminai.contracts.identity import Actor
from luminai.contracts.vault import Vault
from luminai.data.ids import new_id
from luminai.data.tables_schedules import schedules
from luminai.host.actions import ActionTable, require
from luminai.host.schedule_checks import check
from luminai.host.schedule_firing import Firing, place
from luminai.host.schedule_rows import TIMING, NewSchedule, ScheduleDetail, ScheduleInfo, change_row, expect, find_row, fresh_row, info_of, timing_of
from luminai.work.jobs import put
from luminai.work.triggers import moments, read_trigger

SHOWN_FIRES: Final = 5


class ScheduleList:
    """The schedules as people use them. With ``subject`` only that one's are there.

    Args:
        actions: Returns the actions of the serving generation.
        served: Returns the ids of the plugins that run.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        audit: AuditLog,
        settings: ScheduleSettings,
        firing: Firing,
        *,
        actions: Callable[[], ActionTable],
        served: Callable[[], frozenset[str]],
    ) -> None:
        self._db = database
        self._vault = vault
        self._clock = clock
        self._audit = audit
        self._settings = settings
        self._firing = firing
        self._actions = actions
        self._served = served

    async def page(self, *, subject: str | None, action: str, limit: int, before: str | None) -> list[ScheduleInfo]:
        """Return schedules, newest first; an empty ``action`` stands for all, it may be a plugin's id."""
        query = select(schedules).order_by(schedules.c.id.desc()).limit(limit)
        plugin, _, name = action.partition(".")
        for column, value in ((schedules.c.plugin, plugin), (schedules.c.action, name)):
            query = query.where(column == value) if value else query
        query = query.where(schedules.c.subject == subject) if subject is not None else query
        query = query.where(schedules.c.id < before) if before else query
        return await self._db.read(lambda session: [info_of(row, self._served()) for row in session.execute(query)])

    async def find(self, schedule_id: str, *, subject: str | None) -> ScheduleDetail:
        """Return one with its input and its next moments.

        Raises:
            NotFound: there is none, or it is somebody else's (code ``schedule-not-found``).
        """
        return await self._db.read(lambda session: self._detail(session, find_row(session, schedule_id, subject)))

    async def add(self, new: NewSchedule, *, by: Actor, origin: str) -> ScheduleDetail:
        """Keep a schedule of the actor's own.

        Raises:
            InvalidInput, TooLarge: as ``check`` says.
            Conflict: the actor has as many as the operator allows (code ``too-many-schedules``).
        """
        now = self._clock.now()
        first = check(new.action, new.raw, new.timing, now, least=self._settings.min_interval)
        schedule_id = new_id("sch")

        def unit(session: Session) -> ScheduleDetail:
            count = session.execute(select(func.count()).where(schedules.c.subject == by.subject)).scalar_one()
            if count >= self._settings.per_owner:
                hint = "Remove one, or ask the operator for more: `per-owner` under [schedules]."
                raise Conflict(f"You have {count} schedules already.", code="too-many-schedules", hint=hint)
            sealed = self._vault.seal(session, subject=by.subject, place=place(schedule_id), value=new.raw)
            session.execute(
                insert(schedules).values(
                    **fresh_row(
                        schedule_id, new, now, input=sealed, subject=by.subject, organisation=by.organisation, origin=origin, next_fire_at=first
                    )
                )
            )
            return self._done(session, by, "schedule.add", find_row(session, schedule_id, None))

        return await self._db.write(unit)

    async def edit(
        self, schedule_id: str, change: dict[str, Any], *, given: bytes | None, based_on: int, subject: str | None, by: Actor
    ) -> ScheduleDetail:
        """Change the name, fields of ``Timing``, and with ``given`` the input. Where it runs at other times, the next moment is found anew.

        Raises:
            NotFound: as for ``find``, or its action is not there now.
            InvalidInput, TooLarge: as ``check`` says.
            Forbidden: ``given``, and it runs in somebody else's name (code ``schedule-of-another``).
            Conflict: somebody else changed it meanwhile (code ``revision-changed``).
        """

        def unit(session: Session) -> ScheduleDetail:
            row = find_row(session, schedule_id, subject)
            expect(row, based_on)
            if given is not None and row.subject != by.subject and row.origin != "plugin":
                raise Forbidden("It runs in the name of another, who alone says with what.", code="schedule-of-another")
            now = self._clock.now()
            timing = replace(timing_of(row), **{name: value for name, value in change.items() if name in TIMING})
            declared = self._actions().find(f"{row.plugin}.{row.action}")
            values = asdict(timing) | {"name": change.get("name", row.name), "edited": row.origin == "plugin"}
            if timing != timing_of(row):
                first = check(declared, self._opened(session, row) if given is None else given, timing, now, least=self._settings.min_interval)
                values["next_fire_at"] = first if row.paused_at is None and row.retired_at is None else None
            if given is not None:
                require(declared, by)
                declared.key(declared.decode(given))
                values["input"] = self._vault.seal(session, subject=row.subject, place=place(row.id), value=given)
            change_row(session, row, values, now)
            return self._done(session, by, "schedule.edit", find_row(session, schedule_id, None))

        return await self._db.write(unit)

    async def pause(self, schedule_id: str, reason: str, *, subject: str | None, by: Actor) -> ScheduleDetail:
        """Run it no more until it is resumed. Raises as ``find`` does."""

        def unit(session: Session) -> ScheduleDetail:
            row, now = find_row(session, schedule_id, subject), self._clock.now()
            change_row(session, row, {"paused_at": row.paused_at or now, "paused_because": reason, "next_fire_at": None}, now)
            return self._done(session, by, "schedule.pause", find_row(session, schedule_id, None))

        return await self._db.write(unit)

    async def resume(self, schedule_id: str, *, subject: str | None, by: Actor) -> ScheduleDetail:
        """Run it again from now on; what was missed meanwhile is not made up for.

        Raises:
            NotFound: as for ``find``, or its action is not there now.
            InvalidInput: it would never fire, or too often for the operator.
            Conflict: it is not paused (code ``not-paused``), or retired (code ``schedule-retired``).
        """

        def unit(session: Session) -> ScheduleDetail:
            row, now = find_row(session, schedule_id, subject), self._clock.now()
            if row.paused_at is None:
                raise Conflict("It is not paused.", code="not-paused", hint="`luminai schedules show` tells its state.")
            if row.retired_at is not None:
                raise Conflict("Its plugin declares it no more.", code="schedule-retired", hint="Remove it.")
            declared = self._actions().find(f"{row.plugin}.{row.action}")
            first = check(declared, self._opened(session, row), timing_of(row), now, least=self._settings.min_interval)
            change_row(session, row, {"paused_at": None, "paused_because": "", "next_fire_at": first}, now)
            return self._done(session, by, "schedule.resume", find_row(session, schedule_id, None))

        return await self._db.write(unit)

    async def remove(self, schedule_id: str, *, subject: str | None, by: Actor) -> None:
        """Delete it; jobs that it put stay.

        Raises:
            NotFound: as for ``find``.
            Conflict: its plugin declares it, and would again (code ``schedule-declared``).
        """

        def unit(session: Session) -> None:
            row = find_row(session, schedule_id, subject)
            if row.declared is not None and row.retired_at is None and row.plugin in self._served():
                raise Conflict("Its plugin declares it.", code="schedule-declared", hint="Pause it instead.")
            session.execute(delete(schedules).where(schedules.c.id == schedule_id))
            self._record(session, by, "schedule.remove", row)

        await self._db.write(unit)

    async def run(self, schedule_id: str, *, subject: str | None, by: Actor) -> str:
        """Put a job of it now, out of turn and in its owner's name, and return the job's id.

        Raises:
            NotFound: as for ``find``, or its action is not there, or its owner may not run it now.
            InvalidInput: its action takes another input by now.
        """

        def unit(session: Session) -> str:
            row, now = find_row(session, schedule_id, subject), self._clock.now()
            job_id = put(session, self._vault, self._firing.job(session, row, now, actor=by.id), now)
            self._record(session, by, "schedule.run", row, job=job_id)
            return job_id

        return await self._db.write(unit)

    def _done(self, session: Session, by: Actor, action: str, row: Any) -> ScheduleDetail:
        self._record(session, by, action, row)
        return self._detail(session, row)

    def _record(self, session: Session, by: Actor, action: str, row: Any, **more: str) -> None:
        detail = {"action": f"{row.plugin}.{row.action}", "trigger": row.trigger, "owner": row.subject, **more}
        self._audit.record(session, by, AuditEntry(action=action, object=row.id, detail=detail))

    def _detail(self, session: Session, row: Any) -> ScheduleDetail:
        info = info_of(row, self._served())
        fires = []
        if info.next_fire_at is not None:
            fires = [info.next_fire_at, *moments(read_trigger(row.trigger, row.zone), row.start, info.next_fire_at, most=SHOWN_FIRES - 1)]
        try:
            shown = msgspec.json.decode(self._opened(session, row))
        except HubError:
            shown = None
        return ScheduleDetail(**asdict(info), input=shown, next_fires=fires)

    def _opened(self, session: Session, row: Any) -> bytes:
        return self._vault.open(session, subject=row.subject, place=place(row.id), sealed=bytes(row.input))
