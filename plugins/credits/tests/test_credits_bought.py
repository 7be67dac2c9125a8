"""Packs and plans bought at payments, with the sandbox as the provider: from the checkout over its webhooks to the wallet, and back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from paid_work import Person, Shop, open_shop

DAY = 86_400


class Mall:
    """A shop with payments, and the post between provider and hub: webhooks wait until the test hands them over."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.waiting: list[tuple[bytes, dict[str, str]]] = []

    async def keep(self, request: web.Request) -> web.Response:
        """Take a delivery of the provider."""
        self.waiting.append((await request.read(), {name: request.headers[name] for name in ("sandbox-signature", "content-type")}))
        return web.Response()

    def hand_over(self, *, backwards: bool = False, copies: int = 1) -> list[int]:
        """Let the provider send what is due, give the hub all of it, and return its answers."""
        self.shop.settle_jobs()
        outside = self.shop.hub.client()
        letters = (self.waiting[::-1] if backwards else self.waiting) * copies
        self.waiting = []
        sent = [outside.request("POST", "/api/webhook/payments/sandbox", body=body, headers=headers) for body, headers in letters]
        answers = [self.shop.run(each).status for each in sent]
        self.shop.run(self.shop.hub.hub.webhooks.settle())
        self.shop.settle_jobs()
        return answers

    def buy(self, person: Person, product: str, method: str = "card", *, expect: int = 201, purpose: str = "pack") -> Any:
        client = self.shop.hub.client("payments:pay", "payments:read", subject=person.subject)
        asked = {"purpose": purpose, "product": product, "method": method}
        found = self.shop.ask("POST", "/api/payments/checkouts", expect=expect, client=client, json=asked)
        self.shop.settle_jobs()
        return found

    def stores(self, person: Person, **more: Any) -> str:
        """Have somebody store a method, and return its id."""
        client = self.shop.hub.client("payments:pay", subject=person.subject)
        stored: str = self.shop.ask("POST", "/api/payments/methods", expect=201, client=client, json=more)["id"]
        return stored

    def paid(self, person: Person) -> list[tuple[str, str]]:
        """Status and code of somebody's payments, oldest first."""
        client = self.shop.hub.client("payments:read", subject=person.subject)
        found = self.shop.ask("GET", "/api/payments/history", client=client)["items"]
        return [(one["status"], one["code"]) for one in reversed(found)]

    def refund(self, payment: Any, amount: int | None = None) -> None:
        self.shop.ask("POST", "/api/payments/refund", json={"payment": payment["id"], "amount": amount})
        self.shop.settle_jobs()

    def wallet(self, person: Person, product: str) -> Any:
        return next(one for one in person.ask("GET", "/api/credits/balance") if one["product"] == product)

    def bought(self, person: Person) -> list[tuple[str, int]]:
        found = person.ask("GET", "/api/credits/grants?limit=100")["items"]
        return [(one["unit"], one["amount"]) for one in found if one["source"] == "purchase"]


@pytest.fixture(scope="module")
def mall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mall]:
    """Return a hub that sells packs and plans, and the post of its provider."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    at = f"127.0.0.1:{door.getsockname()[1]}"
    more: dict[str, Any] = {"pay-sandbox": {"webhook-url": f"http://{at}/hook", "assets": ["EUR", "IDR"]}}
    settings = {"plugins": {"pay-sandbox": {"approve": ["secrets", f"outbound:{at}"]}}}
    config = {"products": ["product.toml", "phoenix", "lumiku"]}
    folder = tmp_path_factory.mktemp("mall")
    with open_shop(folder, "pay-sandbox", stand_in=False, config=config, more_config=more, settings=settings) as shop:
        opened = Mall(shop)
        app = web.Application()
        app.router.add_post("/hook", opened.keep)
        runner = web.AppRunner(app, access_log=None)
        shop.run(runner.setup())
        shop.run(web.SockSite(runner, door).start())
        yield opened
        shop.ask("POST", "/api/payments/admin/reconcile")
        assert shop.ask("GET", "/api/payments/admin/incidents")["items"] == []
        assert shop.ask("POST", "/api/ledger/verify")["count"] == 0
        shop.run(runner.cleanup())


@pytest.fixture
def ann(mall: Mall) -> Person:
    """Return somebody who has nothing yet."""
    return mall.shop.person()


@pytest.mark.shows("PX-78", "PX-72", "PX-D4")
def test_pack__that_is_paid__is_in_the_wallet_once_however_its_webhooks_come(mall: Mall, ann: Person) -> None:
    assert ann.ask("POST", "/api/credits/quote", json={"action": "cv_mirror_match"})["available"] == 100

    paid = mall.buy(ann, "phoenix/petit_dej_luna", "card_delayed")
    assert (paid["status"], paid["amount"]) == ("pending", {"minor": 599, "asset": "EUR"})
    assert mall.bought(ann) == []
    mall.shop.skip(seconds=200)
    assert set(mall.hand_over(backwards=True, copies=3)) <= {200, 202}
    mall.shop.ask("POST", "/api/payments/admin/reconcile")
    mall.shop.settle_jobs()

    assert mall.bought(ann) == [("PHX_ENERGY", 220)]
    energy = mall.wallet(ann, "phoenix")
    assert (energy["available"], energy["maximum"]) == (320, 320)


@pytest.mark.shows("LK-D2", "LK-03")
def test_pack__of_lumiku__costs_what_is_listed_and_pays_for_the_next_work(mall: Mall, ann: Person) -> None:
    offered = mall.shop.ask("GET", "/api/credits/products/lumiku")["packs"][0]

    paid = mall.buy(ann, f"lumiku/{offered['id']}")

    assert (paid["status"], paid["amount"]) == ("captured", offered["price"])
    assert mall.wallet(ann, "lumiku")["available"] == 100 + offered["amount"]


@pytest.mark.parametrize("method", ["card_declined", "card_delayed_failure", "card_never_arrived"])
def test_pack__that_is_not_paid__gives_nothing(mall: Mall, ann: Person, method: str) -> None:
    mall.buy(ann, "studio/small", method)
    mall.shop.skip(seconds=4000)
    mall.hand_over(copies=2)
    mall.shop.ask("POST", "/api/payments/admin/repair")
    mall.shop.settle_jobs()

    assert (mall.bought(ann), ann.ask("GET", "/api/credits/usage")["items"]) == ([], [])


def test_pack__whose_answer_is_lost__is_found_and_given_once(mall: Mall, ann: Person) -> None:
    assert mall.buy(ann, "studio/small", "card_answer_lost")["status"] == "unknown"
    mall.hand_over(copies=2)
    mall.shop.skip(seconds=600)
    mall.shop.ask("POST", "/api/payments/admin/repair")
    mall.shop.settle_jobs()

    assert mall.bought(ann) == [("STUDIO_CREDIT", 110)]


def test_refund__takes_back_what_is_unspent_of_its_part_and_never_more(mall: Mall, ann: Person) -> None:
    paid = mall.buy(ann, "studio/small")
    assert ann.has == (110, 0)
    for key in ("one", "two", "three"):
        ann.work("hold", key)
        ann.work("settle", key)

    mall.refund(paid, 100)
    assert ann.has == (80 - 110 * 100 // 299, 0)
    mall.refund(paid)
    mall.hand_over(backwards=True, copies=2)

    assert ann.has == (0, 0)
    assert ann.work("hold", "four", expect=402)["code"] == "credits.short"
    assert mall.bought(ann) == [("STUDIO_CREDIT", 110)]


def test_dispute__takes_units_away_and_a_won_one_brings_them_back(mall: Mall, ann: Person) -> None:
    mall.buy(ann, "studio/small", "card_dispute_won")
    for has in (0, 110):
        mall.shop.skip(seconds=DAY + 60)
        mall.hand_over(copies=2)
        mall.shop.ask("POST", "/api/payments/admin/reconcile")
        mall.shop.settle_jobs()
        assert ann.has == (has, 0)


def test_plan__that_is_paid__begins_and_ends_when_its_payment_goes_back(mall: Mall, ann: Person) -> None:
    assert ann.plan("pro")["due"] == 3000

    paid = mall.buy(ann, "studio/pro", purpose="plan")
    assert (ann.wallet["plan"], ann.has) == ("pro", (100, 0))
    mall.refund(paid)

    assert ann.wallet["plan"] == "payg"


@pytest.mark.parametrize("product", ["studio/none", "nobody/small", "studio", "studio/pro"])
def test_checkout__of_what_is_not_sold_to_the_person__is_422(mall: Mall, ann: Person, product: str) -> None:
    assert mall.buy(ann, product, expect=422)["code"] == "payments.no-offer"


def month_over(mall: Mall, person: Person, plan: str, product: str = "studio") -> None:
    """Let somebody have a plan whose month is over, and do what the clock brings then."""
    mall.shop.ask("POST", "/api/credits/manage/plans", json={"subject": person.subject, "product": product, "plan": plan, "months": 1})
    ends = datetime.fromisoformat(mall.wallet(person, product)["renews_at"])
    mall.shop.skip(seconds=(ends - mall.shop.clock.now()).total_seconds() + 1)
    mall.shop.upkeep()


def test_month__that_is_over__is_paid_by_the_method_that_was_given_for_it(mall: Mall, ann: Person) -> None:
    mall.stores(ann, renews=True)
    mall.stores(ann)
    month_over(mall, ann, "pro")

    assert mall.paid(ann) == [("captured", "")]
    assert (ann.wallet["plan"], ann.wallet["state"], ann.has) == ("pro", "active", (100, 0))
    mall.shop.upkeep()
    assert len(mall.paid(ann)) == 1
    mall.shop.skip(days=31)
    mall.shop.upkeep()
    assert mall.paid(ann) == [("captured", "")] * 2
    assert ann.wallet["state"] == "active"


def test_month__that_is_over__is_left_to_the_person_who_gave_no_method_for_it_or_left(mall: Mall, ann: Person) -> None:
    mall.stores(ann)
    month_over(mall, ann, "pro")
    assert (mall.paid(ann), ann.wallet["state"]) == ([], "past_due")

    ended = ann.ask("DELETE", "/api/credits/plans/studio")
    assert (ended["plan"], ended["state"]) == ("payg", "active")
    mall.stores(ann, renews=True)
    mall.shop.skip(days=1)
    mall.shop.upkeep()
    assert mall.paid(ann) == []


SLOW = """
product = "slow"
title = "Slow"
unit = "SLOW_CREDIT"
unit-title = "Slow credits"
start = 2020-01-01
default-plan = "free"

[[plans]]
id = "free"
title = "Free"

[[plans]]
id = "declined"
title = "At an amount that the sandbox declines"
price = { minor = 400001, asset = "EUR" }

[[plans]]
id = "lost"
title = "At an amount whose answer the sandbox loses"
price = { minor = 400011, asset = "EUR" }

[[plans]]
id = "confirmed"
title = "At an amount that the payer has to confirm"
price = { minor = 400010, asset = "EUR" }
"""


@pytest.mark.shows("TL-70")
@pytest.mark.parametrize(("plan", "code"), [("declined", "declined"), ("confirmed", "authentication_required")])
def test_month__that_the_bank_declines__is_tried_four_times_and_then_the_plan_ends(mall: Mall, ann: Person, plan: str, code: str) -> None:
    mall.shop.ask("POST", "/api/credits/manage/products", json={"toml": SLOW})
    mall.stores(ann, renews=True)
    month_over(mall, ann, plan, "slow")
    for _ in range(8):
        mall.shop.skip(days=1)
        mall.shop.upkeep()

    assert mall.paid(ann) == [("failed", code)] * 4
    assert mall.wallet(ann, "slow")["plan"] == "free"


def test_month__whose_payment_is_not_known__is_not_paid_a_second_time(mall: Mall, ann: Person) -> None:
    mall.shop.ask("POST", "/api/credits/manage/products", json={"toml": SLOW})
    mall.stores(ann, renews=True)
    listed = mall.shop.ask("GET", "/api/admin/schedules?limit=100")["items"]
    asking = [one["id"] for one in listed if one["action"] in ("payments.repair", "payments.reconcile")]
    assert len(asking) == 2
    for schedule in asking:  # or it is known before it is due again
        mall.shop.ask("POST", f"/api/schedules/{schedule}/pause", json={"reason": "test"})
    month_over(mall, ann, "lost", "slow")
    assert mall.paid(ann) == [("unknown", "")]
    mall.shop.skip(days=2)
    mall.shop.upkeep()
    assert mall.paid(ann) == [("unknown", "")]

    for schedule in asking:
        mall.shop.ask("POST", f"/api/schedules/{schedule}/resume")
    mall.shop.ask("POST", "/api/payments/admin/repair")
    mall.shop.settle_jobs()

    assert mall.paid(ann) == [("captured", "")]
    assert (mall.wallet(ann, "slow")["plan"], mall.wallet(ann, "slow")["state"]) == ("lost", "active")
