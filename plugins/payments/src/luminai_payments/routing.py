"""Which provider takes a payment: the one that is named, the first rule that fits, else the first provider that can."""

from __future__ import annotations

from typing import Any

from luminai import PaymentProvider, PluginContext, Unavailable, Unprocessable
from luminai_payments.config import PaymentsConfig, RouteRule


def provider_named(ctx: PluginContext, name: str) -> PaymentProvider:
    """Return a provider of the settings.

    Raises:
        Unprocessable: the settings do not name it (code ``payments.unknown-provider``).
        Unavailable: its plugin does not run (code ``payments.provider-off``).
    """
    config: PaymentsConfig = ctx.config
    if name not in config.providers:
        raise Unprocessable(f"There is no provider {name}.", code="payments.unknown-provider", hint=f"Known: {', '.join(config.providers)}.")
    found = ctx.providers.payment_providers.get(name)
    if found is None:
        hint = "Enable its plugin: pay-sandbox for trying things out, pay-stripe for Stripe."
        raise Unavailable(f"The provider {name} does not run.", code="payments.provider-off", hint=hint, retry_after=60)
    return found


def choose(ctx: PluginContext, asset: str, ask: Any) -> PaymentProvider:
    """Return the provider for a checkout or charge.

    Raises:
        Unprocessable: none takes such a payment (code ``payments.no-provider``), or the one that is named does not.
        Unavailable: the one that is meant does not run.
    """
    config: PaymentsConfig = ctx.config
    rule = next((rule for rule in config.routes if _fits(rule, asset, ask)), None)
    named = ask.provider or (rule.provider if rule else "")
    if named:
        found = provider_named(ctx, named)
        if not can(found, asset, ask):
            raise _none(f"{named} does not take {asset} by {ask.kind}.")
        return found
    running = [ctx.providers.payment_providers[name] for name in config.providers if name in ctx.providers.payment_providers]
    if not running:
        return provider_named(ctx, config.providers[0])
    for provider in running:
        if can(provider, asset, ask):
            return provider
    raise _none(f"No provider takes {asset} by {ask.kind}.")


def can(provider: PaymentProvider, asset: str, ask: Any) -> bool:
    """Tell whether a provider declares that it takes such a payment; an empty list of assets, methods or countries takes all."""
    able = provider.capabilities()
    pairs = ((able.assets, asset), (able.methods, ask.kind), (able.countries, ask.country))
    return all(not allowed or not wanted or wanted in allowed for allowed, wanted in pairs) and (able.authorize or getattr(ask, "capture", True))


def _fits(rule: RouteRule, asset: str, ask: Any) -> bool:
    pairs = ((rule.assets, asset), (rule.kinds, ask.kind), (rule.countries, ask.country))
    return all(not allowed or wanted in allowed for allowed, wanted in pairs)


def _none(detail: str) -> Unprocessable:
    return Unprocessable(detail, code="payments.no-provider", hint="Choose another asset, kind or provider.")
