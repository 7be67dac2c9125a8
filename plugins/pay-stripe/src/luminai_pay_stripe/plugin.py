"""Hook implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luminai import (
    ConfigRejected,
    EventType,
    Health,
    HealthCheck,
    HealthState,
    PaymentError,
    PaymentProvider,
    PluginContext,
    ProblemItem,
    Service,
    Webhook,
    hookimpl,
)
from luminai_pay_stripe.billing import StripeBilling, Subscribed
from luminai_pay_stripe.client import StripeApi
from luminai_pay_stripe.config import PayStripeConfig
from luminai_pay_stripe.provider import StripeProvider
from luminai_pay_stripe.subscriptions import webhook


class Plugin:
    """Payments through Stripe."""

    config: ClassVar = PayStripeConfig

    def __init__(self) -> None:
        self._api: StripeApi | None = None

    @hookimpl
    def payment_providers(self, ctx: PluginContext) -> Sequence[PaymentProvider]:
        """Offer the provider ``stripe``."""
        return [StripeProvider(ctx, self._one(ctx))]

    @hookimpl
    def services(self, ctx: PluginContext) -> Sequence[Service]:
        """Offer subscriptions and the billing portal."""
        return [Service(StripeBilling, StripeBilling(self._one(ctx)))]

    @hookimpl
    def event_types(self) -> Sequence[EventType]:
        """Declare what is published."""
        return [EventType(name="SubscriptionChanged", payload=Subscribed, summary="A subscription at Stripe is as it says now.")]

    @hookimpl
    def webhooks(self, ctx: PluginContext) -> Sequence[Webhook]:
        """Receive at ``/api/webhook/pay-stripe`` what Stripe tells of subscriptions."""
        return [webhook(ctx, StripeBilling(self._one(ctx)))]

    @hookimpl
    def health_checks(self, ctx: PluginContext) -> Sequence[HealthCheck]:
        """Tell whether Stripe takes the key."""
        api = self._one(ctx)

        async def check() -> Health:
            try:
                await api.call(lambda client: client.v1.balance.retrieve_async())
            except ConfigRejected as error:
                return Health(HealthState.DEGRADED, error.detail)  # the rest of the hub serves without it
            except PaymentError as error:
                return Health(HealthState.DEGRADED, f"Stripe: {error.code}")
            return Health(HealthState.OK)

        return [HealthCheck(name="api", check=check, interval=60, timeout=10)]

    @hookimpl
    async def test_config(self, ctx: PluginContext) -> Sequence[ProblemItem]:
        """Try the key."""
        try:
            await StripeApi(ctx).call(lambda client: client.v1.balance.retrieve_async())
        except (ConfigRejected, PaymentError) as error:
            return [ProblemItem(detail=str(error)[:300], pointer="/api-key", hint="Stripe must know the key, and the hub must reach Stripe.")]
        return []

    def _one(self, ctx: PluginContext) -> StripeApi:
        """Return the one that all hooks share: it holds the SDK's client."""
        self._api = self._api or StripeApi(ctx)
        return self._api
