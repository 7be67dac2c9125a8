"""Plans over time: months from the anchor, payments, changes, grace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from paid_work import Person, Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub with credits on the 31st of January, 10:00 UTC."""
    with open_shop(tmp_path_factory.mktemp("plans"), now=datetime(2027, 1, 31, 10, tzinfo=UTC)) as opened:
        yield opened
        assert opened.ask("POST", "/api/ledger/verify")["count"] == 0


def subscribe(person: Person, plan: str, minor: int, ref: str = "first") -> None:
    found = person.plan(plan)
    assert (found["wanted_plan"], found["due"], found["due_asset"]) == (plan, minor, "EUR")
    person.pays(plan, minor, purpose="plan", ref=f"{person.subject}-{ref}")
    assert (person.wallet["plan"], person.wallet["state"]) == (plan, "active")


def day(text: str) -> str:
    return text[:10]


@pytest.mark.shows("LK-03")
def test_plan__begins_with_its_payment_and_gives_its_credits_once_a_month_from_the_anchor(shop: Shop, ann: Person) -> None:
    start = shop.clock.now()
    subscribe(ann, "year", 30_000)
    assert ann.has == (100, 0)
    ann.pays("year", 30_000, purpose="plan", ref=f"{ann.subject}-first")
    assert ann.has == (100, 0)

    ends = []
    for _ in range(3):
        ends.append(day(next(one["expires_at"] for one in ann.wallet["buckets"])))
        shop.skip(days=31)
        shop.upkeep()
        shop.upkeep()

    assert start.day == 31
    assert ends == ["2027-02-28", "2027-03-31", "2027-04-30"]  # never a month after the last
    assert sum(one["amount"] for one in ann.ask("GET", "/api/credits/grants")["items"]) == 400


def test_rollover__carries_as_much_as_the_plan_lets_and_the_rest_ends(shop: Shop, ann: Person) -> None:
    subscribe(ann, "pro", 3000)
    ann.work("hold", "one")
    ann.work("settle", "one")
    assert ann.has == (90, 0)
    ann.pays("pro", 3000, purpose="plan", ref=f"{ann.subject}-second")
    shop.skip(days=32)

    shop.upkeep()

    assert ann.has == (130, 0)


def test_upgrade__costs_and_gives_the_difference_for_the_rest_of_the_month(shop: Shop, ann: Person) -> None:
    subscribe(ann, "pro", 3000)
    begins, ends = shop.clock.now(), datetime.fromisoformat(ann.wallet["renews_at"])
    shop.skip(seconds=(ends - begins).total_seconds() / 2)
    ann.give(1, source="purchase")

    subscribe(ann, "max", 1500, ref="upgrade")

    assert ann.has == (100 + 1 + 100, 0)  # half a month of the 200 more
    assert ann.wallet["renews_at"] == ends.isoformat().replace("+00:00", "Z")


def test_upgrade__to_a_year__begins_a_new_term_less_what_is_left(shop: Shop, ann: Person) -> None:
    subscribe(ann, "pro", 3000)
    begins, ends = shop.clock.now(), datetime.fromisoformat(ann.wallet["renews_at"])
    shop.skip(seconds=(ends - begins).total_seconds() / 2)

    subscribe(ann, "year", 30_000 - 1500, ref="upgrade")

    assert ann.has == (200, 0)


def test_downgrade_and_cancel__take_effect_when_the_paid_time_is_over_and_purchases_stay(shop: Shop, ann: Person) -> None:
    subscribe(ann, "max", 6000)
    ann.give(40, source="purchase")
    assert ann.plan("pro")["next_plan"] == "pro"
    assert ann.plan("max")["next_plan"] == ""
    cancelled = ann.ask("DELETE", "/api/credits/plans/studio")
    assert (cancelled["plan"], cancelled["next_plan"]) == ("max", "payg")
    ann.work("hold", "still-max", action="studio.secret")
    ann.work("release", "still-max")

    shop.skip(days=32)
    shop.upkeep()

    found = ann.wallet
    assert (found["plan"], found["state"], found["available"], found["renews_at"]) == ("payg", "active", 40, None)
    assert due(shop, ann) == []
    assert ann.work("hold", "no-more", action="studio.secret", expect=403)["code"] == "credits.plan-lacks"
    assert ann.ask("DELETE", "/api/credits/plans/studio", expect=409)["code"] == "credits.same-plan"


def due(shop: Shop, person: Person) -> list[Any]:
    found = shop.ask("GET", f"/api/admin/events?type=credits.PaymentDue&subject={person.subject}")
    return [shop.ask("GET", f"/api/events/{one['id']}")["payload"] for one in found["items"]]


def test_renewal__unpaid__is_asked_for_four_times_in_a_week_then_the_plan_ends_and_purchases_stay(shop: Shop, ann: Person) -> None:
    subscribe(ann, "pro", 3000)
    ann.give(40, source="purchase")
    shop.skip(days=31)
    states = []
    for _ in range(8):
        shop.upkeep()
        states.append((ann.wallet["plan"], ann.wallet["state"]))
        shop.skip(days=1)

    assert states[0] == ("pro", "past_due")
    assert states[-1] == ("payg", "active")
    asked = due(shop, ann)
    assert sorted(one["attempt"] for one in asked) == [1, 2, 3, 4]
    assert {(one["product"], one["amount"], one["asset"]) for one in asked} == {("studio/pro", 3000, "EUR")}
    assert len({one["key"] for one in asked}) == 4
    assert ann.has == (40, 0)


def test_renewal__paid_late__goes_on_from_the_same_anchor(shop: Shop, ann: Person) -> None:
    subscribe(ann, "pro", 3000)
    first = datetime.fromisoformat(ann.wallet["renews_at"])
    shop.skip(seconds=(first - shop.clock.now()).total_seconds() + 3 * 86_400)
    shop.upkeep()
    assert ann.wallet["state"] == "past_due"
    assert ann.has == (0, 0)

    ann.pays("pro", 3000, purpose="plan", ref=f"{ann.subject}-late")

    found = ann.wallet
    assert (found["state"], found["available"]) == ("active", 100 + 0)
    assert 25 < (datetime.fromisoformat(found["renews_at"]) - first).days < 32


def test_trial__gives_the_plan_once_and_asks_for_money_at_its_end(shop: Shop, ann: Person) -> None:
    found = ann.plan("endless")
    assert (found["plan"], found["state"], found["due"]) == ("endless", "trialing", 0)
    ann.work("hold", "one")
    ann.work("settle", "one")
    assert ann.states() == [("settled", 0)]
    shop.skip(days=15)
    shop.upkeep()
    assert ann.wallet["state"] == "past_due"
    shop.skip(days=8)
    shop.upkeep()
    assert ann.wallet["plan"] == "payg"

    assert ann.plan("endless")["due"] == 9000  # no second trial


def test_plan__paid_with_another_amount_or_never_asked_for__changes_nothing(shop: Shop, ann: Person) -> None:
    ann.plan("pro")
    ann.pays("pro", 2999, purpose="plan")
    ann.pays("max", 6000, purpose="plan", ref=f"{ann.subject}-other")

    assert ann.wallet["plan"] == "payg"
    assert ann.has == (0, 0)


def test_plan__refunded__ends_at_once(ann: Person) -> None:
    subscribe(ann, "pro", 3000)

    ann.pays("pro", 3000, name="Refunded", purpose="plan", ref=f"{ann.subject}-first")

    assert ann.wallet["plan"] == "payg"


def test_plan__that_there_is_not_or_is_held_or_has_no_such_zone__is_refused(ann: Person) -> None:
    assert ann.plan("gold", expect=404)["code"] == "credits.unknown-plan"
    assert ann.plan("payg", expect=409)["code"] == "credits.same-plan"
    assert ann.plan("pro", zone="Mars/Base", expect=422)["code"] == "credits.unknown-zone"
    ann.ask("PUT", "/api/credits/plans/nothing", expect=404, json={"plan": "pro"})


def test_free_plans__changed_back_and_forth__give_no_quota_twice(shop: Shop, ann: Person) -> None:
    ann.plan("quota")
    for number in range(2):
        ann.work("hold", str(number), action="studio.film")
        ann.work("settle", str(number))
    ann.plan("payg")
    ann.plan("quota")

    assert ann.work("hold", "again", action="studio.film", expect=429)["code"] == "credits.quota-spent"


def test_months__of_a_zone__begin_at_its_own_time_of_day(shop: Shop, ann: Person) -> None:
    ann.plan("year", zone="Europe/Berlin")
    ann.pays("year", 30_000, purpose="plan", ref=f"{ann.subject}-first")
    begins = shop.clock.now()

    shop.skip(days=200)
    shop.upkeep()

    (end,) = [datetime.fromisoformat(one["expires_at"]) for one in ann.wallet["buckets"]]
    berlin = ZoneInfo("Europe/Berlin")
    assert end.astimezone(berlin).time() == begins.astimezone(berlin).time()
