"""Subscriptions and the billing portal, for plugins that sell plans through Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from luminai_pay_stripe.client import StripeApi


class Subscribed(Struct, frozen=True, kw_only=True):
    """A subscription as Stripe has it; ``status`` is Stripe's word (``active``, ``past_due``, ``canceled`` …), ``meta`` what its maker gave."""

    ref: str
    status: str
    customer: str
    price: str
    until: datetime | None
    ends_with_period: bool
    meta: dict[str, str] = {}


class StripeBilling:
    """What Stripe does beside single payments. All of it raises ``PaymentError`` as providers do."""

    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def subscribe(self, customer: str, price: str, *, key: str, meta: Mapping[str, str] | None = None, trial_days: int = 0) -> Subscribed:
        """Subscribe a customer to a price; the first invoice is paid with the customer's default method."""
        ask: dict[str, Any] = {"customer": customer, "items": [{"price": price}], "metadata": dict(meta or {})}
        ask |= {"trial_period_days": trial_days} if trial_days else {}
        return _read(await self._api.call(lambda client: client.v1.subscriptions.create_async(ask, {"idempotency_key": key})))

    async def find(self, ref: str) -> Subscribed:
        """Return a subscription as it stands."""
        return _read(await self._api.call(lambda client: client.v1.subscriptions.retrieve_async(ref)))

    async def change(self, ref: str, price: str, *, key: str, prorate: bool = True) -> Subscribed:
        """Move a subscription to another price."""
        found = (await self._api.call(lambda client: client.v1.subscriptions.retrieve_async(ref))).to_dict()
        item = {"id": found["items"]["data"][0]["id"], "price": price}
        ask: Any = {"items": [item], "proration_behavior": "create_prorations" if prorate else "none"}
        return _read(await self._api.call(lambda client: client.v1.subscriptions.update_async(ref, ask, {"idempotency_key": key})))

    async def cancel(self, ref: str, *, key: str, at_once: bool = False) -> Subscribed:
        """End a subscription at the end of its period, or at once."""
        options: Any = {"idempotency_key": key}
        if at_once:
            return _read(await self._api.call(lambda client: client.v1.subscriptions.cancel_async(ref, {}, options)))
        return _read(await self._api.call(lambda client: client.v1.subscriptions.update_async(ref, {"cancel_at_period_end": True}, options)))

    async def portal(self, customer: str, return_url: str) -> str:
        """Return the address at which a customer looks after methods, invoices and subscriptions; it holds for some minutes."""
        ask: Any = {"customer": customer, "return_url": return_url}
        made = await self._api.call(lambda client: client.v1.billing_portal.sessions.create_async(ask))
        return str(made["url"])


def _read(found: Any) -> Subscribed:
    plain = found.to_dict()
    item = plain["items"]["data"][0]
    ends = item.get("current_period_end") or plain.get("current_period_end")
    return Subscribed(
        ref=plain["id"],
        status=plain["status"],
        customer=plain["customer"],
        price=item["price"]["id"],
        until=datetime.fromtimestamp(ends, UTC) if ends else None,
        ends_with_period=bool(plain.get("cancel_at_period_end")),
        meta=plain.get("metadata") or {},
    )
