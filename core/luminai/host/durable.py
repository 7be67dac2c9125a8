"""Durable subscriptions as the job ledger sees them: an action without a name of its own in the list of actions, whose input is an event."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final, cast

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.jobs import Action, Job
from luminai.contracts.runtime import Event, Subscription
from luminai.host.actions import MAX_RETRIES, DeclaredAction
from luminai.host.subscriber import check_version
from luminai.work.subscriptions import Kept

MAX_NAME: Final = 80
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[._-]+")


class Handed(Struct):
    """The output of a delivery: there is none."""


class EventDelivery:
    """Implements ``Delivery`` over the job that delivers an event."""

    __slots__ = ("_job", "attempt", "id", "received_at")

    def __init__(self, job: Job, event: Event) -> None:
        self._job = job
        self.id = event.id
        self.received_at = cast("datetime", event.at)  # an event of the log has its moment
        self.attempt = job.attempt

    def finish(self, session: Session, /) -> None:
        """Mark the delivery as done in the plugin's own unit."""
        self._job.finish(session, Handed())


class DeclaredDelivery(DeclaredAction):
    """A durable subscription, ready to be run as jobs."""

    __slots__ = ("subscription",)

    def __init__(self, owner: str, subscription: Subscription) -> None:
        async def run(job: Job, event: Event) -> Handed:
            check_version(owner, subscription, event)
            await subscription.handle(event, EventDelivery(job, event))
            return Handed()

        action = Action(
            name=action_name(subscription),
            summary=f"Handle {subscription.event}.",
            input=Handed,
            output=Handed,
            run=run,
            scope="",
            timeout=subscription.timeout,
            retries=subscription.retries,
            backoff=subscription.backoff,
            concurrency="queue",
        )
        super().__init__(owner, action)
        self.subscription = subscription

    @property
    def kept(self) -> Kept:
        """What is kept of it while its plugin is off."""
        return Kept(self.owner, self.action.name, self.subscription.event)


def action_name(subscription: Subscription) -> str:
    """Return the name that its jobs run under: ``on-<event in lower-case words>[-<name>]``."""
    words = _HUMP.sub("-", subscription.event).strip("-").lower()
    return "-".join(part for part in ("on", words, subscription.name) if part)


def fault_of(subscription: Subscription) -> str:
    """Return why a durable subscription cannot be kept, "" when it can."""
    name: Any = subscription.name
    if not re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", name) or len(action_name(subscription)) > MAX_NAME:
        return "its name is no plain name of lower-case words, or too long"
    if not 0 <= subscription.retries <= MAX_RETRIES or subscription.backoff < 0:
        return f"retries is 0 to {MAX_RETRIES}, and backoff not below 0"
    if subscription.since not in ("now", "start"):
        return "since is now or start"
    return ""
