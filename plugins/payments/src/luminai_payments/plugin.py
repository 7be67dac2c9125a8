"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import func, select

from luminai import (
    Action,
    EraseReport,
    EventType,
    Health,
    HealthCheck,
    HealthState,
    Job,
    Metric,
    PluginContext,
    Schedule,
    Service,
    Subscription,
    Webhook,
    hookimpl,
)
from luminai_payments.admin_routes import admin_routes
from luminai_payments.bookkeeping import Bookkeeper
from luminai_payments.config import PaymentsConfig
from luminai_payments.inbox import Inbox
from luminai_payments.models import metadata, operations
from luminai_payments.renewals import DUE, Renewals
from luminai_payments.repairing import Repairer
from luminai_payments.routes import routes
from luminai_payments.schemas import Captured, Disputed, Failed, Nothing, Reconciled, Refunded, Repaired
from luminai_payments.service import Payments
from luminai_payments.store import STILL_OPEN

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """Payments over any provider."""

    config: ClassVar = PaymentsConfig

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer payments to plugins that sell something."""
        return [Service(Payments, Payments(ctx))]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published."""
        return [
            EventType(name="Captured", payload=Captured, keep="lasting", summary="Money was taken."),
            EventType(name="Refunded", payload=Refunded, keep="lasting", summary="Money went back to the payer."),
            EventType(name="Disputed", payload=Disputed, keep="lasting", summary="A dispute began, was won or was lost."),
            EventType(name="Failed", payload=Failed, summary="A payment came to nothing."),
        ]

    @hookimpl
    def subscriptions(self, ctx: PluginContext) -> Sequence[Subscription]:
        """Hear what becomes due, where a plugin sells by the month."""
        config: PaymentsConfig = ctx.config
        take = Renewals(ctx, ctx.service(Payments)).take
        return [Subscription(event=DUE, handle=take, durable=True, timeout=config.call_seconds + 30)]

    @hookimpl
    def webhooks(self, ctx: PluginContext) -> Sequence[Webhook]:
        """Receive at ``/api/webhook/payments/<provider>``."""
        config: PaymentsConfig = ctx.config
        inbox = _inbox(ctx)
        return [inbox.webhook(name) for name in dict.fromkeys(config.providers)]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer paying and looking after payments."""
        service = ctx.service(Payments)
        return [*routes(ctx, service), *admin_routes(ctx, service, _repairer(ctx))]

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer repair and reconciliation."""
        repairer = _repairer(ctx)

        async def repair(_: Job, __: Nothing) -> Repaired:
            return await repairer.repair()

        async def reconcile(_: Job, __: Nothing) -> Reconciled:
            return await repairer.reconcile()

        kinds: dict[str, Any] = {"input": Nothing, "scope": "payments:manage", "concurrency": "skip", "timeout": 600}
        return [
            Action(name="repair", summary="Ask about payments whose outcome is open.", output=Repaired, run=repair, **kinds),
            Action(name="reconcile", summary="Compare with the providers' lists.", output=Reconciled, run=reconcile, **kinds),
        ]

    @hookimpl
    def schedules(self) -> Sequence[Schedule]:
        """Ask every minute, compare every ten."""
        return [
            Schedule(name="repair", action="repair", trigger="every: 1m", misfire="once"),
            Schedule(name="reconcile", action="reconcile", trigger="every: 10m", misfire="once", jitter=60),
        ]

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Declare what is counted."""
        return [Metric(name="operations_total", kind="counter", help="What was asked of providers.", labels=("kind", "state"))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether money can be taken, and whether anything stays unknown."""
        config: PaymentsConfig = ctx.config
        database = ctx.db.as_system()

        async def providers() -> Health:
            missing = [name for name in config.providers if name not in ctx.providers.payment_providers]
            if len(missing) == len(config.providers):
                return Health(HealthState.FAILING, "no provider runs; enable pay-sandbox or pay-stripe")
            return Health(HealthState.DEGRADED, f"does not run: {', '.join(missing)}") if missing else Health(HealthState.OK)

        async def unknown() -> Health:
            long_ago = ctx.clock.now() - timedelta(hours=1)
            old = select(func.count()).select_from(operations).where(operations.c.state.in_(STILL_OPEN), operations.c.created_at < long_ago)
            count = await database.read(lambda session: session.execute(old).scalar_one())
            return Health(HealthState.DEGRADED, f"{count} outcomes unknown for an hour") if count else Health(HealthState.OK)

        return [HealthCheck(name="providers", check=providers), HealthCheck(name="unknown", check=unknown, interval=60)]

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Have the providers forget a person's methods; payments stay, as the law asks."""
        if not dry_run:
            await ctx.service(Payments).methods.detach_all(subject)
        return EraseReport(erased={})


def _inbox(ctx: PluginContext) -> Inbox:
    return Inbox(ctx, ctx.service(Payments).effects)


def _repairer(ctx: PluginContext) -> Repairer:
    return Repairer(ctx, ctx.service(Payments).effects, _inbox(ctx), Bookkeeper(ctx))
