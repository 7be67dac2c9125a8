"""What fills and empties wallets: grants, packs, refunds, time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from paid_work import Person, Shop


@pytest.mark.parametrize("amount", [0, -5, 1.5, 10**13, "10", 2**53, None])
def test_grant__of_what_is_no_amount__is_refused(ann: Person, amount: Any) -> None:
    ann.give(amount, expect=400)

    assert ann.has == (0, 0)


def test_grant__given_twice_by_its_key__is_given_once_and_another_content_is_409(ann: Person) -> None:
    first = ann.give(10, reason="Thank you")

    assert ann.give(10, reason="Thank you")["id"] == first["id"]
    assert ann.give(11, expect=409)["code"] == "credits.key-reused"
    assert ann.has == (10, 0)
    (shown,) = ann.ask("GET", "/api/credits/grants")["items"]
    assert (shown["amount"], shown["source"], shown["note"]) == (10, "admin", "Thank you")


def test_grant__is_an_operators_and_is_written_down(shop: Shop, ann: Person) -> None:
    body = {"subject": ann.subject, "product": "studio", "amount": 10, "key": "mine"}
    ann.ask("POST", "/api/credits/manage/grants", expect=403, json=body)
    ann.ask("GET", f"/api/credits/manage/wallets/{ann.subject}", expect=403)

    given = ann.give(10)

    entries = shop.ask("GET", "/api/admin/audit?action=credits.grant")["items"]
    assert [(one["object"], one["subject"]) for one in entries if one["object"] == given["id"]] == [(given["id"], ann.subject)]
    assert shop.ask("GET", f"/api/credits/manage/wallets/{ann.subject}")[0]["available"] == 10


def test_grant__to_an_unknown_product_or_for_no_time__is_refused(shop: Shop, ann: Person) -> None:
    assert ann.give(1, product="nothing", expect=404)["code"] == "credits.unknown-product"
    past = shop.clock.now().replace(year=2000).isoformat()
    for when in (past, "2027-02-31T00:00:00Z", "2027-02-01T00:00:00", "tomorrow"):
        assert ann.give(1, expires_at=when, expect=400)["code"] in ("credits.bad-time", "invalid-input")


def test_grant__for_later__can_be_spent_from_then_on_and_ends_with_its_rest_taken_out(shop: Shop, ann: Person) -> None:
    now = shop.clock.now().timestamp()
    moments = {"effective_at": _at(now + 86_400), "expires_at": _at(now + 86_400 + 3600)}
    ann.give(30, **moments)
    assert ann.has == (0, 0)

    shop.skip(days=1, seconds=1)
    ann.work("hold", "settled")
    ann.work("settle", "settled")
    ann.work("hold", "runs-on", lease=86_400)
    shop.skip(hours=2)
    assert ann.has == (0, 10)
    shop.upkeep()
    ann.work("settle", "runs-on")  # what was held before the end may still be spent
    shop.upkeep()

    assert ann.states() == [("settled", 10), ("settled", 10)]
    assert ann.has == (0, 0)


def test_pack__paid__is_given_once_however_often_it_is_told(ann: Person, shop: Shop) -> None:
    offer = shop.ask("POST", "/api/payments/offer", json={"purpose": "pack", "product": "studio/small", "subject": ann.subject})
    assert offer == {"minor": 299, "asset": "EUR"}

    ann.pays("small", 299)
    ann.pays("small", 299)
    assert ann.has == (110, 0)  # the first one brings a bonus
    ann.pays("small", 299, ref=f"{ann.subject}-second")

    assert ann.has == (210, 0)
    assert [one["amount"] for one in ann.ask("GET", "/api/credits/grants")["items"]] == [100, 110]


@pytest.mark.parametrize(("item", "minor", "asset"), [("small", 298, "EUR"), ("small", 300, "EUR"), ("small", 299, "USD"), ("nothing", 299, "EUR")])
def test_pack__paid_with_another_amount__gives_nothing_and_waits_for_an_operator(shop: Shop, ann: Person, item: str, minor: int, asset: str) -> None:
    ann.pays(item, minor, asset=asset)

    assert ann.has == (0, 0)
    dead = shop.ask("GET", "/api/admin/jobs?state=dead&action=credits.on-payments-captured")["items"]
    assert len(dead) >= 1


def test_payment__of_something_else__is_passed_over(shop: Shop, ann: Person) -> None:
    before = len(shop.ask("GET", "/api/admin/jobs?state=dead")["items"])
    ann.pays("small", 299, purpose="deposit")

    assert ann.has == (0, 0)
    assert len(shop.ask("GET", "/api/admin/jobs?state=dead")["items"]) == before
    assert shop.ask("POST", "/api/payments/offer", json={"purpose": "deposit", "product": "x", "subject": ann.subject}) == {}
    assert shop.ask("POST", "/api/payments/offer", json={"purpose": "pack", "product": "gone/x", "subject": ann.subject}) == {}


def test_payment__refunded__takes_back_what_is_unspent_and_writes_off_the_rest(ann: Person) -> None:
    ann.pays("small", 300 - 1)
    for number in range(9):
        ann.work("hold", str(number))
        ann.work("settle", str(number))
    assert ann.has == (20, 0)

    ann.pays("small", 149, name="Refunded")
    assert ann.has == (0, 0)  # 54 of 110 were due, 20 were there
    ann.pays("small", 150, name="Refunded")

    assert ann.has == (0, 0)
    ann.give(5, source="purchase")
    assert ann.has == (5, 0)


def test_payment__disputed_and_won__is_given_again(ann: Person) -> None:
    ann.pays("small", 299)
    ann.pays("small", 299, name="Disputed", state="open")
    assert ann.has == (0, 0)

    ann.pays("small", 299, name="Disputed", state="won")

    assert ann.has == (110, 0)


def test_refund__told_before_its_payment__is_tried_again_and_finds_it(shop: Shop, ann: Person) -> None:
    ann.pays("small", 299, name="Refunded", ref=f"{ann.subject}-early")

    dead = shop.ask("GET", "/api/admin/jobs?action=credits.on-payments-refunded")["items"]
    assert dead[0]["state"] in ("dead", "waiting", "retrying", "queued", "scheduled")
    assert ann.has == (0, 0)


@pytest.mark.shows("PX-D12")
def test_refund__of_an_action__comes_back_once(shop: Shop, ann: Person) -> None:
    ann.give(30)
    for key in ("one", "two"):
        ann.work("hold", key)
        ann.work("settle", key)
    ann.work("hold", "three")
    two, one = (row["id"] for row in ann.usage[1:])

    back = ann.ask("POST", f"/api/credits/usage/{one}/refund", json={"reason": "It was blurred"})
    again = ann.ask("POST", f"/api/credits/usage/{one}/refund", expect=409, json={})

    assert (back["state"], back["amount"], again["code"]) == ("refunded", 10, "credits.refunded-before")
    assert ann.has == (10, 10)
    held = ann.usage[0]["id"]
    assert ann.ask("POST", f"/api/credits/usage/{held}/refund", expect=422, json={})["code"] == "credits.not-refundable"
    assert ann.ask("POST", f"/api/credits/usage/use_{'0' * 32}/refund", expect=404, json={})["code"] == "credits.usage-not-found"
    assert shop.person().ask("POST", f"/api/credits/usage/{two}/refund", expect=404, json={})["code"] == "credits.usage-not-found"
    shop.skip(days=7, seconds=1)
    assert ann.ask("POST", f"/api/credits/usage/{two}/refund", expect=422, json={})["code"] == "credits.not-refundable"
    shop.ask("POST", f"/api/credits/manage/wallets/{ann.subject}/usage/{two}/refund", json={"reason": "Goodwill"})
    assert [one["source"] for one in ann.ask("GET", "/api/credits/grants")["items"]] == ["refund", "refund", "admin"]


def test_refund__of_what_the_price_does_not_refund__is_422(shop: Shop, ann: Person) -> None:
    shop.ask("POST", "/api/credits/manage/plans", json={"subject": ann.subject, "product": "studio", "plan": "pro"})
    ann.work("hold", "one", action="studio.secret")
    ann.work("settle", "one")

    assert ann.ask("POST", f"/api/credits/usage/{ann.usage[0]['id']}/refund", expect=422, json={})["code"] == "credits.not-refundable"


@pytest.mark.shows("LK-17")
def test_usage__is_a_history_by_pages_of_ones_own(shop: Shop, ann: Person) -> None:
    ann.give(50)
    for number in range(5):
        ann.work("hold", str(number))
        ann.work("settle", str(number))

    first = ann.ask("GET", "/api/credits/usage?limit=3")
    second = ann.ask("GET", f"/api/credits/usage?limit=3&cursor={first['next_cursor']}")

    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (3, 2, None)
    assert shop.person().usage == []


def test_live_meter__is_told_of_every_change_and_only_the_persons_own(shop: Shop, ann: Person) -> None:
    room = f"credits.wallet.{ann.subject}"

    async def watch() -> list[str]:
        said = []
        async with ann.client.stream("GET", f"/api/live?room={room}") as answer:
            assert answer.status == 200
            await ann.client.request("POST", "/api/studio/work", json={"do": "hold", "key": f"{ann.subject}:watched"})
            async for chunk in answer.chunks:
                said.append(chunk.decode())
                if '"in_progress":10' in said[-1]:
                    break
        return said

    ann.give(25)
    said = shop.run(watch())

    assert '"available":15' in said[-1]
    assert shop.run(shop.person().client.request("GET", f"/api/live?room={room}")).status == 404


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
