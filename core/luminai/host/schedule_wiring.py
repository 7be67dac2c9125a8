"""Schedules put together for a hub: the list that people use, the clock, and the rows that follow what plugins declare."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from luminai.contracts.errors import HubError
from luminai.host.schedule_clock import ScheduleClock
from luminai.host.schedule_firing import Firing
from luminai.host.schedule_list import ScheduleList
from luminai.host.schedule_sync import differences, write

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from luminai.host.generation import Generation
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.schedules")


def schedules_of(hub: Hub) -> tuple[ScheduleList, ScheduleClock]:
    """Return list and clock of a hub whose database is open; both follow its serving generation."""
    settings = hub.settings.schedules
    firing = Firing(hub.vault, hub.audit, settings, lambda: hub.generation.wiring.actions)
    listed = ScheduleList(
        hub.database,
        hub.vault,
        hub.clock,
        hub.audit,
        settings,
        firing,
        actions=lambda: hub.generation.wiring.actions,
        served=lambda: frozenset(loaded.id for loaded in hub.generation.plugins),
    )
    return listed, ScheduleClock(hub.database, hub.clock, firing, lambda: hub.generation, hub.jobs.wake)


async def follow_declared(hub: Hub, generation: Generation) -> None:
    """Let the rows be as the plugins of a generation declare; usually they are, and nothing is written."""
    served = sorted(loaded.id for loaded in generation.plugins)
    declared, now, least = generation.wiring.schedules.all, hub.clock.now(), hub.settings.schedules.min_interval

    def unit(session: Session) -> int:
        changes = differences(session, hub.vault, declared, served, now, least=least)
        write(session, hub.vault, changes, now)
        return len(changes)

    try:
        if await hub.database.read(lambda session: differences(session, hub.vault, declared, served, now, least=least)):
            _log.info("schedules.followed", extra={"changed": await hub.database.write(unit), "generation": generation.number})
    except HubError:  # it serves already; the next change tries again
        _log.exception("schedules.follow.failed")
    hub.schedules.wake()
