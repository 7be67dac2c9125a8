"""The sandbox keeps the payment contract, brings about what its table says, and survives a restart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from luminai import AuthorizeRequest, Evidence, Money, Party, PaymentError, PaymentStatus
from luminai.testing import FrozenClock, PaymentContract, running_hub

README = Path(__file__).parents[1] / "README.md"
DAY = 86_400
MANAGE = ("pay-sandbox:read", "pay-sandbox:manage")


def sandbox(hub: Any) -> Any:
    return hub.hub.generation.wiring.providers.payment_providers["sandbox"]


def pay(method: str = "card", minor: int = 1000, *, capture: bool = True, asset: str = "EUR") -> AuthorizeRequest:
    return AuthorizeRequest(amount=Money(minor, asset), reference="order", method=method, capture=capture)


def on_hub(work: Any, **more: Any) -> Any:
    """Run ``work(hub, provider)`` on a hub with the sandbox."""

    async def main() -> Any:
        async with running_hub("pay-sandbox", **more) as hub:
            return await work(hub, sandbox(hub))

    return asyncio.run(main())


async def advance(hub: Any, seconds: int) -> None:
    answer = await hub.client(*MANAGE).request("POST", "/api/pay-sandbox/clock", json={"seconds": seconds})
    assert answer.status == 200


async def refused(call: Any) -> str:
    with pytest.raises(PaymentError) as found:
        await call
    assert found.value.definite
    return found.value.code


class TestContract(PaymentContract):
    @asynccontextmanager
    async def provider(self, folder: Path) -> AsyncIterator[Any]:
        async with running_hub("pay-sandbox", folder=folder) as hub:
            self.hub = hub
            yield sandbox(hub)

    async def deliver(self, provider: Any) -> tuple[bytes, Mapping[str, str], datetime]:
        import msgspec

        from luminai_pay_sandbox.signing import Notice

        paid = await provider.authorize(pay(), key="delivered")
        now = self.hub.hub.clock.now()
        body = msgspec.json.encode(Notice(id="sbevt_1", kind="payment.captured", ref=paid.ref, status=paid.status, at=now, amount=paid.amount))
        return body, {"sandbox-signature": provider._signer.sign(body, now)}, now


def test_outcomes__are_those_of_the_readme() -> None:
    async def work(hub: Any, _: Any) -> Any:
        return (await hub.client("pay-sandbox:read").request("GET", "/api/pay-sandbox/outcomes")).json()["items"]

    rows = re.findall(r"^\| `((?:card|bank)\w*)` \| (any other|\d+) \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert [(one["method"], str(one["amount"] or "any other"), one["summary"]) for one in on_hub(work)] == rows


@pytest.mark.parametrize(
    ("method", "first", "after", "last", "code"),
    [
        ("card", "captured", DAY, "captured", ""),
        ("card_declined", "failed", DAY, "failed", "declined"),
        ("card_insufficient_funds", "failed", DAY, "failed", "insufficient_funds"),
        ("card_expired", "failed", DAY, "failed", "expired"),
        ("card_lost_or_stolen", "failed", DAY, "failed", "lost_or_stolen"),
        ("card_processing_error", "failed", DAY, "failed", "processing_error"),
        ("card_requires_action", "requires_action", DAY, "requires_action", ""),
        ("card_delayed", "pending", 61, "captured", ""),
        ("card_delayed_failure", "pending", 61, "failed", "declined"),
        ("card_duplicated", "captured", DAY, "captured", ""),
        ("card_reordered", "pending", 61, "captured", ""),
        ("card_disputed", "captured", DAY, "disputed", "fraudulent"),
        ("card_dispute_won", "captured", 2 * DAY, "captured", "dispute_won"),
        ("card_dispute_lost", "captured", 2 * DAY, "dispute_lost", "dispute_lost"),
        ("bank_returned", "captured", 4 * DAY, "failed", "returned"),
    ],
)
def test_outcome__by_name_and_by_amount__is_as_the_table_says(method: str, first: str, after: int, last: str, code: str) -> None:
    from luminai_pay_sandbox.outcomes import named

    async def work(hub: Any, provider: Any) -> None:
        outcome = named(method)
        assert outcome is not None
        by_name = await provider.authorize(pay(method), key="name")
        by_amount = await provider.authorize(pay("card", outcome.amount or 1), key="amount")
        assert (by_name.status, by_amount.status) == (first, first)
        await advance(hub, after)
        for ref in (by_name.ref, by_amount.ref):
            found = await provider.query(ref)
            assert (found.status, found.code) == (last, code)

    on_hub(work)


@pytest.mark.parametrize(
    ("method", "after", "status"), [("card_answer_lost", 0, "captured"), ("card_never_arrived", 0, ""), ("card_answer_late", 601, "captured")]
)
def test_unknown__is_told_by_the_key(method: str, after: int, status: str) -> None:
    async def work(hub: Any, provider: Any) -> None:
        with pytest.raises(PaymentError) as unknown:
            await provider.authorize(pay(method), key="k")
        assert not unknown.value.definite
        if after:
            with pytest.raises(PaymentError) as still:
                await provider.query(key="k")
            assert not still.value.definite
            await advance(hub, after)
        if status:
            assert (await provider.query(key="k")).status == status
            assert (await provider.authorize(pay(method), key="k")).status == status
        else:
            assert await refused(provider.query(key="k")) == "not-found"

    on_hub(work)


def test_refund__by_outcome__is_refused_or_its_answer_lost() -> None:
    async def work(_: Any, provider: Any) -> None:
        kept = await provider.authorize(pay("card_refund_refused"), key="a")
        assert await refused(provider.refund(kept.ref, None, key="r")) == "refund-failed"
        paid = await provider.authorize(pay("card_refund_lost"), key="b")
        with pytest.raises(PaymentError) as lost:
            await provider.refund(paid.ref, Money(400, "EUR"), key="s")
        assert not lost.value.definite
        assert (await provider.query(key="s")).refunded == 400

    on_hub(work)


def test_hold__not_captured__is_let_go_after_a_week_and_multi_capture_adds_up() -> None:
    async def work(hub: Any, provider: Any) -> None:
        held = await provider.authorize(pay(capture=False), key="a")
        both = await provider.authorize(pay(capture=False), key="b")
        assert (await provider.capture(both.ref, Money(300, "EUR"), key="c1", final=False)).status is PaymentStatus.AUTHORIZED
        assert (await provider.capture(both.ref, Money(500, "EUR"), key="c2")).captured == 800
        await advance(hub, 7 * DAY)
        found = await provider.query(held.ref)
        assert (found.status, found.code) == (PaymentStatus.VOIDED, "expired")
        assert await refused(provider.capture(held.ref, None, key="c3")) == "not-capturable"
        assert (await provider.query(both.ref)).captured == 800

    on_hub(work)


def test_transfers__never_move_more_than_there_is() -> None:
    async def work(_: Any, provider: Any) -> None:
        euro = lambda minor: Money(minor, "EUR")  # noqa: E731
        account = await provider.ensure_party(Party(reference="farm", kind="account"), key="p")
        paid = await provider.authorize(pay(), key="a")
        assert await refused(provider.transfer(paid.ref, account, euro(1001), key="t0")) == "not-transferable"
        assert await refused(provider.transfer(paid.ref, "sbacc_none", euro(1), key="t1")) == "not-found"
        moved = await provider.transfer(paid.ref, account, euro(700), key="t2")
        assert await refused(provider.refund(paid.ref, euro(301), key="r1")) == "not-refundable"
        assert (await provider.payout(account, euro(200), key="o1")).status is PaymentStatus.CAPTURED
        assert await refused(provider.payout(account, euro(501), key="o2")) == "not-payable"
        assert await refused(provider.reverse_transfer(moved.ref, euro(501), key="v1")) == "not-reversible"
        assert (await provider.reverse_transfer(moved.ref, euro(500), key="v2")).refunded == 500
        assert (await provider.refund(paid.ref, euro(800), key="r2")).status is PaymentStatus.PARTIALLY_REFUNDED

    on_hub(work)


def test_dispute__is_decided_by_its_evidence() -> None:
    async def work(hub: Any, provider: Any) -> None:
        won, lost = [await provider.authorize(pay("card_disputed"), key=key) for key in ("a", "b")]
        assert await refused(provider.dispute_evidence(won.ref, Evidence("winning_evidence"), key="e0")) == "not-disputed"
        await advance(hub, DAY)
        assert (await provider.dispute_evidence(won.ref, Evidence("hm"), key="e1")).status is PaymentStatus.DISPUTED
        assert (await provider.dispute_evidence(won.ref, Evidence("winning_evidence"), key="e2")).code == "dispute_won"
        assert (await provider.dispute_evidence(lost.ref, Evidence("losing_evidence"), key="e3")).status is PaymentStatus.DISPUTE_LOST

    on_hub(work)


def test_state__after_a_restart__is_there_with_its_clock_and_secret(tmp_path: Path) -> None:
    async def first(hub: Any, provider: Any) -> tuple[str, str]:
        paid = await provider.authorize(pay("card_delayed"), key="a")
        await advance(hub, 61)
        return paid.ref, provider._signer.sign(b"x", hub.hub.clock.now())

    clock = FrozenClock()
    ref, signature = on_hub(first, folder=tmp_path, clock=clock)

    async def second(hub: Any, provider: Any) -> None:
        assert (await provider.query(ref)).status is PaymentStatus.CAPTURED
        assert (await provider.authorize(pay("card_delayed"), key="a")).ref == ref
        assert provider._signer.sign(b"x", hub.hub.clock.now()) == signature
        assert (await hub.client(*MANAGE).request("GET", "/api/pay-sandbox/clock")).json()["ahead"] == 61

    on_hub(second, folder=tmp_path, clock=clock)


def test_changes__after_a_cursor__are_all_there_in_order() -> None:
    async def work(hub: Any, provider: Any) -> None:
        late = await provider.authorize(pay("card_delayed"), key="a")
        now = await provider.authorize(pay(), key="b")
        seen = [(cursor, event.ref, event.status) async for cursor, event in provider.changes(None)]
        assert [(ref, status) for _, ref, status in seen] == [(late.ref, "pending"), (now.ref, "captured")]
        await advance(hub, 61)
        assert [(event.ref, event.status) async for _, event in provider.changes(seen[-1][0])] == [(late.ref, "captured")]

    on_hub(work)


def test_act__that_does_not_fit__is_refused_and_a_payer_may_confirm() -> None:
    async def work(hub: Any, provider: Any) -> None:
        waiting = await provider.authorize(pay("card_requires_action"), key="a")
        assert waiting.action is not None
        client = hub.client(*MANAGE)
        assert (await client.request("POST", waiting.action.url, json={"act": "dispute"})).status == 409
        assert (await client.request("POST", waiting.action.url, json={"act": "confirm"})).json()["captured"] == 1000
        assert (await client.request("POST", waiting.action.url, json={"act": "confirm"})).json()["code"] == "pay-sandbox.not-possible"
        missing = "/api/pay-sandbox/payments/sbpay_" + "0" * 32 + "/act"
        assert (await client.request("POST", missing, json={"act": "confirm"})).status == 404

    on_hub(work)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("card_duplicated", ["captured"] * 3), ("card_reordered", ["captured", "pending"]), ("card_delayed", ["pending", "captured"])],
)
def test_webhooks__over_a_real_socket__are_signed_and_taken_in_once(tmp_path: Path, method: str, expected: list[str]) -> None:
    """The sandbox posts to a socket, and what comes there is handed to the hub as from outside."""
    import msgspec
    from aiohttp import web

    came: list[tuple[str, int]] = []

    async def main() -> None:
        hubs: list[Any] = []

        async def take(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {name: request.headers[name] for name in ("sandbox-signature", "content-type")}
            answer = await hubs[0].client().request("POST", "/api/webhook/payments/sandbox", body=body, headers=headers)
            came.append((msgspec.json.decode(body)["status"], answer.status))
            return web.Response(status=answer.status)

        app = web.Application()
        app.router.add_post("/hook", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        at = f"127.0.0.1:{runner.addresses[0][1]}"
        config = {"pay-sandbox": {"webhook-url": f"http://{at}/hook"}}
        settings = {"plugins": {"pay-sandbox": {"approve": ["secrets", f"outbound:{at}"]}}}
        async with running_hub("ledger", "payments", "pay-sandbox", config=config, settings=settings, clock=FrozenClock()) as hub:
            hubs.append(hub)
            person = hub.client("payments:pay", "payments:read", subject="user_ada")
            paid = (await person.request("POST", "/api/payments/charge", json={"amount": 1000, "asset": "EUR", "method": method})).json()
            await hub.advance(200)
            await hub.hub.webhooks.settle()
            found = (await person.request("GET", f"/api/payments/checkouts/{paid['id']}")).json()
            assert (found["status"], found["captured"]) == ("captured", 1000)
        await runner.cleanup()

    asyncio.run(main())
    assert [status for status, _ in came] == expected
    assert {answer for _, answer in came} <= {200, 202}
