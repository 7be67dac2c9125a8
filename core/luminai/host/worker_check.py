"""Work that nobody does: jobs wait, and of the processes that run none is a worker."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.host.nodes import GONE_AFTER
from luminai.work.job_figures import backlog
from luminai.work.jobs import next_moment

if TYPE_CHECKING:
    from luminai.host.hub import Hub


def worker_checks(hub: Hub) -> list[HealthCheck]:
    """Return the check of a process that is no worker itself; a worker knows that there is one."""
    if "worker" in hub.settings.hub.roles:
        return []

    def oldest(session: Session) -> datetime | None:
        return min((one for one in (backlog(session).oldest, next_moment(session)) if one is not None), default=None)

    async def check() -> Health:
        if any("worker" in node.roles for node in await hub.nodes.all()):
            return Health(HealthState.OK)
        since = await hub.database.read(oldest)
        if since is None or hub.clock.now() - since < GONE_AFTER:
            return Health(HealthState.OK)
        return Health(HealthState.DEGRADED, f"Jobs wait since {since:%Y-%m-%d %H:%M:%S} UTC, and no process with the role worker runs.")

    return [HealthCheck(name="workers", check=check)]
