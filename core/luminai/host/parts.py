"""The parts of a hub that stay the same over generations: stores, queues, workers, and who may do what. Made once the database has its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luminai.audit.log import AuditLog
from luminai.data.rates import RedisRates, rates_for
from luminai.data.wake_hints import WakeHints
from luminai.host.audit_witness import sealer_of
from luminai.host.auth_wiring import identity_of
from luminai.host.cache_store import cache_of
from luminai.host.desired import DesiredStore
from luminai.host.event_wiring import wire_events
from luminai.host.job_wiring import jobs_of
from luminai.host.live_wiring import rooms_of
from luminai.host.mail_transport import lend_transport
from luminai.host.nodes import NodeRegistry
from luminai.host.redis_names import name_in_redis
from luminai.host.repairs import IgnoredRepairs
from luminai.host.schedule_wiring import schedules_of
from luminai.host.unlock import open_vault
from luminai.host.webhook_inbox import Inbox
from luminai.host.webhook_worker import WebhookWorker
from luminai.http.idempotency import Idempotency
from luminai.http.limits import Limits
from luminai.identity.authenticate import Verifier
from luminai.identity.keys import KeyStore
from luminai.identity.tickets import Tickets
from luminai.work.job_list import JobList
from luminai.work.job_pauses import JobPauses
from luminai.work.mail import MailQueue
from luminai.work.mail_worker import MailWorker
from luminai.work.processes import ProcessPool

if TYPE_CHECKING:
    from luminai.host.hub import Hub


async def open_parts(hub: Hub) -> None:
    """Make them in the order in which they need one another.

    Raises:
        HubError: the vault cannot be opened, or a store does not answer.
    """
    hub.vault = await open_vault(hub)
    hub.audit = AuditLog(hub.database, hub.clock, hub.vault)
    if hub.settings.audit.every_request:
        hub.edge.trail = hub.audit.asked
    hub.sealer = sealer_of(hub)
    hub.idempotency = Idempotency(hub.database, hub.vault, hub.clock)
    hub.keys = KeyStore(hub.database, hub.clock, hub.audit, settings=hub.settings)
    hub.desired = DesiredStore(hub.database, hub.clock, hub.audit)
    hub.nodes = NodeRegistry(hub.database, hub.clock, hub.settings.hub.roles)
    hub.ignored = IgnoredRepairs(hub.database, hub.clock)
    hub.webhooks = WebhookWorker(
        Inbox(hub.database, hub.clock, hub.vault), hub.clock, lambda: hub.generation, is_alone=hub.database.dialect == "sqlite"
    )
    hub.mail = MailWorker(MailQueue(hub.database, hub.clock, hub.vault, hub.audit), hub.clock, lambda: lend_transport(hub.generation))
    wire_events(hub)
    hub.job_list = JobList(hub.database, hub.vault, hub.clock, hub.audit)
    hub.job_pauses = JobPauses(hub.database, hub.clock, hub.audit)
    hub.identity = identity_of(hub)
    url = hub.settings.limits.redis_url
    hub.rates = RedisRates(url, await name_in_redis(hub)) if url else rates_for(hub.database, hub.clock.monotonic)
    hub.limits = Limits(hub.settings.limits, hub.rates)
    hub.rooms, hub.job_rooms = await rooms_of(hub)
    hub.hints = WakeHints(hub.settings.database.url) if hub.database.dialect == "postgresql" else None
    hub.processes = ProcessPool(most=hub.settings.jobs.processes, megabytes=hub.settings.jobs.process_megabytes)
    hub.jobs = jobs_of(hub)
    if hub.hints is not None:
        hub.hints.heard = hub.jobs.look
    hub.cache = await cache_of(hub)
    hub.schedule_list, hub.schedules = schedules_of(hub)
    hub.verifier = Verifier(hub.keys, hub.identity.access, hub.clock)
    hub.identity.forget = hub.verifier.forget
    hub.verifier.forgotten, hub.live.again = hub.live.forget, hub.verifier.again
    hub.tickets = Tickets(hub.database, hub.clock, hub.identity.digests)
