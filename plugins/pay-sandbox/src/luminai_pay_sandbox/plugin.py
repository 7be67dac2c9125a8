"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from luminai import (
    Action,
    ConfigRejected,
    Health,
    HealthCheck,
    HealthState,
    PaymentProvider,
    PluginContext,
    Unavailable,
    hookimpl,
)
from luminai_pay_sandbox.config import PaySandboxConfig
from luminai_pay_sandbox.delivery import deliver_action
from luminai_pay_sandbox.models import metadata
from luminai_pay_sandbox.provider import SandboxProvider
from luminai_pay_sandbox.routes import routes
from luminai_pay_sandbox.signing import Signer

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Plugin:
    """A payment provider that moves no money."""

    config: ClassVar = PaySandboxConfig

    def __init__(self) -> None:
        self._signer: Signer | None = None

    @hookimpl
    def models(self) -> MetaData:
        """Name the tables."""
        return metadata

    @hookimpl
    def payment_providers(self, ctx: PluginContext) -> Sequence[PaymentProvider]:
        """Offer the provider ``sandbox``."""
        return [SandboxProvider(ctx, self._one(ctx))]

    @hookimpl
    def routes(self, ctx: PluginContext) -> Sequence[Any]:
        """Offer looking into it, acting as payer or bank, and its clock."""
        return routes(ctx, SandboxProvider(ctx, self._one(ctx)))

    @hookimpl
    def actions(self, ctx: PluginContext) -> Sequence[Action]:
        """Offer the delivery of webhooks."""
        return [deliver_action(ctx, self._one(ctx))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether webhooks can be signed."""
        signer = self._one(ctx)

        async def check() -> Health:
            try:
                await ctx.run_sync(signer.sign, b"", ctx.clock.now())
            except (ConfigRejected, Unavailable) as error:
                return Health(HealthState.DEGRADED, error.detail)
            return Health(HealthState.OK)

        return [HealthCheck(name="secret", check=check)]

    @hookimpl
    async def start(self, ctx: PluginContext) -> None:
        """Make sure of the webhook secret."""
        await ctx.run_sync(self._one(ctx).load)

    def _one(self, ctx: PluginContext) -> Signer:
        """Return the one that all hooks share: it holds the secret."""
        self._signer = self._signer or Signer(ctx)
        return self._signer
