"""What the hub does with events at each change of the generation, and after each commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError
from luminai.data.event_log import Published
from luminai.host.job_attempts import HUB
from luminai.host.own_work import Replay, own_actions, put_replay
from luminai.work.endpoints import Endpoints
from luminai.work.event_list import EventLog
from luminai.work.subscriptions import keep, kept

if TYPE_CHECKING:
    from luminai.host.generation import Generation
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.events")


def wire_events(hub: Hub) -> None:
    """Give the hub its log of events, its endpoints, and the actions that it does itself."""
    hub.events = EventLog(hub.database, hub.clock, hub.settings.events)
    hub.endpoints = Endpoints(hub.database, hub.vault, hub.clock, hub.audit)
    hub.own_actions = own_actions(hub)


def telling(hub: Hub, generation: Generation) -> Callable[[Sequence[Published]], None]:
    """Return what is told committed events: the subscribers of a generation, and the worker if there are jobs for it."""
    table = generation.wiring.events

    def tell(events: Sequence[Published]) -> None:
        table.deliver(events)
        if any(table.fan_out(event.type) is not None for event in events):
            hub.jobs.wake()

    return tell


async def keep_subscriptions(hub: Hub, generation: Generation) -> None:
    """Remember the durable subscriptions of the plugins that run, so that they go on when those are off; forget what they no longer have."""
    table = generation.wiring.events
    running = {loaded.id for loaded in generation.plugins}
    declared = [one.kept for one in table.durable]

    def unit(session: Session) -> None:
        new = keep(session, declared, running, hub.clock.now())
        for one in table.durable:
            if one.kept in new and one.subscription.since == "start":
                put_replay(hub, session, Replay(one.name), by=HUB, later=True)

    try:
        known = await hub.database.read(kept)
        if {one for one in known if one.plugin in running} != set(declared):
            await hub.database.write(unit)
    except HubError:  # it serves already; the next change tries again
        _log.exception("subscriptions.keep.failed")
    else:
        table.remember(one for one in known if one.plugin not in running)
