"""The core's routes for jobs: everybody sees and cancels the own ones, operators look after all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from luminai.contracts.identity import policy
from luminai.host.job_rooms import SCOPE, JobState, whose
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.work.job_list import AttemptInfo, JobDetail, JobInfo, OtherInput
from luminai.work.job_pauses import Pause

if TYPE_CHECKING:
    from luminai.host.hub import Hub

TARGET = r"^(\*|[a-z][a-z0-9-]{0,31}(\.[a-z][a-z0-9-]{0,79})?)\Z"
AnyRequest = Request[Any, Any, Any]
JobId = Annotated[str, PathParameter(pattern=r"^job_[0-9a-f]{32}\Z")]
States = Literal[
    "", "scheduled", "waiting", "queued", "running", "retrying", "parked", "succeeded", "dead", "cancelled", "expired", "skipped", "discarded"
]
StateFilter = Annotated[States, QueryParameter(name="state", description="Only those in this state.")]
ActionFilter = Annotated[
    str, QueryParameter(pattern=r"^([a-z][a-z0-9-]{0,31}(\.[a-z][a-z0-9-]{0,79})?)?\Z", description="Only those of this action, or of this plugin.")
]


class PauseRequest(Struct, forbid_unknown_fields=True):
    """What to pause: ``*`` for all jobs, a plugin's id, or an action's full name."""

    target: Annotated[str, Meta(pattern=TARGET)]
    reason: Annotated[str, Meta(max_length=200)] = ""


def job_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""
    return [*_own(hub), *_all(hub), *_pauses(hub)]


def _own(hub: Hub) -> Sequence[Any]:
    @get("/api/jobs", opt=policy())
    async def list_jobs(
        request: AnyRequest, action: ActionFilter = "", in_state: StateFilter = "", limit: page_limit = 20, cursor: page_cursor = None
    ) -> Page[JobInfo]:
        """List the own jobs without input and output, newest first."""
        return await _page(hub, signed_in(request).subject, action, in_state, limit, cursor)

    @get("/api/jobs/{job:str}", opt=policy())
    async def show_job(request: AnyRequest, job: JobId) -> JobDetail:
        """Show one job with its input and output."""
        return await hub.job_list.find(job, subject=whose(signed_in(request)))

    @get("/api/jobs/{job:str}/history", opt=policy())
    async def show_history(request: AnyRequest, job: JobId) -> list[AttemptInfo]:
        """Show the last 100 attempts of a job, newest first."""
        return await hub.job_list.history(job, subject=whose(signed_in(request)))

    @post("/api/jobs/{job:str}/cancel", opt=policy(), status_code=200)
    async def cancel_job(request: AnyRequest, job: JobId) -> JobInfo:
        """Cancel a job; one that runs ends as soon as its worker hears of it."""
        actor = signed_in(request)
        found = await hub.job_list.cancel(job, subject=whose(actor), by=actor)
        hub.job_rooms.tell(found.id, JobState(found.state))
        hub.jobs.reconsider()
        return found

    return [list_jobs, show_job, show_history, cancel_job]


def _all(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/jobs", opt=policy(SCOPE))
    async def list_all_jobs(
        action: ActionFilter = "", in_state: StateFilter = "", limit: page_limit = 20, cursor: page_cursor = None
    ) -> Page[JobInfo]:
        """List everybody's jobs without input and output, newest first."""
        return await _page(hub, None, action, in_state, limit, cursor)

    @post("/api/admin/jobs/{any_job:str}/retry", opt=policy(SCOPE, step_up=True), status_code=200)
    async def retry_job(request: AnyRequest, any_job: JobId) -> JobInfo:
        """Have a job that is dead, cancelled or expired run again."""
        found = await hub.job_list.retry(any_job, by=signed_in(request))
        hub.job_rooms.tell(found.id, JobState(found.state))
        hub.jobs.wake()
        return found

    @post("/api/admin/jobs/{any_job:str}/edit", opt=policy(SCOPE, step_up=True), status_code=200)
    async def edit_job(request: AnyRequest, any_job: JobId, data: JSONBody[dict[str, Any]]) -> JobInfo:
        """Have a job that ended badly run again with another input, which is the body."""
        row = await hub.job_list.find(any_job, subject=None)
        raw = msgspec.json.encode(data)
        declared = hub.generation.wiring.actions.find(row.action)
        found = await hub.job_list.retry(any_job, by=signed_in(request), other=OtherInput(raw, declared.key(declared.decode(raw))))
        hub.job_rooms.tell(found.id, JobState(found.state))
        hub.jobs.wake()
        return found

    @post("/api/admin/jobs/{any_job:str}/discard", opt=policy(SCOPE, step_up=True), status_code=200)
    async def discard_job(request: AnyRequest, any_job: JobId) -> JobInfo:
        """Give a job up that ended badly; its input is deleted."""
        found = await hub.job_list.discard(any_job, by=signed_in(request))
        hub.job_rooms.tell(found.id, JobState(found.state))
        return found

    return [list_all_jobs, retry_job, edit_job, discard_job]


def _pauses(hub: Hub) -> Sequence[Any]:
    @get("/api/admin/job-pauses", opt=policy(SCOPE))
    async def list_pauses() -> list[Pause]:
        """List what is paused, at most 500."""
        return await hub.job_pauses.list()

    @post("/api/admin/job-pauses", opt=policy(SCOPE, step_up=True), status_code=200)
    async def pause_jobs(request: AnyRequest, data: JSONBody[PauseRequest]) -> Pause:
        """Have no more jobs begin; those that run go on."""
        found = await hub.job_pauses.pause(data.target, data.reason, by=signed_in(request))
        hub.jobs.reconsider()
        return found

    @post("/api/admin/job-pauses/resume", opt=policy(SCOPE, step_up=True), status_code=204)
    async def resume_jobs(request: AnyRequest, data: JSONBody[PauseRequest]) -> None:
        """Let jobs begin again."""
        await hub.job_pauses.resume(data.target, by=signed_in(request))
        hub.jobs.reconsider()

    return [list_pauses, pause_jobs, resume_jobs]


async def _page(hub: Hub, subject: str | None, action: str, state: str, limit: int, cursor: str | None) -> Page[JobInfo]:
    found = await hub.job_list.page(subject=subject, action=action, state=state, limit=limit + 1, before=cursor)
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)
