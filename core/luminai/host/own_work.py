"""What the hub itself does as jobs: catching a durable subscription up with the log, and sending events to endpoints."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import NotFound
from luminai.contracts.identity import Actor
from luminai.contracts.jobs import Action, Job
from luminai.data.owners import NOBODY
from luminai.data.tables_events import events
from luminai.data.tables_jobs import jobs
from luminai.host.actions import DeclaredAction, new_job
from luminai.host.endpoint_jobs import send_action
from luminai.host.job_attempts import HUB
from luminai.work.event_jobs import FanOut, Target, published
from luminai.work.jobs import put
from luminai.work.subscriptions import Kept, kept

if TYPE_CHECKING:
    from luminai.host.hub import Hub

REPLAY: Final = "replay-events"
PAGE: Final = 500
SETTLED_AFTER: Final = timedelta(seconds=30)
"""By then every process puts jobs for a new subscription, and every unit that did not know it is over (units have 10 seconds): a catch-up that looks
no earlier cannot pass an event by that was not there yet when it looked."""


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """``subscription`` is the full name that its jobs run under; ``since`` the id of the event before the first one, "" for the whole log."""

    subscription: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\.[a-z][a-z0-9-]{0,79}\Z")]
    since: Annotated[str, Meta(pattern=r"^(evt_[0-9a-f]{12,32})?\Z")] = ""


class Replayed(Struct, frozen=True):
    """How many events were looked at, and how many of them were not delivered before."""

    seen: int
    put: int


def own_actions(hub: Hub) -> tuple[DeclaredAction, ...]:
    """Return the hub's own actions."""

    async def replay(job: Job, given: Replay) -> Replayed:
        wanted = await hub.database.read(lambda session: _wanted(session, given.subscription))
        fan_out = FanOut([Target(wanted.plugin, wanted.action)])
        seen = count = 0
        last = given.since
        while True:
            rows, new, last = await hub.database.write(partial(_replay_page, hub, fan_out, wanted, last))
            seen, count = seen + rows, count + new
            if new:
                hub.jobs.wake()
            if rows < PAGE:
                return Replayed(seen, count)
            await job.progress(seen, 0, last)

    action = Action(
        name=REPLAY,
        summary="Have a durable subscription get what it did not get.",
        input=Replay,
        output=Replayed,
        run=replay,
        scope="hub:events",
        timeout=3600,
        key=lambda given: given.subscription,
        concurrency="queue",
        retries=5,
    )
    return (DeclaredAction(HUB, action), send_action(hub))


def put_replay(hub: Hub, session: Session, given: Replay, *, by: Actor | str, later: bool = False) -> str:
    """Put the job that catches a subscription up, and return its id.

    Args:
        later: Begin when every process knows the subscription.

    Raises:
        NotFound: nobody ever had such a durable subscription (code ``subscription-not-found``).
    """
    _wanted(session, given.subscription)
    declared = next(one for one in hub.own_actions if one.action.name == REPLAY)
    now = hub.clock.now()
    actor = by if isinstance(by, str) else by.id
    job = new_job(declared, msgspec.json.encode(given), whose=NOBODY, actor=actor, trigger=HUB, run_at=now + SETTLED_AFTER if later else None)
    job_id = put(session, hub.vault, job, now)
    hub.audit.record(session, by, AuditEntry(action="events.replay", object=given.subscription, detail={"since": given.since, "job": job_id}))
    return job_id


def _wanted(session: Session, name: str) -> Kept:
    found = next((one for one in kept(session) if f"{one.plugin}.{one.action}" == name), None)
    if found is None:
        hint = "`luminai events subscriptions` lists them."
        raise NotFound(f"There is no durable subscription {name}.", code="subscription-not-found", hint=hint)
    return found


def _replay_page(hub: Hub, fan_out: FanOut, wanted: Kept, after: str, session: Session) -> tuple[int, int, str]:
    """Put the jobs that are missing for the next events; return how many events there were, how many jobs were put, and the last event."""
    query: Any = select(events).where(events.c.type == wanted.event, events.c.id > after).order_by(events.c.id).limit(PAGE)
    rows = session.execute(query).all()
    if not rows:
        return 0, 0, after
    mine = (jobs.c.plugin == wanted.plugin) & (jobs.c.action == wanted.action)
    known = set(session.execute(select(jobs.c.once).where(mine, jobs.c.once.in_([row.id for row in rows]))).scalars())
    missing = [row for row in rows if row.id not in known]
    for row in missing:
        fan_out.put(session, published(row), hub.clock.now())
    return len(rows), len(missing), rows[-1].id
