"""Payments through Stripe: ``ctx.service(StripeBilling)`` for subscriptions and the billing portal."""

from luminai_pay_stripe.billing import StripeBilling, Subscribed

__all__ = ["StripeBilling", "Subscribed"]
