"""Stripe through its official SDK, against a strict twin on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stripe", reason="the extra pay-stripe[sdk] is not installed")

from stripe_twin import StripeTwin, running_twin
from stripe_twin.server import API_KEY, SECRET

from luminai import AuthorizeRequest, Evidence, Money, Party, PaymentError, PaymentStatus
from luminai.testing import PaymentContract, running_hub


def pay(method: str = "pm_card_visa", minor: int = 1000, *, capture: bool = True, asset: str = "EUR", **more: Any) -> AuthorizeRequest:
    return AuthorizeRequest(amount=Money(minor, asset), reference="order", method=method, capture=capture, **more)


@asynccontextmanager
async def stripe_hub(url: str, folder: Path, *others: str, **more: Any) -> AsyncIterator[Any]:
    """Run a hub whose Stripe is at ``url``."""
    for name, value in (("key", API_KEY), ("hook", SECRET), ("old", "whsec_an_older_secret_of_ours")):
        (folder / name).write_text(value)
    config = {
        "api": url,
        "api-key": f"file:{folder / 'key'}",
        "webhook-secrets": [f"file:{folder / 'hook'}", f"file:{folder / 'old'}"],
        "assets": ["EUR", "USD", "JPY", "BHD", "ISK"],
    }
    approve = ["secrets", "webhooks", "outbound:api.stripe.com", f"outbound:{url.removeprefix('http://')}"]
    given = {"pay-stripe": config} | more.pop("config", {})
    settings = {"plugins": {"pay-stripe": {"approve": approve}}}
    async with running_hub("pay-stripe", *others, config=given, settings=settings, folder=folder, **more) as hub:
        yield hub


def provider_of(hub: Any) -> Any:
    return hub.hub.generation.wiring.providers.payment_providers["stripe"]


def on_stripe(folder: Path, work: Any) -> Any:
    """Run ``work(provider, twin, hub)``."""

    async def main(twin: StripeTwin) -> Any:
        async with stripe_hub(twin.url, folder) as hub:
            twin.book.now = int(hub.hub.clock.now().timestamp())
            return await work(provider_of(hub), twin, hub)

    with running_twin() as twin:
        return asyncio.run(main(twin))


async def refused(call: Any) -> str:
    with pytest.raises(PaymentError) as found:
        await call
    assert found.value.definite, found.value
    return found.value.code


class TestContract(PaymentContract):
    @asynccontextmanager
    async def provider(self, folder: Path) -> AsyncIterator[Any]:
        with running_twin() as twin:
            async with stripe_hub(twin.url, folder) as hub:
                twin.book.now = int(hub.hub.clock.now().timestamp())
                self.twin, self.hub = twin, hub
                yield provider_of(hub)

    def request(self) -> AuthorizeRequest:
        return pay(capture=False)

    async def deliver(self, provider: Any) -> tuple[bytes, Mapping[str, str], datetime]:
        await provider.authorize(pay(), key="delivered")
        now = self.hub.hub.clock.now()
        body, signature = self.twin.deliveries(at=now.timestamp())[-1]
        return body, {"stripe-signature": signature}, now


def test_refusals__where_stripe_refuses__are_definite_and_change_nothing(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        voided = await provider.authorize(pay(capture=False), key="a")
        await provider.void(voided.ref, key="v")
        assert await refused(provider.capture(voided.ref, None, key="c")) == "payment_intent_unexpected_state"
        held = await provider.authorize(pay(capture=False), key="b")
        assert await refused(provider.capture(held.ref, Money(1001, "EUR"), key="d")) == "amount_too_large"
        assert await refused(provider.capture(held.ref, Money(10, "USD"), key="e")) == "bad-amount"
        assert await refused(provider.capture(held.ref, Money(10, "EUR"), key="f", final=False)) == "not-supported"
        assert (await provider.capture(held.ref, Money(600, "EUR"), key="g")).captured == 600
        assert await refused(provider.refund(held.ref, Money(601, "EUR"), key="h")) == "amount_too_large"
        assert (await provider.refund(held.ref, None, key="i")).status is PaymentStatus.REFUNDED
        assert await refused(provider.refund(held.ref, Money(1, "EUR"), key="j")) == "charge_already_refunded"
        assert await refused(provider.authorize(pay(party="cus_none"), key="k")) == "not-found"
        assert await refused(provider.authorize(pay("pm_none"), key="l")) == "not-found"
        assert await refused(provider.authorize(pay(minor=49), key="m")) == "amount_too_small"
        expired = await provider.authorize(pay(capture=False), key="n")
        twin.book.now += 8 * 86_400
        assert await refused(provider.capture(expired.ref, None, key="o")) == "payment_intent_unexpected_state"
        assert (await provider.query(expired.ref)).status is PaymentStatus.VOIDED

    on_stripe(tmp_path, work)


@pytest.mark.parametrize(
    ("method", "code"), [("pm_card_chargeDeclined", "generic_decline"), ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds")]
)
def test_decline__is_an_outcome_and_stays_the_same_for_its_key(tmp_path: Path, method: str, code: str) -> None:
    async def work(provider: Any, _: StripeTwin, __: Any) -> None:
        first = await provider.authorize(pay(method), key="a")
        assert (first.status, first.code, first.captured) == (PaymentStatus.FAILED, code, 0)
        assert (await provider.authorize(pay(method), key="a")).ref == first.ref

    on_stripe(tmp_path, work)


def test_payer__who_is_not_there__need_not_confirm_or_is_declined(tmp_path: Path) -> None:
    async def work(provider: Any, _: StripeTwin, __: Any) -> None:
        paid = await provider.authorize(pay(off_session=True), key="a")
        assert paid.status is PaymentStatus.CAPTURED
        declined = await provider.authorize(pay("pm_card_threeDSecure2Required", off_session=True), key="b")
        assert (declined.status, declined.code) == (PaymentStatus.FAILED, "authentication_required")

    on_stripe(tmp_path, work)


@pytest.mark.shows("PX-87")
def test_transactions__show_in_the_hubs_metrics(tmp_path: Path) -> None:
    async def work(provider: Any, _: StripeTwin, hub: Any) -> None:
        for key in ("a", "b"):
            await provider.authorize(pay(), key=key)
        told = (await hub.client("*").request("GET", "/metrics")).text
        assert 'luminai_provider_seconds_count{call="authorize",channel="payments",plugin="pay-stripe"} 2.0' in told, told

    on_stripe(tmp_path, work)


def test_payer__has_to_confirm__is_told_where(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        waiting = await provider.authorize(pay("pm_card_threeDSecure2Required", return_url="https://shop.example/back"), key="a")
        assert waiting.status is PaymentStatus.REQUIRES_ACTION
        assert waiting.action.url.startswith("https://hooks.stripe.example/")
        twin.book.authenticated(twin.book.find("payment_intent", waiting.ref))
        paid = await provider.query(waiting.ref)
        assert (paid.status, paid.captured, paid.fee) == (PaymentStatus.CAPTURED, 1000, 59)
        assert paid.available_at is not None

    on_stripe(tmp_path, work)


@pytest.mark.parametrize("fault", ["lost", "500", "409"])
def test_answer__that_is_lost_or_no_answer__is_unknown_and_told_by_its_key(tmp_path: Path, fault: Any) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        twin.faults.append(fault)
        with pytest.raises(PaymentError) as unknown:
            await provider.authorize(pay(), key="a")
        assert not unknown.value.definite
        if fault == "lost":
            assert (await provider.query(key="a")).captured == 1000
        else:
            assert await refused(provider.query(key="a")) == "not-found"
        first = await provider.authorize(pay(), key="a")
        assert (await provider.query(key="a")).ref == first.ref
        assert len(twin.book.objects["payment_intent"]) == 1

    on_stripe(tmp_path, work)


def test_too_many_requests__is_a_definite_no_for_now(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        twin.faults.append("429")
        with pytest.raises(PaymentError) as busy:
            await provider.authorize(pay(), key="a")
        assert (busy.value.definite, busy.value.retry_after) == (True, 2.0)

    on_stripe(tmp_path, work)


def test_connect__separate_charges_and_transfers__never_move_more_than_there_is(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        account = await provider.ensure_party(Party(reference="farm", kind="account", country="DE"), key="p")
        link = await provider.onboarding(account, "https://hub.example/back")
        assert link.url.endswith(account)
        paid = await provider.authorize(pay(group="order-1"), key="a")
        assert await refused(provider.transfer(paid.ref, account, Money(1001, "EUR"), key="t0")) == "balance_insufficient"
        assert await refused(provider.transfer(paid.ref, "acct_none", Money(1, "EUR"), key="t1")) == "not-found"
        moved = await provider.transfer(paid.ref, account, Money(900, "EUR"), key="t2", group="order-1")
        assert (await provider.transfer(paid.ref, account, Money(900, "EUR"), key="t2", group="order-1")).ref == moved.ref
        assert (await provider.query(key="t2")).ref == moved.ref
        assert (await provider.payout(account, Money(300, "EUR"), key="o")).status is PaymentStatus.CAPTURED
        assert await refused(provider.payout(account, Money(601, "EUR"), key="o2")) == "balance_insufficient"
        assert await refused(provider.reverse_transfer(moved.ref, Money(601, "EUR"), key="r")) == "balance_insufficient"
        assert (await provider.reverse_transfer(moved.ref, Money(600, "EUR"), key="r2")).refunded == 600
        assert {charge["_moved"] for charge in twin.book.objects["charge"].values()} == {300}

    on_stripe(tmp_path, work)


def test_dispute__open_won_and_lost__is_what_query_tells(tmp_path: Path) -> None:
    async def work(provider: Any, _: StripeTwin, __: Any) -> None:
        won, lost = [await provider.authorize(pay("pm_card_createDispute"), key=key) for key in ("a", "b")]
        assert (await provider.query(won.ref)).status is PaymentStatus.DISPUTED
        assert await refused(provider.refund(won.ref, None, key="r")) == "charge_disputed"
        answered = await provider.dispute_evidence(won.ref, Evidence("winning_evidence"), key="e")
        assert (answered.status, answered.code) == (PaymentStatus.CAPTURED, "dispute_won")
        assert (await provider.dispute_evidence(lost.ref, Evidence("losing_evidence"), key="f")).status is PaymentStatus.DISPUTE_LOST
        plain = await provider.authorize(pay(), key="c")
        assert await refused(provider.dispute_evidence(plain.ref, Evidence("x"), key="g")) == "not-disputed"

    on_stripe(tmp_path, work)


def test_method__given_to_stripes_own_form__pays_off_session_and_is_detached(tmp_path: Path) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        customer = await provider.ensure_party(Party(reference="p-1"), key="p")
        setup = await provider.setup_method(customer, key="m")
        assert setup.action.data["client_secret"]
        assert await refused(provider.authorize(pay(setup.ref, party=customer), key="a0")) == "method-not-set-up"
        method = twin.give_method(setup.ref)
        assert (await provider.authorize(pay(setup.ref, party=customer), key="a")).status is PaymentStatus.CAPTURED
        await provider.detach_method(setup.ref, key="d")
        assert method not in twin.book.objects["payment_method"]

    on_stripe(tmp_path, work)


@pytest.mark.parametrize(
    ("minor", "asset", "wire"), [(500, "JPY", 500), (500, "ISK", 50_000), (12_340, "BHD", 12_340), (12_345, "BHD", None), (1999, "EUR", 1999)]
)
def test_amounts__go_over_the_wire_with_stripes_own_decimals(tmp_path: Path, minor: int, asset: str, wire: int | None) -> None:
    async def work(provider: Any, twin: StripeTwin, _: Any) -> None:
        if wire is None:
            assert await refused(provider.authorize(pay(minor=minor, asset=asset), key="a")) == "bad-amount"
            return
        paid = await provider.authorize(pay(minor=minor, asset=asset), key="a")
        assert (twin.book.find("payment_intent", paid.ref)["amount"], paid.amount, paid.captured) == (wire, Money(minor, asset), minor)

    on_stripe(tmp_path, work)


def test_changes__are_all_events_of_payments_oldest_first(tmp_path: Path) -> None:
    async def work(provider: Any, _: StripeTwin, __: Any) -> None:
        paid = await provider.authorize(pay(), key="a")
        await provider.ensure_party(Party(reference="x"), key="p")
        seen = [(cursor, event.ref) async for cursor, event in provider.changes(None)]
        assert [ref for _, ref in seen] == [paid.ref]
        for number in range(105):
            await provider.authorize(pay(), key=f"b{number}")
        await provider.refund(paid.ref, None, key="r")
        later = [(event.kind, event.ref) async for _, event in provider.changes(seen[-1][0])]
        assert len(later) == 106
        assert later[-1] == ("charge.refunded", paid.ref)

    on_stripe(tmp_path, work)


def test_verify__takes_what_the_sdk_signs__by_any_secret_that_holds(tmp_path: Path) -> None:
    import stripe

    async def work(provider: Any, twin: StripeTwin, hub: Any) -> None:
        await provider.authorize(pay(), key="a")
        now = hub.hub.clock.now()
        for secret in (SECRET, "whsec_an_older_secret_of_ours"):
            body, signature = twin.deliveries(at=now.timestamp(), secret=secret)[-1] if secret == SECRET else (body, "")  # noqa: F821
            signed = stripe.WebhookSignature._compute_signature(f"{int(now.timestamp())}.{body.decode()}", secret)
            header = signature or f"t={int(now.timestamp())},v1={signed}"
            assert signed in header
            assert provider.verify(body, {"stripe-signature": header}, now).kind == "payment_intent.succeeded"
        wrong = twin.sign(body, now.timestamp(), "whsec_somebody_elses_secret")
        with pytest.raises(PaymentError) as forged:
            provider.verify(body, {"stripe-signature": wrong}, now)
        assert forged.value.code == "bad-signature"
        for odd in (b"[]", b"{}", b'{"id": 1, "type": "x", "created": "y", "data": {"object": 1}}', b'{"id": "x", "type": "y", "created": 1e400}'):
            with pytest.raises(PaymentError) as bad:
                provider.verify(odd, {"stripe-signature": twin.sign(odd, now.timestamp())}, now)
            assert bad.value.definite

    on_stripe(tmp_path, work)


def test_key__missing_or_wrong__is_said_and_nothing_is_paid(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_hub("pay-stripe") as hub:
            with pytest.raises(Exception, match="No key of Stripe"):
                await provider_of(hub).authorize(pay(), key="a")
        with running_twin() as twin:
            async with stripe_hub(twin.url, tmp_path) as hub:
                (tmp_path / "key").write_text("sk_wrong")
                with pytest.raises(PaymentError) as refused_:
                    await provider_of(hub).authorize(pay(), key="a")
                assert refused_.value.definite

    asyncio.run(main())
