"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from luminai import (
    Action,
    AlertRule,
    EraseReport,
    EventType,
    ExportItem,
    ExtensionPoint,
    Health,
    HealthCheck,
    HealthState,
    Metric,
    PluginContext,
    Schedule,
    Service,
    hookimpl,
)
from luminai_ledger import privacy, upkeep
from luminai_ledger.assets import Asset
from luminai_ledger.config import LedgerConfig
from luminai_ledger.models import metadata
from luminai_ledger.routes import handlers
from luminai_ledger.service import Ledger

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """The ledger."""

    config: ClassVar = LedgerConfig

    def __init__(self) -> None:
        self._ledger: Ledger | None = None

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer the ledger to plugins that count something."""
        self._ledger = Ledger(ctx)
        return [Service(Ledger, self._ledger)]

    @hookimpl
    def extension_points(self) -> Sequence[ExtensionPoint]:
        """Take assets of other plugins."""
        return [ExtensionPoint(name="assets", type=Asset, summary="What a plugin counts: code, exponent, title.")]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published."""
        return [EventType(name="Incident", payload=upkeep.Incident, summary="A reconciliation found differences.", keep="lasting")]

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Declare what is counted."""
        return [
            Metric(name="batch_legs", kind="histogram", help="Transfers written at once.", buckets=(1, 4, 16, 64, 256, 1000)),
            Metric(name="holds_expired", kind="counter", help="Holds that were voided because nobody renewed their lease."),
            Metric(name="differences", kind="gauge", help="Differences that the newest reconciliation found."),
        ]

    @hookimpl
    def alert_rules(self) -> Sequence[AlertRule]:
        """Call somebody when the books are not right."""
        said = "The ledger differs from its history in {value} places: luminai ledger verify."
        return [AlertRule(name="differs", metric="differences", above=0, hold=0, severity="critical", message=said)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether the books were right when they were last looked at, and whether transfers are written in time."""

        async def books() -> Health:
            found = await ctx.db.as_system().read(upkeep.newest_report)
            if found is None or not found[0]:
                return Health(HealthState.OK, "" if found else "not reconciled yet")
            return Health(HealthState.FAILING, f"{found[0]} differences at the reconciliation of {found[1]:%Y-%m-%d %H:%M} UTC")

        async def writer() -> Health:
            waiting, bound = ctx.service(Ledger).waiting, ctx.config.waiting
            return Health(HealthState.DEGRADED, f"{waiting} of {bound} transfers wait") if waiting > bound // 2 else Health(HealthState.OK)

        return [HealthCheck(name="books", check=books, interval=60), HealthCheck(name="writer", check=writer)]

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer the upkeep."""
        return upkeep.actions(ctx)

    @hookimpl
    def schedules(self, ctx: PluginContext) -> Sequence[Schedule]:
        """Run it."""
        return upkeep.schedules(ctx.config)

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer the books to operators, and everybody their own."""
        return handlers(ctx, ctx.service(Ledger))

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Begin to write."""
        await ctx.service(Ledger).start()

    @hookimpl
    async def stop(self) -> None:
        """Write what waits and take nothing more."""
        if self._ledger is not None:
            self._ledger.stop()

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Tell a person's accounts and statements."""
        async for item in privacy.export(ctx, subject):
            yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:  # noqa: ARG002 - nothing is erased either way
        """Say what stays and why."""
        return await privacy.erase(ctx, subject)
