"""Hook implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from luminai import Action, AIProvider, EraseReport, ExportItem, HealthCheck, Job, PluginContext, Schedule, Service, hookimpl
from luminai_ai_gateway import call_routes, model_routes, price_routes, privacy
from luminai_ai_gateway.config import GatewayConfig
from luminai_ai_gateway.models import metadata
from luminai_ai_gateway.prices import Prices
from luminai_ai_gateway.provider import GatewayProvider
from luminai_ai_gateway.service import Gateway
from luminai_ai_gateway.upkeep import Kept, Nothing, upkeep

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """Named models and routes over all providers."""

    config: ClassVar = GatewayConfig

    def __init__(self) -> None:
        self._made: tuple[Gateway, Prices] | None = None

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer calls and prices to plugins that require this one."""
        gateway, prices = self._both(ctx)
        return [Service(Prices, prices), Service(Gateway, gateway)]

    @hookimpl
    def ai_providers(self, ctx: PluginContext) -> Sequence[AIProvider]:
        """Offer the routes to plugins that call models by the contract."""
        gateway, _ = self._both(ctx)
        return [GatewayProvider(gateway.catalogue, gateway.replies)]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer prices and models to operators, and people's own calls to them."""
        gateway, prices = self._both(ctx)
        return [*call_routes.handlers(ctx, gateway), *price_routes.handlers(ctx, prices), *model_routes.handlers(ctx, gateway, prices)]

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer what the clock brings."""

        async def run(_: Job, __: Nothing) -> Kept:
            return await upkeep(ctx)

        summary = "End the records of calls that were lost, and delete old ones."
        return [
            Action(name="upkeep", summary=summary, input=Nothing, output=Kept, run=run, scope="ai-gateway:manage", timeout=600, concurrency="skip")
        ]

    @hookimpl
    def schedules(self, ctx: PluginContext) -> Sequence[Schedule]:  # noqa: ARG002 - the hook's shape
        """Look after the records."""
        return [Schedule(name="upkeep", action="upkeep", trigger="every: 15m", jitter=60)]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether every route leads somewhere."""
        return [HealthCheck(name="routes", check=self._both(ctx)[0].health)]

    @hookimpl
    async def export_subject(self, ctx: PluginContext, subject: str) -> AsyncIterator[ExportItem]:
        """Tell a person's calls."""
        async for item in privacy.export(ctx, subject):
            yield item

    @hookimpl
    async def erase_subject(self, ctx: PluginContext, subject: str, dry_run: bool) -> EraseReport:
        """Delete a person's calls."""
        return await privacy.erase(ctx, subject, dry_run=dry_run)

    def _both(self, ctx: PluginContext) -> tuple[Gateway, Prices]:
        if self._made is None:
            prices = Prices(ctx.new_id, ctx.clock)
            self._made = Gateway(ctx, prices), prices
        return self._made
