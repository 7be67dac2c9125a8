"""The jobs of a hub: what runs them in this process, and what hears of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from luminai.host.job_attempts import Attempts
from luminai.host.job_dispatch import JobDispatch
from luminai.host.job_worker import JobWorker

if TYPE_CHECKING:
    from luminai.host.generation import Generation
    from luminai.host.hub import Hub


def jobs_of(hub: Hub) -> JobDispatch:
    """Return what looks after the ledger."""

    def generation() -> Generation:
        return hub.generation

    figures, tell, settings = hub.tracer.figures, hub.job_rooms.tell, hub.settings.jobs
    lease = timedelta(seconds=settings.lease_seconds)
    attempts = Attempts(
        hub.database, hub.vault, hub.clock, generation, name=hub.nodes.id, lease=lease, figures=figures, processes=hub.processes, tell=tell
    )
    worker = JobWorker(hub.database, hub.vault, hub.clock, generation, settings, attempts)
    is_alone = hub.database.dialect == "sqlite"
    put = hub.hints.tell if hub.hints is not None else None
    return JobDispatch(hub.database, hub.clock, generation, settings, attempts, worker, is_alone=is_alone, put=put)
