"""The core's routes for actions: what can be asked for, and asking for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Struct

from luminai.contracts.audit import AuditEntry
from luminai.contracts.identity import Actor, policy
from luminai.contracts.patterns import published
from luminai.data.owners import Acting
from luminai.host.actions import DeclaredAction, new_job, require
from luminai.http.pages import Page, page_cursor, page_limit
from luminai.http.requests import signed_in
from luminai.work.job_list import JobDetail, is_open
from luminai.work.jobs import put

if TYPE_CHECKING:
    from luminai.host.hub import Hub

ActionName = Annotated[str, PathParameter(pattern=r"^[a-z][a-z0-9-]{0,31}\.[a-z][a-z0-9-]{0,79}\Z")]
RunAt = Annotated[datetime | None, QueryParameter(description="Not before this moment.")]
Priority = Annotated[int, QueryParameter(ge=0, le=9, description="9 is most urgent.")]
ExpiresIn = Annotated[int | None, QueryParameter(ge=1, le=31_536_000, description="Seconds after which it is not begun any more.")]
MAX_WAIT: Final = 60.0
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,4})(?:$|[,;\s])")
_LOOK_SECONDS: Final = 0.05


class ActionInfo(Struct, frozen=True, kw_only=True):
    """An action; ``input`` and ``output`` are JSON Schemas."""

    name: str
    plugin: str
    summary: str
    scope: str
    timeout: float
    retries: int
    concurrency: Literal["allow", "skip", "queue", "replace"]
    input: dict[str, Any]
    output: dict[str, Any]


def action_handlers(hub: Hub) -> Sequence[Any]:
    """Return the handlers over ``hub``."""

    @get("/api/actions", opt=policy())
    async def list_actions(request: Request[Any, Any, Any], limit: page_limit = 20, cursor: page_cursor = None) -> Page[ActionInfo]:
        """List the actions that the caller may run, by name."""
        actor = signed_in(request)
        mine = [one for one in hub.generation.wiring.actions.all if actor.may(one.action.scope) and (cursor is None or one.name > cursor)]
        return Page([_info(one) for one in mine[:limit]], mine[limit - 1].name if len(mine) > limit else None)

    @get("/api/actions/{name:str}", opt=policy())
    async def show_action(request: Request[Any, Any, Any], name: ActionName) -> ActionInfo:
        """Show one action with the shapes of its input and output."""
        return _info(_find(hub, name, signed_in(request)))

    ended = ResponseSpec(JobDetail, description="It ended while it was waited for.", generate_examples=False)

    @post("/api/actions/{name:str}", opt=policy(), status_code=202, responses={200: ended})
    async def run_action(
        request: Request[Any, Any, Any],
        name: ActionName,
        data: JSONBody[dict[str, Any]],
        run_at: RunAt = None,
        priority: Priority = 5,
        expires_in: ExpiresIn = None,
    ) -> Response[JobDetail]:
        """Ask for an action; the body is its input. Answers 202 with the job, or 200 if it ended within the seconds of `Prefer: wait=…`."""
        actor = signed_in(request)
        declared = _find(hub, name, actor)
        job_id = await _put(hub, declared, actor, msgspec.json.encode(data), run_at, expires_in, priority)
        wait = wait_of(request.headers.get("prefer", ""))
        found = await _ended(hub, job_id, actor, wait)
        return Response(found, status_code=202 if not wait or is_open(found.state) else 200, headers={"Location": f"/api/jobs/{job_id}"})

    return [list_actions, show_action, run_action]


def wait_of(prefer: str) -> float:
    """Return the seconds of ``Prefer: wait=…`` (RFC 7240), at most a minute; 0 without it."""
    found = _WAIT.search(prefer)
    return min(float(found[1]), MAX_WAIT) if found else 0.0


def _find(hub: Hub, name: str, actor: Actor) -> DeclaredAction:
    declared = hub.generation.wiring.actions.find(name)
    require(declared, actor)
    return declared


async def _put(hub: Hub, declared: DeclaredAction, actor: Actor, raw: bytes, run_at: datetime | None, expires_in: int | None, priority: int) -> str:
    now = hub.clock.now()
    expires_at = (run_at or now) + timedelta(seconds=expires_in) if expires_in is not None else None
    job = new_job(
        declared,
        raw,
        whose=Acting(actor.subject, actor.organisation),
        actor=actor.id,
        trigger="http",
        run_at=run_at,
        expires_at=expires_at,
        priority=priority,
    )

    def unit(session: Any) -> str:
        job_id = put(session, hub.vault, job, now)
        hub.audit.record(session, actor, AuditEntry(action="action.run", object=job_id, detail={"action": declared.name}))
        return job_id

    job_id = await hub.database.write(unit)
    hub.jobs.wake()
    return job_id


async def _ended(hub: Hub, job_id: str, actor: Actor, seconds: float) -> JobDetail:
    """Return the job, when it has ended or the time is up. Another process may run it, so the ledger is what is looked at."""
    end = asyncio.get_running_loop().time() + seconds
    pause = _LOOK_SECONDS
    while True:
        found = await hub.job_list.find(job_id, subject=actor.subject)
        left = end - asyncio.get_running_loop().time()
        if not is_open(found.state) or left <= 0:
            return found
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)


def _info(declared: DeclaredAction) -> ActionInfo:
    action = declared.action
    return ActionInfo(
        name=declared.name,
        plugin=declared.owner,
        summary=action.summary,
        scope=action.scope,
        timeout=action.timeout,
        retries=action.retries,
        concurrency=action.concurrency,
        input=published(msgspec.json.schema(action.input)),
        output=published(msgspec.json.schema(action.output)),
    )
