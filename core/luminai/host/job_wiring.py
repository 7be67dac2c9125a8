"""The jobs of a hub: what runs them in this process, and what hears of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from luminai.contracts.audit import Outcome
from luminai.host.job_attempts import HUB, Attempts
from luminai.host.job_dispatch import JobDispatch
from luminai.host.job_run import Runner
from luminai.host.job_worker import JobWorker
from luminai.work.job_leases import Claimed

if TYPE_CHECKING:
    from luminai.host.generation import Generation
    from luminai.host.hub import Hub


def jobs_of(hub: Hub) -> JobDispatch:
    """Return what looks after the ledger."""

    def generation() -> Generation:
        return hub.generation

    figures, tell, settings = hub.tracer.figures, hub.job_rooms.tell, hub.settings.jobs
    lease = timedelta(seconds=settings.lease_seconds)

    def note(job: Claimed, outcome: str, runner: Runner) -> None:
        """Have the audit log know what no request asked for, and what a guard refused whoever asked. Deliveries are as many as events are."""
        is_known = job.trigger == "http" or job.plugin == HUB or (job.is_delivery and not hub.settings.audit.every_request)
        if outcome != "retrying" and (runner.is_denied or not is_known):
            by = job.trigger if job.trigger.startswith("plugin:") else job.trigger.partition(":")[0]
            how: Outcome = "ok" if outcome == "succeeded" else "denied" if runner.is_denied else "failed"
            hub.audit.ran(by, job.subject, f"{job.plugin}.{job.action}", how, runner.code or outcome)

    attempts = Attempts(
        hub.database, hub.vault, hub.clock, generation, name=hub.nodes.id, lease=lease, figures=figures, processes=hub.processes, tell=tell, note=note
    )
    worker = JobWorker(hub.database, hub.vault, hub.clock, generation, settings, attempts)
    is_alone = hub.database.dialect == "sqlite"
    put = hub.hints.tell if hub.hints is not None else None
    return JobDispatch(hub.database, hub.clock, generation, settings, attempts, worker, is_alone=is_alone, put=put)
