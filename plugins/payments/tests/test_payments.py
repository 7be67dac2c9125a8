"""Payments through HTTP: what people and operators see, and what the books say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luminai import Money
from luminai.testing import FrozenClock, running_hub

DAY = 86_400
PLUGINS = ("ledger", "payments", "pay-sandbox")
PERSON = ("payments:read", "payments:pay")
OPERATOR = ("payments:manage", "pay-sandbox:read", "pay-sandbox:manage")
OFFERS = [
    {"purpose": "pack", "product": "small", "amount": 500, "asset": "EUR"},
    {"purpose": "pack", "product": "yen", "amount": 500, "asset": "JPY"},
]


class Shop:
    """A hub with the sandbox: what a person and an operator do there."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.person = hub.client(*PERSON, subject="user_ada")
        self.operator = hub.client(*OPERATOR, subject="user_op")

    async def charge(self, minor: int = 1000, method: str = "card", **more: Any) -> Any:
        answer = await self.person.request("POST", "/api/payments/charge", json={"amount": minor, "asset": "EUR", "method": method} | more)
        assert answer.status == 201, answer.json()
        return answer.json()

    async def show(self, payment: Any) -> Any:
        return (await self.person.request("GET", f"/api/payments/checkouts/{payment['id']}")).json()

    async def refund(self, payment: Any, amount: int | None = None) -> Any:
        return await self.operator.request("POST", "/api/payments/refund", json={"payment": payment["id"], "amount": amount})

    async def token(self, method: str) -> tuple[bytes, str]:
        """Return a stored method's token as the database has it, and as the person's key opens it."""
        from sqlalchemy import text

        hub, place = self.hub.hub, f"payments__methods.token:{method}"
        query = text("SELECT token FROM payments__methods WHERE id = :method")
        sealed: bytes = await hub.database.read(lambda session: session.execute(query, {"method": method}).scalar_one())
        vault = hub.generation.loaded("payments").context.vault
        opened = await hub.database.read(lambda session: vault.open(session, subject="user_ada", place=place, sealed=sealed))
        return sealed, opened.decode()

    async def advance(self, seconds: int) -> None:
        """Move both clocks on, and let what is due run."""
        await self.hub.advance(seconds)

    async def repair(self) -> Any:
        return (await self.operator.request("POST", "/api/payments/admin/repair")).json()

    async def reconcile(self) -> Any:
        return (await self.operator.request("POST", "/api/payments/admin/reconcile")).json()

    async def incidents(self) -> list[str]:
        return [one["kind"] for one in (await self.operator.request("GET", "/api/payments/admin/incidents")).json()["items"]]

    async def books(self, asset: str = "EUR") -> dict[str, int]:
        """Return the balance of each account of payments, debits positive for providers, credits for persons."""
        from sqlalchemy import text

        query = text("SELECT purpose, owner, credits_posted - debits_posted AS balance FROM ledger__accounts WHERE asset = :asset")
        rows = await self.hub.hub.database.read(lambda session: session.execute(query, {"asset": asset}).all())
        return {row.purpose.removeprefix("payments:"): row.balance if row.owner else -row.balance for row in rows if row.balance}

    async def _events(self) -> list[Any]:
        from luminai.data.tables_events import events

        rows = await self.hub.hub.database.read(lambda session: session.execute(events.select().order_by(events.c.id)).all())
        return [row for row in rows if row.type.startswith("payments.")]

    async def events(self) -> list[tuple[str, int]]:
        return [(row.type.removeprefix("payments."), row.payload["amount"]) for row in await self._events()]

    async def payloads(self) -> list[Any]:
        return [row.payload for row in await self._events()]


def in_shop(work: Any, *, clock: Any = None, folder: Any = None, **config: Any) -> Any:
    async def main() -> Any:
        async with running_hub(*PLUGINS, config={"payments": {"offers": OFFERS} | config}, clock=clock or FrozenClock(), folder=folder) as hub:
            return await work(Shop(hub))

    return asyncio.run(main())


def test_charge__that_succeeds__is_booked_published_and_in_the_history() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        assert (paid["status"], paid["captured"], paid["fee"], paid["doing"]) == ("captured", 1000, 15, "")
        assert await shop.books() == {"clearing:sandbox": 985, "fees:sandbox": 15, "deposit": 1000}
        assert await shop.events() == [("Captured", 1000)]
        (told,) = await shop.payloads()
        owned = (await shop.operator.request("GET", f"/api/payments/admin/payments/{paid['id']}")).json()
        told_of = {"intent": paid["id"], "purpose": "deposit", "product": "", "subject": "user_ada", "amount": 1000, "asset": "EUR"}
        assert told == told_of | {"provider": "sandbox", "ref": owned["ref"]}
        found = (await shop.person.request("GET", "/api/payments/history")).json()["items"]
        assert found == [await shop.show(paid)]

    in_shop(work)


@pytest.mark.shows("TL-73", "TL-74", "TL-75", "TL-72", "TL-63", "TL-76")
def test_method__stored__pays_is_listed_without_its_token_and_removed() -> None:
    async def work(shop: Shop) -> None:
        added = await shop.person.request("POST", "/api/payments/methods", json={"kind": "card"})
        assert added.status == 201
        method = added.json()["id"]
        (listed,) = (await shop.person.request("GET", "/api/payments/methods")).json()["items"]
        assert (listed["id"], "token" in listed) == (method, False)
        number = await shop.person.request("POST", "/api/payments/methods", json={"kind": "card", "number": "4242424242424242"})
        assert number.status == 400, "a card's number is no field"
        sealed, token = await shop.token(method)
        assert token.encode() not in sealed
        paid = await shop.charge(700, method)
        assert paid["status"] == "captured"
        assert [one["id"] for one in (await shop.person.request("GET", "/api/payments/history")).json()["items"]] == [paid["id"]]
        assert (await shop.refund(paid)).json()["status"] == "refunded"
        other = shop.hub.client(*PERSON, subject="user_eve")
        stolen = await other.request("POST", "/api/payments/charge", json={"amount": 700, "asset": "EUR", "method": method})
        assert (stolen.status, stolen.json()["code"]) == (404, "payments.method-not-found")
        assert (await other.request("DELETE", f"/api/payments/methods/{method}")).status == 404
        assert (await shop.person.request("DELETE", f"/api/payments/methods/{method}")).status == 204
        assert (await shop.person.request("GET", "/api/payments/methods")).json()["items"] == []
        assert (await shop.person.request("POST", "/api/payments/charge", json={"amount": 7, "asset": "EUR", "method": method})).status == 404

    in_shop(work)


def test_checkout__of_a_product__costs_what_its_seller_says() -> None:
    async def work(shop: Shop) -> None:
        bought = await shop.person.request("POST", "/api/payments/checkouts", json={"purpose": "pack", "product": "small"})
        assert (bought.status, bought.json()["amount"]) == (201, {"minor": 500, "asset": "EUR"})
        named = {"purpose": "pack", "product": "small", "amount": 1}
        assert (await shop.person.request("POST", "/api/payments/checkouts", json=named)).status == 400
        missing = await shop.person.request("POST", "/api/payments/checkouts", json={"purpose": "pack", "product": "big"})
        assert (missing.status, missing.json()["code"]) == (422, "payments.no-offer")
        assert await shop.books() == {"clearing:sandbox": 492, "fees:sandbox": 8, "pack": 500}

    in_shop(work)


@pytest.mark.shows("TL-128b")
def test_refund__in_parts__never_goes_above_the_rest() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        assert (await shop.refund(paid, 1001)).json()["code"] == "payments.too-much"
        assert (await shop.refund(paid, 400)).json()["status"] == "partially_refunded"
        assert (await shop.refund(paid, 601)).json()["code"] == "payments.too-much"
        assert (await shop.refund(paid)).json()["refunded"] == 1000
        again = await shop.refund(paid, 1)
        assert (again.status, again.json()["code"]) == (409, "payments.not-refundable")
        assert await shop.books() == {"clearing:sandbox": -15, "fees:sandbox": 15}
        assert await shop.events() == [("Captured", 1000), ("Refunded", 400), ("Refunded", 600)]
        denied = await shop.person.request("POST", "/api/payments/refund", json={"payment": paid["id"]})
        assert denied.status == 403
        audit = (await shop.hub.client("hub:audit").request("GET", "/api/admin/audit?action=payment.refund")).json()["items"]
        assert [(one["object"], one["subject"], one["detail"]["amount"], one["retention"]) for one in reversed(audit)] == [
            (paid["id"], "user_ada", 400, "7y"),
            (paid["id"], "user_ada", None, "7y"),
        ]

    in_shop(work)


@pytest.mark.shows("TL-70")
def test_declined__can_be_tried_again_and_older_attempts_change_nothing() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="card_insufficient_funds")
        assert (paid["status"], paid["code"]) == ("failed", "insufficient_funds")
        assert await shop.books() == {}
        path = f"/api/payments/checkouts/{paid['id']}/retry"
        again = (await shop.person.request("POST", path, json={"method": "card"})).json()
        assert (again["status"], again["attempt"], again["captured"]) == ("captured", 2, 1000)
        assert (await shop.person.request("POST", path, json={})).json()["code"] == "payments.not-failed"
        await shop.reconcile()  # the first attempt's events are on the list
        assert ((await shop.show(paid))["status"], await shop.incidents()) == ("captured", [])

    in_shop(work)


@pytest.mark.parametrize(("method", "seconds", "status"), [("card_answer_lost", 60, "captured"), ("card_never_arrived", 1000, "failed")])
def test_unknown__is_a_state_until_the_provider_was_asked(method: str, seconds: int, status: str) -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method=method)
        assert (paid["status"], paid["doing"], await shop.books()) == ("unknown", "authorize", {})
        busy = await shop.person.request("POST", f"/api/payments/checkouts/{paid['id']}/retry", json={})
        assert busy.status == 409
        await shop.advance(seconds)
        found = await shop.show(paid)
        assert (found["status"], found["doing"]) == (status, "")
        assert (await shop.books()).get("deposit", 0) == (1000 if status == "captured" else 0)
        assert [kind for kind, _ in await shop.events()] == [status.capitalize()]

    in_shop(work)


def test_refund__whose_answer_was_lost__is_found_and_booked_once() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="card_refund_lost")
        unknown = (await shop.refund(paid, 300)).json()
        assert (unknown["refunded"], unknown["doing"]) == (0, "refund")
        assert (await shop.refund(paid, 300)).json()["code"] == "payments.busy"
        assert (await shop.repair()) == {"looked": 1, "settled": 1, "open": 0}
        assert (await shop.show(paid))["refunded"] == 300
        assert (await shop.books())["deposit"] == 700
        refused = await shop.charge(method="card_refund_refused")
        answer = await shop.refund(refused)
        assert (answer.status, answer.json()["code"]) == (422, "payments.refused")
        assert (await shop.show(refused))["doing"] == ""

    in_shop(work)


async def _wait_in_sandbox(shop: Shop, seconds: int) -> None:
    """Move the sandbox's own clock on, as an operator who tries things out does."""
    assert (await shop.operator.request("POST", "/api/pay-sandbox/clock", json={"seconds": seconds})).status == 200


@pytest.mark.shows("TL-71")
@pytest.mark.parametrize(
    ("method", "waits", "expected", "books"),
    [
        ("card_delayed", [61], ("captured", "", 1000, 0), {"clearing:sandbox": 985, "fees:sandbox": 15, "deposit": 1000}),
        ("card_delayed_failure", [61], ("failed", "", 0, 0), {}),
        (
            "card_disputed",
            [DAY],
            ("disputed", "open", 1000, 1000),
            {"clearing:sandbox": -15, "fees:sandbox": 15, "disputes:sandbox": 1000, "deposit": 1000},
        ),
        ("card_dispute_won", [DAY, DAY], ("captured", "won", 1000, 0), {"clearing:sandbox": 985, "fees:sandbox": 15, "deposit": 1000}),
        (
            "card_dispute_lost",
            [DAY, DAY],
            ("dispute_lost", "lost", 1000, 1000),
            {"clearing:sandbox": -15, "fees:sandbox": 15, "dispute-loss:sandbox": 1000, "deposit": 1000},
        ),
        ("bank_returned", [4 * DAY], ("failed", "", 1000, 0), {"clearing:sandbox": -15, "fees:sandbox": 15}),
    ],
)
def test_later_change__found_on_the_list__is_booked(method: str, waits: list[int], expected: tuple[Any, ...], books: dict[str, int]) -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method=method)
        for seconds in waits:
            await _wait_in_sandbox(shop, seconds)
            assert (await shop.reconcile())["incidents"] == 0
        found = await shop.show(paid)
        assert (found["status"], found["dispute"], found["captured"], found["disputed"]) == expected
        assert await shop.books() == books
        assert (await shop.reconcile())["looked"] == 0
        if expected[0] in ("disputed", "dispute_lost", "failed"):
            assert (await shop.refund(paid)).json()["code"] == "payments.not-refundable"

    in_shop(work)


def test_hold__is_taken_in_part_or_let_go() -> None:
    async def work(shop: Shop) -> None:
        ask = {"purpose": "pack", "product": "small", "capture": False}
        held, other = [(await shop.person.request("POST", "/api/payments/checkouts", json=ask)).json() for _ in range(2)]
        assert (held["status"], await shop.books()) == ("authorized", {})
        path = f"/api/payments/admin/payments/{held['id']}"
        assert (await shop.operator.request("POST", f"{path}/capture", json={"amount": 501})).json()["code"] == "payments.too-much"
        assert (await shop.operator.request("POST", f"{path}/capture", json={"amount": 300})).json()["captured"] == 300
        assert (await shop.operator.request("POST", f"{path}/void")).json()["code"] == "payments.not-voidable"
        cancel = f"/api/payments/checkouts/{other['id']}/cancel"
        assert (await shop.hub.client(*PERSON, subject="user_eve").request("POST", cancel)).status == 404
        assert (await shop.person.request("POST", cancel)).json()["status"] == "voided"
        late = await shop.operator.request("POST", f"/api/payments/admin/payments/{other['id']}/capture", json={})
        assert (late.status, late.json()["code"]) == (409, "payments.not-authorized")
        assert await shop.books() == {"clearing:sandbox": 295, "fees:sandbox": 5, "pack": 300}

    in_shop(work)


def test_payer__confirms__and_the_waiting_payment_is_asked_about() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="card_requires_action")
        assert (paid["status"], paid["action"]["kind"]) == ("requires_action", "three_d_secure")
        assert (await shop.operator.request("POST", paid["action"]["url"], json={"act": "confirm"})).status == 200
        await shop.advance(301)
        found = await shop.show(paid)
        assert (found["status"], found["action"], found["captured"]) == ("captured", None, 1000)

    in_shop(work)


BAD = [
    ({"amount": 0}, 400, "invalid-input"),
    ({"amount": -5}, 400, "invalid-input"),
    ({"amount": 1.5}, 400, "invalid-input"),
    ({"amount": "10"}, 400, "invalid-input"),
    ({"amount": 2**53}, 400, "bad-number"),
    ({"amount": 2**52}, 422, "payments.too-large"),
    ({"asset": "XXQ"}, 422, "payments.no-provider"),
    ({"asset": "eur"}, 400, "invalid-input"),
    ({"purpose": "pack"}, 422, "payments.purpose"),
    ({"method": "4242-4242-4242-4242"}, 422, "payments.card-number"),
    ({"method": "4000000000000002"}, 422, "payments.card-number"),
    ({"return_url": "https://shop.example/?card=4242%204242 4242"}, 400, "invalid-input"),
    ({"return_url": "https://shop.example/?card=4242424242424242"}, 422, "payments.card-number"),
    ({"provider": "stripe"}, 422, "payments.unknown-provider"),
    ({"method": "pmt_" + "0" * 32}, 404, "payments.method-not-found"),
    ({"more": 1}, 400, "invalid-input"),
]


def test_bad_input__is_refused_with_a_code_and_leaves_nothing() -> None:
    async def work(shop: Shop) -> None:
        for change, status, code in BAD:
            ask = {"amount": 1000, "asset": "EUR", "method": "card"} | change
            answer = await shop.person.request("POST", "/api/payments/charge", json=ask)
            problem = answer.json()
            assert (answer.status, problem["code"]) == (status, code), problem
            assert problem.get("hint") or problem["errors"]
            assert "4242" not in str(problem)
        assert (await shop.person.request("GET", "/api/payments/history")).json()["items"] == []
        assert await shop.books() == {}

    in_shop(work)


def test_method__that_the_provider_does_not_know__is_a_failed_payment() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="no_such_method")
        assert (paid["status"], paid["code"], await shop.books()) == ("failed", "not-found", {})

    in_shop(work)


def test_same_idempotency_key__pays_once() -> None:
    async def work(shop: Shop) -> None:
        body = {"amount": 1000, "asset": "EUR", "method": "card"}
        asked = [await shop.person.request("POST", "/api/payments/charge", json=body, headers={"idempotency-key": "k1"}) for _ in range(3)]
        assert len({one.json()["id"] for one in asked}) == 1
        changed = await shop.person.request("POST", "/api/payments/charge", json=body | {"amount": 1}, headers={"idempotency-key": "k1"})
        assert changed.status == 422
        assert (await shop.books())["deposit"] == 1000

    in_shop(work)


def test_parallel_refunds__give_back_at_most_what_was_taken() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        answers = await asyncio.gather(*(shop.refund(paid, 400) for _ in range(10)))
        done = sum(answer.status == 200 for answer in answers)
        assert 1 <= done <= 2
        assert {answer.json()["code"] for answer in answers if answer.status != 200} <= {
            "payments.busy",
            "payments.too-much",
        }
        assert (await shop.books())["deposit"] == 1000 - 400 * done

    in_shop(work)


def test_provider__by_rule__takes_what_fits() -> None:
    from luminai.testing import MemoryPayments

    async def work(shop: Shop) -> None:
        shop.hub.provide("payment_providers", MemoryPayments("other"))
        assert (await shop.charge())["provider"] == "other"
        assert (await shop.charge(provider="sandbox"))["provider"] == "sandbox"
        bought = await shop.person.request("POST", "/api/payments/checkouts", json={"purpose": "pack", "product": "yen"})
        assert bought.json()["provider"] == "sandbox"

    rules = [{"provider": "other", "assets": ["EUR"]}]
    in_shop(work, providers=["sandbox", "other"], routes=rules)


@pytest.mark.parametrize("outcome", ["declined", "lost", "rate"])
def test_other_provider__whatever_it_answers__leaves_books_and_payment_in_step(outcome: Any) -> None:
    from luminai.testing import MemoryPayments

    async def work(shop: Shop) -> None:
        other = MemoryPayments("other")
        shop.hub.provide("payment_providers", other)
        other.script(outcome)
        answer = await shop.person.request("POST", "/api/payments/charge", json={"amount": 900, "asset": "EUR"})
        if outcome == "rate":
            assert (answer.status, answer.json()["code"]) == (503, "payments.provider-busy")
        await shop.repair()
        (found,) = (await shop.person.request("GET", "/api/payments/history")).json()["items"]
        expected = {"declined": ("failed", {}), "rate": ("failed", {}), "lost": ("captured", {"clearing:other": 900, "deposit": 900})}[outcome]
        assert (found["status"], await shop.books()) == expected

    in_shop(work, providers=["other"])


@pytest.mark.shows("TL-71")
def test_sums__that_differ_from_the_ledger__are_an_incident() -> None:
    from luminai_payments.models import payments

    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        change = payments.update().where(payments.c.id == paid["id"]).values(fee=14)
        await shop.hub.hub.database.write(lambda session: session.execute(change))
        assert (await shop.reconcile())["incidents"] == 1
        (found,) = (await shop.operator.request("GET", "/api/payments/admin/incidents")).json()["items"]
        assert found["kind"] == "books-differ"
        assert (await shop.reconcile())["incidents"] == 0
        resolved = await shop.operator.request("POST", f"/api/payments/admin/incidents/{found['id']}/resolve")
        assert (resolved.status, await shop.incidents()) == (200, [])

    in_shop(work)


def test_payment_made_elsewhere__is_an_incident_and_no_money_of_anybody() -> None:
    from luminai import AuthorizeRequest

    async def work(shop: Shop) -> None:
        provider = shop.hub.hub.generation.wiring.providers.payment_providers["sandbox"]
        await provider.authorize(AuthorizeRequest(amount=Money(5, "EUR"), reference="x", method="card", capture=True), key="elsewhere")
        assert (await shop.reconcile())["incidents"] == 1
        assert (await shop.incidents(), await shop.books()) == (["unknown-payment"], {})

    in_shop(work)


def test_bank_return__during_a_refund_whose_answer_was_lost__takes_back_the_rest_only() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="card_refund_lost")
        assert (await shop.refund(paid, 400)).json()["doing"] == "refund"
        ref = (await shop.operator.request("GET", f"/api/payments/admin/payments/{paid['id']}")).json()["ref"]
        act = f"/api/pay-sandbox/payments/{ref}/act"
        assert (await shop.operator.request("POST", act, json={"act": "return"})).status == 200
        await shop.reconcile()
        await shop.repair()
        found = await shop.show(paid)
        assert (found["status"], found["refunded"], found["returned"], found["doing"]) == ("failed", 400, 600, "")
        assert (await shop.books(), await shop.incidents()) == ({"clearing:sandbox": -15, "fees:sandbox": 15}, [])

    in_shop(work)


def test_list__with_a_payment_that_the_provider_cannot_tell_yet__waits_for_it() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="card_answer_late")
        assert not (await shop.reconcile())["complete"]
        assert await shop.incidents() == []
        await shop.advance(1200)
        assert ((await shop.show(paid))["status"], await shop.incidents()) == ("captured", [])

    in_shop(work)


def test_payment__settled_while_its_event_is_looked_at__is_not_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    from luminai_payments.inbox import Inbox

    async def work(shop: Shop) -> None:
        paid = await shop.charge(method="card_answer_lost")
        adopt = Inbox._adopt

        async def overtaken(inbox: Inbox, told: Any) -> str:
            await shop.hub.advance(60)
            assert (await shop.repair())["open"] == 0
            return await adopt(inbox, told)

        monkeypatch.setattr(Inbox, "_adopt", overtaken)
        assert (await shop.reconcile())["complete"]
        assert await shop.incidents() == []
        assert (await shop.show(paid))["status"] == "captured"

    in_shop(work)


def test_event__of_a_payment_behind_many_open_ones__waits_until_they_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    from luminai_payments import inbox

    monkeypatch.setattr(inbox, "MAX_ADOPTABLE", 2)

    async def work(shop: Shop) -> None:
        lost = await shop.charge(method="card_answer_lost")
        for _ in range(3):
            await shop.charge(method="card_never_arrived")
        assert not (await shop.reconcile())["complete"]
        assert await shop.incidents() == []
        for _ in range(2):
            await shop.advance(3600)
            await shop.repair()
        assert (await shop.reconcile())["complete"]
        assert await shop.incidents() == []
        assert (await shop.show(lost))["status"] == "captured"

    in_shop(work)
