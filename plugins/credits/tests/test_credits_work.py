"""Paid work from its hold to its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from paid_work import BASIC, Person, Shop, open_shop

WRITE = {"action": "studio.write"}


@pytest.mark.shows("LK-06", "LK-47", "LK-30", "LK-D3", "PX-D2")
def test_work__held_and_settled__charges_once_and_shows_what_is_in_progress(ann: Person) -> None:
    ann.give(25)

    assert ann.work("hold", "one") == {"free": False, "grows_by": []}
    assert ann.has == (15, 10)
    ann.work("settle", "one")
    ann.work("settle", "one")
    ann.work("release", "one")

    assert ann.has == (15, 0)
    (row,) = ann.usage
    assert (row["state"], row["amount"], row["held"], row["funding"]) == ("settled", 10, 10, "credits")


def test_hold__that_takes_what_is_left_below_the_mark__says_so_once(shop: Shop, ann: Person) -> None:
    ann.give(50)
    for key in ("one", "two", "three", "four"):
        ann.work("hold", key)

    (told,) = ann.ask("GET", "/api/events?type=credits.Low")["items"]
    payload = ann.ask("GET", f"/api/events/{told['id']}")["payload"]
    assert (payload["product"], payload["available"], payload["low"]) == ("studio", 20, 30)


def test_metrics__count_work_by_its_end_and_units_by_their_way(shop: Shop, ann: Person) -> None:
    def figures() -> Counter[str]:
        text = shop.run(shop.operator.request("GET", "/metrics")).text
        counted = [line.rpartition(" ") for line in text.splitlines() if line.startswith("luminai_plugin_credits_")]
        return Counter({name: int(float(value)) for name, _, value in counted})

    before = figures()
    ann.give(50)
    for key, do in (("one", "settle"), ("two", "release"), ("three", "settle")):
        ann.work("hold", key)
        ann.work(do, key)
    shop.settle_jobs()

    more = {name.partition("{")[2]: count for name, count in (figures() - before).items() if "_total{" in name}
    assert more == {
        'product="studio",state="settled",why="credits"}': 2,
        'product="studio",state="released",why="provider"}': 1,
        'unit="STUDIO_CREDIT",way="admin"}': 50,
        'unit="STUDIO_CREDIT",way="spent"}': 20,
    }


@pytest.mark.shows("LK-47")
def test_hold__without_enough__is_402_with_what_is_needed_and_writes_nothing(ann: Person) -> None:
    ann.give(9)

    problem = ann.work("hold", "one", expect=402)

    assert problem["code"] == "credits.short"
    assert problem["facts"] == {"asset": "STUDIO_CREDIT", "needed": 10, "available": 9, "product": "studio"}
    assert "/api/credits/products/studio" in problem["hint"]
    assert (ann.has, ann.usage) == ((9, 0), [])


@pytest.mark.shows("PX-D2", "LK-D3")
@pytest.mark.parametrize("failure", ["provider", "timeout", "invalid-answer", "refused", "aborted", "crashed"])
def test_release__of_a_failure_that_is_not_the_persons__is_free(ann: Person, failure: str) -> None:
    ann.give(10)
    ann.work("hold", "one")

    ann.work("release", "one", failure=failure)

    assert ann.has == (10, 0)
    (row,) = ann.usage
    assert (row["state"], row["amount"], row["failure"]) == ("released", 0, failure)


def test_release__for_wrong_input__is_free_a_few_times_an_hour_and_charged_after_that(ann: Person) -> None:
    ann.give(1000)
    for number in range(12):
        ann.work("hold", f"try-{number}")
        ann.work("release", f"try-{number}", failure="invalid-input")

    assert ann.states() == [("released", 0)] * 10 + [("settled", 10)] * 2
    assert ann.has == (980, 0)


def test_hold__that_grows__is_extended_in_slices_and_settles_what_was_used(ann: Person) -> None:
    ann.give(5)
    assert ann.work("hold", "one", **WRITE, quantities={"output_tokens": 1000})["grows_by"] == ["output_tokens"]
    ann.work("extend", "one", quantities={"output_tokens": 2000})
    ann.work("extend", "one", quantities={"output_tokens": 4000})
    assert ann.has == (1, 4)

    short = ann.work("extend", "one", expect=402, quantities={"output_tokens": 9000})
    assert (short["facts"]["needed"], short["facts"]["available"]) == (5, 1)
    assert ann.has == (1, 4)
    ann.work("settle", "one", quantities={"output_tokens": 2500})

    assert ann.has == (2, 0)
    assert ann.states() == [("settled", 3)]
    assert ann.work("extend", "one", expect=409, quantities={"output_tokens": 9000})["code"] == "hold-closed"


def test_settle__above_what_is_held__charges_what_is_held(ann: Person) -> None:
    ann.give(5)
    ann.work("hold", "one", **WRITE, quantities={"output_tokens": 1000})

    ann.work("settle", "one", quantities={"output_tokens": 900_000})

    assert (ann.has, ann.states()) == ((4, 0), [("settled", 1)])


def test_key__used_before__is_409_and_the_next_attempt_has_its_own(ann: Person) -> None:
    ann.give(20)
    ann.work("hold", "job:1:attempt:1")
    ann.work("release", "job:1:attempt:1")

    assert ann.work("hold", "job:1:attempt:1", expect=409)["code"] == "credits.key-reused"
    ann.work("hold", "job:1:attempt:2")
    ann.work("settle", "job:1:attempt:2")

    assert ann.states() == [("released", 0), ("settled", 10)]


def test_lease__that_runs_out__gives_back_and_the_late_end_changes_nothing(shop: Shop, ann: Person) -> None:
    ann.give(10)
    ann.work("hold", "one", lease=60)
    shop.skip(seconds=61)
    assert ann.has == (0, 10)

    shop.upkeep()
    assert ann.has == (10, 0)
    ann.work("settle", "one")

    (row,) = ann.usage
    assert (row["state"], row["failure"], ann.has) == ("released", "lost", (10, 0))


def test_lease__that_is_renewed__stands(shop: Shop, ann: Person) -> None:
    ann.give(10)
    ann.work("hold", "one", lease=60)
    shop.skip(seconds=50)
    ann.work("extend", "one", lease=120)
    shop.skip(seconds=60)

    shop.upkeep()

    assert ann.has == (0, 10)
    ann.work("settle", "one")


@pytest.mark.shows("LK-D3", "PX-D2")
def test_calls__two_hundred_at_once_on_a_budget_for_ten__ten_are_charged(shop: Shop, ann: Person) -> None:
    ann.give(100)

    async def one(number: int) -> tuple[int, str]:
        body: dict[str, Any] = {"do": "hold", "key": f"{ann.subject}:{number}"}
        held = await ann.client.request("POST", "/api/studio/work", json=body)
        if held.status == 200:
            assert (await ann.client.request("POST", "/api/studio/work", json=body | {"do": "settle"})).status == 200
        return held.status, held.json().get("code", "")

    async def all_of_them() -> list[tuple[int, str]]:
        async with asyncio.timeout(120):
            return await asyncio.gather(*(one(number) for number in range(200)))

    assert Counter(shop.run(all_of_them())) == {(200, ""): 10, (402, "credits.short"): 190}
    assert ann.states() == [("settled", 10)] * 10
    assert ann.has == (0, 0)


def test_calls__at_once_on_a_quota_and_a_wallet__spend_both_to_the_end_and_no_further(shop: Shop, ann: Person) -> None:
    """Two clients of one person: four films are in the quota, and three can be paid for; everything else is refused with both reasons."""
    ann.plan("mixed")
    ann.give(19)

    async def one(number: int) -> tuple[int, str, bool]:
        body = {"do": "hold", "key": f"{ann.subject}:{number}", "action": "studio.film"}
        held = await ann.client.request("POST", "/api/studio/work", json=body)
        if held.status == 200:
            assert (await ann.client.request("POST", "/api/studio/work", json=body | {"do": "settle"})).status == 200
            return 200, "", False
        return held.status, held.json()["code"], "quota_resets_at" in held.json()["facts"]

    async def client(first: int) -> list[Any]:
        return await asyncio.gather(*(one(number) for number in range(first, 60, 2)))

    async def both() -> list[Any]:
        async with asyncio.timeout(60):
            return [answer for answers in await asyncio.gather(client(0), client(1)) for answer in answers]

    assert Counter(shop.run(both())) == {(200, "", False): 7, (402, "credits.short", True): 53}
    assert Counter((row["funding"], row["amount"]) for row in ann.usage) == {("quota", 0): 4, ("credits", 5): 3}
    assert ann.has == (4, 0)
    assert [(one["allowance"], one["used"]) for one in ann.wallet["quotas"]] == [(4, 4)]


def test_spending__goes_by_priority_then_earliest_end_then_age(shop: Shop, ann: Person) -> None:
    now = shop.clock.now()
    later, soon = (now.replace(year=now.year + years).isoformat() for years in (2, 1))
    ann.give(10, key="a", source="purchase")
    ann.give(10, key="b", source="promo", expires_at=later)
    ann.give(10, key="c", source="promo", expires_at=soon)
    ann.give(10, key="d", source="promo", priority=1)

    ends = []
    for number in range(4):
        ann.work("hold", str(number))
        ann.work("settle", str(number))
        ends.append([(one["source"], one["expires_at"] and one["expires_at"][:4]) for one in ann.wallet["buckets"]])

    assert ends[0] == [("promo", soon[:4]), ("promo", later[:4]), ("purchase", None)]
    assert ends[1] == [("promo", later[:4]), ("purchase", None)]
    assert ends[2] == [("purchase", None)]
    assert ends[3] == []


def test_hold__over_several_buckets__is_all_or_none(ann: Person) -> None:
    ann.give(4, key="a", source="promo")
    ann.give(5, key="b", source="purchase")
    ann.work("hold", "one", expect=402)
    assert ann.has == (9, 0)
    ann.give(1, key="c", source="admin")

    ann.work("hold", "one")

    assert ann.has == (0, 10)
    ann.work("release", "one")
    assert ann.has == (10, 0)


def test_action__without_a_price__is_free_and_leaves_no_row(ann: Person) -> None:
    assert ann.work("hold", "one", action="studio.smile") == {"free": True, "grows_by": []}
    ann.work("settle", "one")

    assert ann.usage == []


def test_plugin__asking_in_the_name_of_another__is_an_error_of_its_own(ann: Person) -> None:
    assert ann.work("hold", "one", action="chat.turn", expect=500)["code"] == "internal"


@pytest.mark.shows("LK-05")
def test_model__that_the_plan_lacks__is_403_and_names_the_plan_that_has_it(ann: Person) -> None:
    ann.give(100)

    problem = ann.work("hold", "one", model="paints/large", expect=403)

    assert (problem["code"], problem["hint"]) == ("credits.plan-lacks", "Plan pro has it.")
    ann.work("hold", "two", model="paints/small")
    assert ann.work("hold", "three", action="studio.secret", expect=403)["code"] == "credits.plan-lacks"


@pytest.mark.shows("LK-04", "LK-D4", "LK-03")
def test_quota__is_spent_first_and_429_says_when_it_comes_back(shop: Shop, ann: Person) -> None:
    ann.give(100)
    ann.plan("quota")
    film = {"action": "studio.film"}
    for key in ("one", "two"):
        ann.work("hold", key, **film)
        ann.work("settle", key)

    answer = shop.run(ann.client.request("POST", "/api/studio/work", json={"do": "hold", "key": f"{ann.subject}:three", **film}))
    midnight = shop.clock.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp() + 86_400

    assert (answer.status, answer.json()["code"]) == (429, "credits.quota-spent")
    assert abs(int(answer.headers["retry-after"]) - (midnight - shop.clock.now().timestamp())) <= 1
    assert ann.states() == [("settled", 0)] * 2
    assert ann.has == (100, 0)
    shop.skip(hours=24)
    ann.work("hold", "four", **film)
    ann.work("release", "four")
    ann.work("hold", "five", **film)
    ann.work("settle", "five")
    spent = ann.work("hold", "six", expect=429, **film)
    assert spent["facts"]["used"] == 3  # the month's three
    assert [(one["window"], one["allowance"], one["used"]) for one in ann.wallet["quotas"]] == [("day", 2, 1), ("month", 3, 3)]


def test_unlimited__writes_events_with_amount_0_within_its_fair_use(shop: Shop, ann: Person) -> None:
    body = {"subject": ann.subject, "product": "studio", "plan": "endless", "months": 12}
    shop.ask("POST", "/api/credits/manage/plans", json=body)
    ann.work("hold", "paint")
    ann.work("settle", "paint")
    for number in range(3):
        ann.work("hold", f"film-{number}", action="studio.film")
        ann.work("settle", f"film-{number}")

    assert ann.work("hold", "too-many", action="studio.film", expect=429)["facts"]["allowance"] == 3
    assert {(row["amount"], row["funding"]) for row in ann.usage} == {(0, "unlimited")}
    assert len(ann.usage) == 4


def test_quote__tells_the_cost_and_sets_nothing_aside(ann: Person) -> None:
    ann.give(10)

    quoted = ann.ask("POST", "/api/credits/quote", json={"action": "PAINT"})
    long = ann.ask("POST", "/api/credits/quote", json={"action": "studio.write", "quantities": {"output_tokens": 20_001}})
    film = ann.ask("POST", "/api/credits/quote", json={"action": "studio.film", "options": ["hd"]})

    assert (quoted["action"], quoted["amount"], quoted["available"], quoted["funding"]) == ("studio.paint", 10, 10, "credits")
    assert (long["amount"], long["funding"], film["amount"]) == (21, "", 7)
    assert ann.ask("POST", "/api/credits/quote", json={"action": "nobody.knows"}, expect=404)["code"] == "credits.unknown-action"
    wrong = {"action": "studio.film", "options": ["gold"]}
    assert ann.ask("POST", "/api/credits/quote", json=wrong, expect=422)["code"] == "credits.unknown-option"
    assert ann.has == (10, 0)


def test_price__added_later__holds_from_its_start_and_past_work_keeps_its_own(shop: Shop, ann: Person) -> None:
    ann.give(100)
    price = {"action": "studio.print", "amount": 3}
    first = shop.ask("POST", "/api/credits/manage/prices", expect=201, json={"product": "studio", "price": price})
    ann.work("hold", "one", action="studio.print")
    start = shop.clock.now().replace(year=shop.clock.now().year + 1).isoformat()
    shop.ask("POST", "/api/credits/manage/prices", expect=201, json={"product": "studio", "price": price | {"amount": 4, "start": start}})
    shop.ask("POST", "/api/credits/manage/prices", expect=422, json={"product": "studio", "price": price | {"amount": 5, "start": start}})
    shop.skip(seconds=1)
    for wrong in ({"amount": -1}, {"per": {"pages": {"amount": -1}}}, {"options": {"hd": -1}}, {"amount": 0.5}, {"discounts": [{"percent": 101}]}):
        shop.ask("POST", "/api/credits/manage/prices", expect=400, json={"product": "studio", "price": price | wrong})
    shop.ask("POST", "/api/credits/manage/prices", expect=201, json={"product": "studio", "price": price | {"amount": 7}})

    ann.work("settle", "one")
    ann.work("hold", "two", action="studio.print")
    ann.work("settle", "two")

    assert ann.states() == [("settled", 3), ("settled", 7)]
    assert ann.usage[1]["price_id"] == first["id"]


def test_meter__that_is_turned_on_and_cannot_run__leaves_paid_work_refused_and_never_free(tmp_path: Path) -> None:
    with open_shop(tmp_path, product=BASIC.replace("amount = 10", "amount = -1", 1), runs=False) as shop:
        status, bob = shop.hub.status("credits"), shop.person()
        assert (status.state, status.phase) == ("failed", "start")

        assert bob.work("hold", "one", expect=503)["code"] == "metering-off"
        shop.run(shop.hub.swap("credits", enabled=False))

        assert bob.work("hold", "two") == {"free": True, "grows_by": []}
