"""The hub's rooms, put together, and what the health page says of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.host.job_rooms import JobRooms
from luminai.host.live import ask
from luminai.host.redis_names import name_in_redis
from luminai.http.rooms.log import MemoryLog, RoomLog
from luminai.http.rooms.rooms import Rooms

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.live")


async def rooms_of(hub: Hub) -> tuple[Rooms, JobRooms]:
    """Return the rooms of ``hub``, over Redis where its settings name one, else of this process alone; and those of jobs among them."""
    settings = hub.settings
    url = settings.live.redis_url or settings.limits.redis_url
    log: RoomLog = MemoryLog(hub.clock)
    if url:
        from luminai.http.rooms.redis_log import RedisLog

        log = RedisLog(url, await name_in_redis(hub))
    elif hub.database.dialect == "postgresql":
        _log.warning("live.alone", extra={"reason": "without live.redis-url, messages stay in the process that says them"})
    rooms = Rooms(settings.live, log, hub.clock, ask)
    return rooms, JobRooms(rooms, hub.job_list)


def live_checks(hub: Hub) -> list[HealthCheck]:
    """Return the check that shows readers who miss what other processes say, where there may be others."""
    if isinstance(hub.rooms.log, MemoryLog) and hub.database.dialect == "sqlite":
        return []

    async def check() -> Health:
        if hub.rooms.log.is_away:
            return Health(HealthState.DEGRADED, "Redis does not answer: live messages wait.")
        if isinstance(hub.rooms.log, MemoryLog) and len(await hub.nodes.all()) > 1:
            return Health(HealthState.DEGRADED, "Several processes, and no live.redis-url: readers miss what the others say.")
        return Health(HealthState.OK)

    return [HealthCheck(name="live", check=check)]
