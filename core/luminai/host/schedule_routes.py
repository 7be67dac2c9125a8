"""The core's routes for schedules: everybody sees and changes the own ones, operators all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from luminai.contracts.identity import Actor, policy
from luminai.host.actions import require
from luminai.host.schedule_checks import MAX_GRACE, MAX_JITTER, Overlap, Timing, whole
from luminai.host.schedule_rows import NewSchedule, ScheduleDetail, ScheduleInfo
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.work.job_list import JobDetail
from luminai.work.schedule_due import Misfire

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SCOPE: Final = "hub:schedules"
AnyRequest = Request[Any, Any, Any]
ScheduleId = Annotated[str, PathParameter(pattern=r"^sch_[0-9a-f]{32}\Z")]
Of = Annotated[
    str, QueryParameter(pattern=r"^([a-z][a-z0-9-]{0,31}(\.[a-z][a-z0-9-]{0,79})?)?\Z", description="Only those of this action, or of this plugin.")
]
Name = Annotated[str, Meta(min_length=1, max_length=80)]
Line = Annotated[str, Meta(min_length=1, max_length=200, description="Such as `cron: 0 8 * * mon-fri`, `every: 15m`, `calendar: 1 month 08:00`.")]
Zone = Annotated[str, Meta(min_length=1, max_length=64)]
Start = Annotated[datetime, Meta(tz=True)]
Grace = Annotated[int, Meta(ge=0, le=MAX_GRACE)]
Jitter = Annotated[int, Meta(ge=0, le=MAX_JITTER)]


class AddRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """A schedule of one's own. ``action`` is a full name; ``start``: nothing runs before, and spans count from it (now)."""

    name: Name
    action: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\.[a-z][a-z0-9-]{0,79}\Z")]
    input: dict[str, Any] = {}
    trigger: Line
    zone: Zone = "UTC"
    start: Start | None = None
    misfire: Misfire = "once"
    grace: Grace = 60
    overlap: Overlap = "action"
    jitter: Jitter = 0


class EditRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change, and the ``revision`` that it is based on."""

    revision: Annotated[int, Meta(ge=1)]
    name: Name | UnsetType = UNSET
    input: dict[str, Any] | UnsetType = UNSET
    trigger: Line | UnsetType = UNSET
    zone: Zone | UnsetType = UNSET
    start: Start | UnsetType = UNSET
    misfire: Misfire | UnsetType = UNSET
    grace: Grace | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    jitter: Jitter | UnsetType = UNSET


class PauseRequest(Struct, forbid_unknown_fields=True):
    """Why it is paused."""

    reason: Annotated[str, Meta(max_length=200)] = ""


def schedule_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_look(hub), *_change(hub), *_turn(hub)]


def _look(hub: Hub) -> Sequence[Any]:
    @get("/api/schedules", opt=policy())
    async def list_schedules(request: AnyRequest, action: Of = "", limit: page_limit = 20, cursor: page_cursor = None) -> Page[ScheduleInfo]:
        """List the own schedules without input, newest first."""
        return await _page(hub, signed_in(request).subject, action, limit, cursor)

    @get("/api/admin/schedules", opt=policy(SCOPE))
    async def list_all_schedules(action: Of = "", limit: page_limit = 20, cursor: page_cursor = None) -> Page[ScheduleInfo]:
        """List everybody's schedules without input, those of plugins among them, newest first."""
        return await _page(hub, None, action, limit, cursor)

    @get("/api/schedules/{schedule:str}", opt=policy())
    async def show_schedule(request: AnyRequest, schedule: ScheduleId) -> ScheduleDetail:
        """Show one schedule with its input and its next five moments."""
        return await hub.schedule_list.find(schedule, subject=_whose(signed_in(request)))

    return [list_schedules, list_all_schedules, show_schedule]


def _change(hub: Hub) -> Sequence[Any]:
    @post("/api/schedules", opt=policy())
    async def add_schedule(request: AnyRequest, data: JSONBody[AddRequest]) -> ScheduleDetail:
        """Have an action run by the clock, in one's own name. It needs the action's scope, now and whenever it runs."""
        actor = signed_in(request)
        declared = hub.generation.wiring.actions.find(data.action)
        require(declared, actor)
        own = {name: getattr(data, name) for name in ("trigger", "zone", "misfire", "grace", "overlap", "jitter")}
        timing = Timing(**own, start=whole(data.start or hub.clock.now()))
        new = NewSchedule(name=data.name, action=declared, raw=msgspec.json.encode(data.input), timing=timing)
        found = await hub.schedule_list.add(new, by=actor, origin="operator" if actor.may(SCOPE) else "person")
        hub.schedules.wake()
        return found

    @patch("/api/schedules/{schedule:str}", opt=policy())
    async def edit_schedule(request: AnyRequest, schedule: ScheduleId, data: JSONBody[EditRequest]) -> ScheduleDetail:
        """Change a schedule; what is left out stays."""
        actor = signed_in(request)
        change = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
        raw = msgspec.json.encode(change.pop("input")) if "input" in change else None
        if "start" in change:
            change["start"] = whole(change["start"])
        found = await hub.schedule_list.edit(schedule, change, given=raw, based_on=change.pop("revision"), subject=_whose(actor), by=actor)
        hub.schedules.wake()
        return found

    @delete("/api/schedules/{schedule:str}", opt=policy())
    async def remove_schedule(request: AnyRequest, schedule: ScheduleId) -> None:
        """Remove a schedule; jobs that it put go on."""
        actor = signed_in(request)
        await hub.schedule_list.remove(schedule, subject=_whose(actor), by=actor)

    return [add_schedule, edit_schedule, remove_schedule]


def _turn(hub: Hub) -> Sequence[Any]:
    @post("/api/schedules/{schedule:str}/pause", opt=policy(), status_code=200)
    async def pause_schedule(request: AnyRequest, schedule: ScheduleId, data: JSONBody[PauseRequest]) -> ScheduleDetail:
        """Run it no more until it is resumed."""
        actor = signed_in(request)
        return await hub.schedule_list.pause(schedule, data.reason, subject=_whose(actor), by=actor)

    @post("/api/schedules/{schedule:str}/resume", opt=policy(), status_code=200)
    async def resume_schedule(request: AnyRequest, schedule: ScheduleId) -> ScheduleDetail:
        """Run it again from now on; what was missed meanwhile is not made up for."""
        actor = signed_in(request)
        found = await hub.schedule_list.resume(schedule, subject=_whose(actor), by=actor)
        hub.schedules.wake()
        return found

    @post("/api/schedules/{schedule:str}/run", opt=policy(), status_code=202)
    async def run_schedule(request: AnyRequest, schedule: ScheduleId) -> Response[JobDetail]:
        """Run it once now, in its owner's name; its next moment stays. Answers with the job."""
        actor = signed_in(request)
        job_id = await hub.schedule_list.run(schedule, subject=_whose(actor), by=actor)
        hub.jobs.wake()
        found = await hub.job_list.find(job_id, subject=None)
        return Response(found, status_code=202, headers={"Location": f"/api/jobs/{job_id}"})

    return [pause_schedule, resume_schedule, run_schedule]


async def _page(hub: Hub, subject: str | None, action: str, limit: int, cursor: str | None) -> Page[ScheduleInfo]:
    found = await hub.schedule_list.page(subject=subject, action=action, limit=limit + 1, before=cursor)
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _whose(actor: Actor) -> str | None:
    """Operators see all; anybody else the own ones, and those of others as little as those that never were."""
    return None if actor.may(SCOPE) else actor.subject
