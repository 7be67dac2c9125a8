"""Payments over Stripe from end to end: checkout, webhooks in any order and number, forgeries, lost answers; the books agree with the twin."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stripe", reason="the extra pay-stripe[sdk] is not installed")

from stripe_twin import StripeTwin, running_twin
from test_stripe import stripe_hub

from luminai.testing import FrozenClock

HOOK = "/api/webhook/payments/stripe"


class Shop:
    def __init__(self, hub: Any, twin: StripeTwin) -> None:
        self.hub = hub
        self.twin = twin
        self.person = hub.client("payments:read", "payments:pay", subject="user_ada")
        self.operator = hub.client("payments:manage", subject="user_op")

    async def charge(self, method: str = "pm_card_visa", minor: int = 1000, **more: Any) -> Any:
        body = {"amount": minor, "asset": "EUR", "method": method} | more
        return (await self.person.request("POST", "/api/payments/charge", json=body)).json()

    async def show(self, payment: Any) -> Any:
        return (await self.person.request("GET", f"/api/payments/checkouts/{payment['id']}")).json()

    async def deliver(self, **how: Any) -> list[int]:
        """Deliver what the twin has to tell, and let the hub handle it."""
        found = self.twin.deliveries(at=self.hub.hub.clock.now().timestamp(), **how)
        answers = [await self.post(body, signature) for body, signature in found]
        await self.hub.hub.webhooks.settle()
        return answers

    async def post(self, body: bytes, signature: str) -> int:
        headers = {"content-type": "application/json", "stripe-signature": signature}
        status: int = (await self.hub.client().request("POST", HOOK, body=body, headers=headers)).status
        return status

    async def repair(self) -> Any:
        return (await self.operator.request("POST", "/api/payments/admin/repair")).json()

    async def reconcile(self) -> Any:
        return (await self.operator.request("POST", "/api/payments/admin/reconcile")).json()

    async def bucket(self) -> int:
        from sqlalchemy import text

        query = text("SELECT coalesce(sum(credits_posted - debits_posted), 0) FROM ledger__accounts WHERE owner = 'user_ada'")
        return int(await self.hub.hub.database.read(lambda session: session.execute(query).scalar_one()))


def in_shop(folder: Path, work: Any, *others: str, **more: Any) -> None:
    async def main(twin: StripeTwin) -> None:
        clock = FrozenClock()
        config = {"payments": {"providers": ["stripe"]}, **more}
        async with stripe_hub(twin.url, folder, "ledger", "payments", *others, config=config, clock=clock) as hub:
            twin.book.now = int(clock.now().timestamp())
            await work(Shop(hub, twin))

    with running_twin() as twin:
        asyncio.run(main(twin))


@pytest.mark.parametrize("order", ["made", "reversed"])
def test_webhooks__three_times_in_any_order__change_nothing_that_is_known(tmp_path: Path, order: Any) -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        await shop.operator.request("POST", "/api/payments/refund", json={"payment": paid["id"], "amount": 400})
        before = await shop.show(paid)
        assert set(await shop.deliver(copies=3, order=order)) <= {200, 202}
        after = await shop.show(paid)
        assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
        assert (after["captured"], after["refunded"], await shop.bucket()) == (1000, 400, 600)
        assert await shop.reconcile() == {"looked": 2, "missed": 0, "incidents": 0, "complete": True}

    in_shop(tmp_path, work)


def test_webhook__late_for_a_confirmed_payment__books_it_once(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge("pm_card_threeDSecure2Required", return_url="https://shop.example/back")
        assert (paid["status"], paid["action"]["kind"]) == ("requires_action", "redirect")
        (ref,) = shop.twin.book.objects["payment_intent"]
        shop.twin.book.authenticated(shop.twin.book.find("payment_intent", ref))
        await shop.deliver(copies=2)
        assert ((await shop.show(paid))["status"], await shop.bucket()) == ("captured", 1000)

    in_shop(tmp_path, work)


def test_payer__without_a_method__pays_in_stripes_own_form_and_its_secret_is_kept_nowhere(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        waiting = await shop.charge("")
        secret = waiting["action"]["data"]["client_secret"]
        assert (waiting["status"], (await shop.show(waiting))["action"]["data"]) == ("requires_action", {"client_secret": secret})
        await shop.hub.hub.database.read(lambda session: _nowhere(session, secret))
        shop.twin.book.confirmed(secret, "pm_card_visa")
        await shop.deliver(copies=2)
        paid = await shop.show(waiting)
        assert (paid["status"], paid["action"], await shop.bucket()) == ("captured", None, 1000)

    in_shop(tmp_path, work)


def test_answer_with_a_secret_of_stripe__is_kept_for_who_asks_again_and_read_by_nobody_else(tmp_path: Path) -> None:
    """A key makes the hub keep the answer: sealed by the payer's own key, so that it ends with them."""

    async def work(shop: Shop) -> None:
        asked = {
            "/api/payments/charge": {"amount": 1000, "asset": "EUR", "method": ""},
            "/api/payments/methods": {"renews": True},
        }
        database, vault = shop.hub.hub.database, shop.hub.hub.vault
        sent = {path: {"json": body, "headers": {"Idempotency-Key": "once"}} for path, body in asked.items()}
        for path, request in sent.items():
            first, again = [await shop.person.request("POST", path, **request) for _ in range(2)]
            assert (again.status, again.json(), again.headers["idempotency-replayed"]) == (first.status, first.json(), "true")
            secret = first.json()["action"]["data"]["client_secret"]
            await database.read(lambda session, secret=secret: _nowhere(session, secret))
            other = await shop.hub.client("payments:read", "payments:pay", subject="user_eve").request("POST", path, **request)
            assert "idempotency-replayed" not in other.headers
            assert secret not in other.text

        assert await database.write(lambda session: vault.destroy(session, "user_ada")) == 1
        await vault.tell()
        for path, request in sent.items():
            gone = await shop.person.request("POST", path, **request)
            assert (gone.status, gone.json()["code"]) == (404, "shredded")

    in_shop(tmp_path, work)


def _nowhere(session: Any, secret: str) -> None:
    from sqlalchemy import inspect, text

    for table in inspect(session.connection()).get_table_names():
        for row in session.execute(text(f'SELECT * FROM "{table}"')):
            assert secret not in str(tuple(row)), table


@pytest.mark.shows("TL-63")
def test_method__given_in_stripes_own_form__pays_when_it_is_due_and_is_looked_after_in_the_portal(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        stored = (await shop.person.request("POST", "/api/payments/methods", json={"renews": True})).json()
        setup = stored["action"]["data"]["client_secret"].partition("_secret")[0]
        early = await shop.charge(stored["id"])
        assert (early["status"], early["code"]) == ("failed", "method-not-set-up")
        shop.twin.give_method(setup)
        assert (await shop.charge(stored["id"]))["status"] == "captured"

        portal = await shop.person.request("POST", "/api/payments/portal", json={"return_url": "https://hub.example/"})
        (customer,) = shop.twin.book.objects["customer"]
        assert (portal.status, portal.json()["kind"]) == (200, "redirect")
        assert portal.json()["url"].endswith(customer)
        for wrong in ({"return_url": "javascript:alert(1)"}, {}, {"return_url": "https://hub.example/", "customer": "cus_other"}):
            assert (await shop.person.request("POST", "/api/payments/portal", json=wrong)).status == 400

    in_shop(tmp_path, work)


def test_dispute__told_by_webhook__is_booked_and_its_end_too(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge("pm_card_createDispute")
        await shop.deliver()
        found = await shop.show(paid)
        assert (found["status"], found["dispute"], found["disputed"]) == ("disputed", "open", 1000)
        (dispute,) = shop.twin.book.objects["dispute"]
        shop.twin.book.answer_dispute(dispute, {"evidence": {"uncategorized_text": "winning_evidence"}})
        await shop.deliver()
        found = await shop.show(paid)
        assert (found["status"], found["dispute"], found["disputed"]) == ("captured", "won", 0)

    in_shop(tmp_path, work)


def test_delivery__forged_old_or_repeated__does_nothing(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        await shop.charge()
        now = shop.hub.hub.clock.now().timestamp()
        (body, good), *_ = shop.twin.deliveries(at=now)
        assert await shop.post(body, shop.twin.sign(body, now, "whsec_somebody_elses_secret")) == 401
        assert await shop.post(body.replace(b"1000", b"9000"), good) == 401
        assert await shop.post(body, shop.twin.sign(body, now - 301)) == 401
        assert await shop.post(body, "") == 401
        assert await shop.post(body, good) in (200, 202)
        assert await shop.post(body, good) == 200
        await shop.hub.hub.webhooks.settle()
        assert await shop.bucket() == 1000

    in_shop(tmp_path, work)


def test_answer__cut_off__is_unknown_until_the_webhook_or_the_repairer_tells(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        shop.twin.faults.append("lost")
        first = await shop.charge()
        assert (first["status"], await shop.bucket()) == ("unknown", 0)
        await shop.deliver(copies=2)
        assert ((await shop.show(first))["status"], await shop.bucket()) == ("captured", 1000)
        shop.twin.faults.append("lost")
        second = await shop.charge(minor=700)
        assert await shop.repair() == {"looked": 1, "settled": 1, "open": 0}
        assert ((await shop.show(second))["status"], await shop.bucket()) == ("captured", 1700)
        shop.twin.faults.append("500")
        third = await shop.charge(minor=300)
        await shop.hub.advance(3600)
        assert ((await shop.show(third))["code"], await shop.bucket()) == ("never-arrived", 1700)
        assert len(shop.twin.book.objects["payment_intent"]) == 2

    in_shop(tmp_path, work)


def test_refund__made_at_stripe__is_found_on_the_list_when_no_webhook_came(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        (ref,) = shop.twin.book.objects["payment_intent"]
        shop.twin.book.refund({"payment_intent": ref, "amount": "250"})
        found = await shop.reconcile()
        assert (found["missed"], found["incidents"]) == (2, 0)
        assert ((await shop.show(paid))["refunded"], await shop.bucket()) == (250, 750)

    in_shop(tmp_path, work)


@pytest.mark.shows("PX-27", "PX-39", "PX-78")
def test_energy__bought_through_stripe__is_there_once_and_goes_back_with_its_money(tmp_path: Path) -> None:
    async def work(shop: Shop) -> None:
        ann = shop.hub.client("payments:pay", "credits:read", subject="user_ada")

        async def energy() -> tuple[int, int]:
            await shop.hub.hub.jobs.settle()
            (wallet,) = (await ann.request("GET", "/api/credits/balance")).json()
            return wallet["available"], wallet["maximum"]

        assert await energy() == (100, 100)
        ask = {"purpose": "pack", "product": "phoenix/petit_dej_luna", "method": "pm_card_visa"}
        paid = (await ann.request("POST", "/api/payments/checkouts", json=ask)).json()
        await shop.deliver(copies=2)
        assert (paid["status"], paid["amount"], await energy()) == ("captured", {"minor": 599, "asset": "EUR"}, (320, 320))
        told = (await shop.operator.request("GET", f"/api/payments/admin/payments/{paid['id']}")).json()
        (intent,) = shop.twin.book.objects["payment_intent"].values()
        bought = (told["subject"], told["product"], told["captured"], told["ref"])
        assert bought == ("user_ada", "phoenix/petit_dej_luna", 599, intent["id"])
        assert (intent["amount"], intent["currency"]) == (599, "eur")

        shop.twin.book.refund({"payment_intent": intent["id"]})
        await shop.deliver(copies=2, order="reversed")
        assert (await energy())[0] == 100

    in_shop(tmp_path, work, "credits", credits={"products": ["phoenix"]})
