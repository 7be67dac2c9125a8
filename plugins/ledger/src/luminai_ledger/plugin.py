"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from luminai import ExtensionPoint, Metric, PluginContext, Service, hookimpl
from luminai_ledger.assets import Asset
from luminai_ledger.config import LedgerConfig
from luminai_ledger.models import metadata
from luminai_ledger.service import Ledger

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """The ledger."""

    config: ClassVar = LedgerConfig

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer the ledger to plugins that count something."""
        return [Service(Ledger, Ledger(ctx))]

    @hookimpl
    def extension_points(self) -> Sequence[ExtensionPoint]:
        """Take assets of other plugins."""
        return [ExtensionPoint(name="assets", type=Asset, summary="What a plugin counts: code, exponent, title.")]

    @hookimpl
    def metrics(self) -> Sequence[Metric]:
        """Declare what is counted."""
        return [Metric(name="batch_legs", kind="histogram", help="Transfers written at once.", buckets=(1, 4, 16, 64, 256, 1000))]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Begin to write."""
        await ctx.service(Ledger).start()
