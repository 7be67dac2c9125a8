"""Subscriptions and the billing portal, as plugins that sell through Stripe have them, and what the hub hears of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stripe", reason="the extra pay-stripe[sdk] is not installed")

from stripe_twin import StripeTwin
from test_stripe import on_stripe, refused

from luminai import Party
from luminai_pay_stripe import StripeBilling

HOOK = "/api/webhook/pay-stripe"


def billing_of(hub: Any) -> StripeBilling:
    found: StripeBilling = hub.hub.generation.wiring.services.find("pay-stripe", StripeBilling)
    return found


def prices(twin: StripeTwin) -> list[str]:
    """Return the ids of a low price and a high one."""
    return [twin.book.new("price", "price", currency="eur", unit_amount=amount)["id"] for amount in (900, 1900)]


def test_billing__subscribes_changes_cancels_and_opens_the_portal(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, hub: Any) -> None:
        billing = billing_of(hub)
        customer = await provider.ensure_party(Party(reference="p-1"), key="p")
        small, big = prices(twin)
        made = await billing.subscribe(customer, small, key="s", meta={"order": "17"})
        assert (made.status, made.price, made.meta, (await billing.subscribe(customer, small, key="s", meta={"order": "17"})).ref) == (
            "active",
            small,
            {"order": "17"},
            made.ref,
        )
        assert await refused(billing.subscribe(customer, big, key="s")) == "idempotency-mismatch"
        assert await refused(billing.subscribe("cus_none", small, key="s2")) == "not-found"
        assert (await billing.subscribe(customer, small, key="t", trial_days=14)).status == "trialing"
        assert (await billing.change(made.ref, big, key="c")).price == big
        assert (await billing.cancel(made.ref, key="x")).ends_with_period
        assert (await billing.cancel(made.ref, key="y", at_once=True)).status == "canceled"
        assert await refused(billing.change(made.ref, small, key="z")) == "not-found"
        assert (await billing.find(made.ref)).status == "canceled"
        assert (await billing.portal(customer, "https://hub.example/")).endswith(customer)
        assert await refused(billing.portal("cus_none", "https://hub.example/")) == "not-found"

    on_stripe(tmp_path, work)


async def deliver(hub: Any, letters: list[tuple[bytes, str]]) -> list[int]:
    """Post deliveries and let the hub handle them; return its answers."""
    head = {"content-type": "application/json"}
    sent = [hub.client().request("POST", HOOK, body=body, headers=head | {"stripe-signature": signature}) for body, signature in letters]
    answers = [answer.status for answer in await asyncio.gather(*sent)]
    await hub.hub.webhooks.settle()
    return answers


async def heard(hub: Any) -> list[Any]:
    """Return what was published, oldest first."""
    client = hub.client("*")
    listed = (await client.request("GET", "/api/admin/events?type=pay-stripe.SubscriptionChanged")).json()["items"]
    return [(await client.request("GET", f"/api/events/{one['id']}")).json()["payload"] for one in reversed(listed)]


@pytest.mark.parametrize("order", ["made", "reversed"])
def test_subscription__told_three_times_in_any_order__is_published_as_it_stands(tmp_path: Path, order: Any) -> None:
    async def work(provider: Any, twin: StripeTwin, hub: Any) -> None:
        billing = billing_of(hub)
        customer = await provider.ensure_party(Party(reference="p-1"), key="p")
        made = await billing.subscribe(customer, prices(twin)[0], key="s", meta={"order": "17"})
        now = hub.hub.clock.now().timestamp()
        assert set(await deliver(hub, twin.deliveries(at=now, copies=3, order=order))) <= {200, 202}
        (told,) = await heard(hub)
        assert (told["ref"], told["status"], told["customer"], told["meta"]) == (made.ref, "active", customer, {"order": "17"})

        twin.book.unpaid(made.ref)
        await billing.cancel(made.ref, key="x", at_once=True)
        assert set(await deliver(hub, twin.deliveries(at=now, copies=2, order=order))) <= {200, 202}
        assert [one["status"] for one in await heard(hub)] == ["active", "canceled", "canceled"], "the hints are old, what is published is not"

    on_stripe(tmp_path, work)


def test_delivery__forged_old_or_no_event__is_refused(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, hub: Any) -> None:
        customer = await provider.ensure_party(Party(reference="p-1"), key="p")
        await billing_of(hub).subscribe(customer, prices(twin)[0], key="s")
        now = hub.hub.clock.now().timestamp()
        ((body, good),) = twin.deliveries(at=now)
        bad = [
            (body, twin.sign(body, now, "whsec_somebody_elses_secret")),
            (body.replace(b"active", b"passed"), good),
            (body, twin.sign(body, now - 301)),
            (body, ""),
        ]
        assert await deliver(hub, bad) == [401] * 4
        assert await deliver(hub, [(odd, twin.sign(odd, now)) for odd in (b"[]", b"{}", b'{"id": 1}')]) == [400] * 3
        other = b'{"id": "evt_x", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}'
        assert set(await deliver(hub, [(other, twin.sign(other, now))])) <= {200, 202}
        assert await heard(hub) == []

    on_stripe(tmp_path, work)
