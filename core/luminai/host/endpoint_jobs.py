"""Sending events to endpoints: one job of the hub for each message, through the outbound client that reaches public addresses only."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, HubError, Upstream
from luminai.contracts.identity import Actor
from luminai.contracts.jobs import Action, Job
from luminai.data.after_commit import after_commit
from luminai.data.event_log import Published
from luminai.data.ids import new_id
from luminai.data.owners import Acting
from luminai.data.tables_people import people
from luminai.host.actions import DeclaredAction, new_job
from luminai.host.endpoint_urls import grants_for
from luminai.host.job_attempts import HUB
from luminai.http.signatures import standard_signature
from luminai.identity.roles import scopes_of
from luminai.work.endpoint_calls import DISABLE_AFTER, PING, Call, Message, Receiver, disable, message_of, note, ping, receiver, wanted_by
from luminai.work.event_jobs import load
from luminai.work.jobs import put

if TYPE_CHECKING:
    from luminai.host.hub import Hub

SEND: Final = "send-event"
SCOPE: Final = "hub:webhooks"
TIMEOUT: Final = 15.0
RETRIES: Final = 14
GONE: Final = 410
_MAX_ANSWER: Final = 64 * 1024


class Sending(Struct, frozen=True, forbid_unknown_fields=True):
    """Which event goes to which endpoint; without an event it is a ping with the id ``message``."""

    endpoint: Annotated[str, Meta(pattern=r"^end_[0-9a-f]{32}\Z")]
    event: Annotated[str, Meta(pattern=r"^(evt_[0-9a-f]{32})?\Z")] = ""
    message: Annotated[str, Meta(pattern=r"^(msg_[0-9a-f]{32})?\Z")] = ""


class Sent(Struct, frozen=True):
    """What the endpoint answered, or why nothing was sent."""

    status: int
    skipped: str = ""


def send_action(hub: Hub) -> DeclaredAction:
    """Return the action that sends one message once."""

    async def send(job: Job, given: Sending) -> Sent:
        to, message, refusal = await hub.database.read(lambda session: _look(hub, session, given))
        if to is None:
            return Sent(0, "The endpoint is gone.")
        if refusal:
            await hub.database.write(lambda session: _turn_off(hub, session, to, refusal))
            return Sent(0, refusal)
        if message is None:
            return Sent(0, "The log no longer holds the event.")
        if not to.is_active and message.type != PING:
            return Sent(0, "The endpoint is disabled.")
        call = await _call(hub, to, message, job.attempt)
        await hub.database.write(lambda session: _noted(hub, session, to, message, call))
        if call.went_well or call.status == GONE:
            return Sent(call.status)
        raise Upstream(call.error or f"The endpoint answered {call.status}.", code="endpoint-failed")

    action = Action(
        name=SEND,
        summary="Send an event to an endpoint.",
        input=Sending,
        output=Sent,
        run=send,
        scope=SCOPE,
        timeout=TIMEOUT + 30,
        retries=RETRIES,
        backoff=10,
    )
    return DeclaredAction(HUB, action)


def hand_on(hub: Hub, session: Session, event: Published) -> None:
    """Put a job for each endpoint that gets an event, in the unit that publishes it."""
    found = wanted_by(session, event)
    for endpoint, subject in found:
        put_sending(hub, session, Sending(endpoint, event.id), subject, once=f"{endpoint}:{event.id}")
    if found:
        after_commit(session, lambda _: hub.jobs.wake())


def put_sending(hub: Hub, session: Session, given: Sending, subject: str, *, once: str | None = None, by: str = HUB) -> str:
    """Put the job that sends a message, and return its id; of two with the same ``once`` there is one."""
    declared = next(one for one in hub.own_actions if one.action.name == SEND)
    job = new_job(declared, msgspec.json.encode(given), whose=Acting(subject), actor=by, trigger=HUB, once=once)
    return put(session, hub.vault, job, hub.clock.now())


def new_ping(endpoint: str) -> Sending:
    """Return what sends a ping."""
    return Sending(endpoint, message=new_id("msg"))


def put_again(hub: Hub, session: Session, endpoint: str, event_id: str, subject: str, *, by: Actor) -> str:
    """Put the job that sends an event once more.

    Raises:
        Conflict: the log no longer holds it, or the endpoint never got such events (code ``event-not-for-endpoint``).
    """
    event = load(session, [event_id]).get(event_id)
    if event is None or all(one != endpoint for one, _ in wanted_by(session, event)):
        hint = "`luminai endpoints log` shows the messages of an endpoint; a disabled one is enabled first."
        raise Conflict(f"{endpoint} does not get {event_id}.", code="event-not-for-endpoint", hint=hint)
    hub.audit.record(session, by, AuditEntry(action="endpoint.replay", object=endpoint, detail={"event": event_id}))
    return put_sending(hub, session, Sending(endpoint, event_id), subject, by=by.id)


def _look(hub: Hub, session: Session, given: Sending) -> tuple[Receiver | None, Message | None, str]:
    """Return where a message goes, what it says, and why it may not go there any more."""
    to = receiver(session, hub.vault, given.endpoint, hub.clock.now())
    if to is None:
        return None, None, ""
    if not given.event:
        return to, ping(given.message, hub.clock.now()), _refusal(session, to)
    event = load(session, [given.event]).get(given.event)
    return to, message_of(event) if event is not None else None, _refusal(session, to)


def _refusal(session: Session, to: Receiver) -> str:
    """Rights end at once: people who are suspended get nothing, and those who may no longer see everybody's events only their own."""
    status = session.execute(select(people.c.status).where(people.c.id == to.subject)).scalar()
    if status is None:
        return ""  # of a key that is no person's
    if status in ("suspended", "erased"):
        return f"Its owner is {status}."
    is_allowed = not to.everyone or Actor(HUB, to.subject, scopes_of(session, to.subject)).may(SCOPE)
    return "" if is_allowed else "Its owner may no longer see everybody's events."


async def _call(hub: Hub, to: Receiver, message: Message, attempt: int) -> Call:
    now, began = hub.clock.now(), time.perf_counter()
    stamp = int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "LuminAI-Hub",
        "webhook-id": message.id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": " ".join(standard_signature(key, message.id, stamp, message.body) for key in to.keys),
    }
    status, error, answer = 0, "", b""
    try:
        client = hub.outbound.client("hub-endpoints", grants_for(to.url, hub.settings.endpoints.approve))
        reply = await client.request("POST", to.url, headers=headers, body=message.body, timeout=TIMEOUT, max_bytes=_MAX_ANSWER)
        status, answer = reply.status, reply.body
    except HubError as failure:
        error = f"{failure.code}: {failure.detail}"
    took = min(round((time.perf_counter() - began) * 1000), 2**31 - 1)
    return Call(attempt=attempt, began_at=now, milliseconds=took, status=status, error=error, answer=answer)


def _noted(hub: Hub, session: Session, to: Receiver, message: Message, call: Call) -> None:
    failures = note(session, hub.vault, to, message, call)
    if call.status == GONE:
        _turn_off(hub, session, to, "The endpoint says that it is gone (410).")
    elif failures >= DISABLE_AFTER:
        last: str | datetime = call.error or f"status {call.status}"
        _turn_off(hub, session, to, f"{failures} attempts in a row failed, the last with {last}.")


def _turn_off(hub: Hub, session: Session, to: Receiver, reason: str) -> None:
    if disable(session, to.id, reason):
        hub.audit.record(session, HUB, AuditEntry(action="endpoint.disable", object=to.id, subject=to.subject, detail={"reason": reason[:300]}))
