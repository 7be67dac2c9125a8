"""A product file: what a unit is, what actions cost, which packs and plans there are. An operator writes it as TOML; nothing of it is code."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from luminai import InvalidInput

MAX_AMOUNT: Final = 10**12
"""Most units in one grant, price or quota: far above any use, and thousands of them still count exactly."""

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*\Z", min_length=2, max_length=40)]
ActionName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*(\.[a-z][a-z0-9_-]*)+\Z", max_length=80)]
Alias = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9._-]*\Z", max_length=80)]
Pattern = Annotated[str, Meta(pattern=r"^[A-Za-z0-9*][A-Za-z0-9*._:/-]*\Z", max_length=200)]
Title = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
UnitCode = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]{2,31}\Z")]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Positive = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Quantity = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Feature = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,19}\Z")]
_DAY: Final = r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_RFC3339: Final = rf"{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
Moment = Annotated[str, Meta(pattern=rf"^{_RFC3339}\Z", max_length=40)]
MaybeMoment = Annotated[str, Meta(pattern=rf"^({_RFC3339})?\Z", max_length=40)]
Source = Literal["subscription", "promo", "admin", "refund", "purchase"]
Funding = Literal["quota", "subscription", "promo", "admin", "refund", "purchase"]
SOURCES: Final[tuple[Source, ...]] = ("subscription", "promo", "admin", "refund", "purchase")


def moment(text: str) -> datetime:
    """Return the moment in UTC that RFC 3339 text means.

    Raises:
        InvalidInput: there is no such day (code ``credits.bad-time``).
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise InvalidInput(f"There is no such moment: {text[:40]}.", code="credits.bad-time", hint="Write it as 2027-01-31T08:00:00Z.") from error


class Cash(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """A price in money: integer minor units of a currency."""

    minor: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    asset: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class Rate(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """``amount`` for each begun ``each`` of a quantity, the first ``included`` of which are free."""

    amount: Positive
    each: Positive = 1
    included: Amount = 0


class Discount(Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """``percent`` less on everything, rounded down, where ``quantity`` is at least ``least``; the last that fits counts."""

    quantity: Quantity
    least: Positive
    percent: Annotated[int, Meta(ge=1, le=100)]


class Price(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """What an action costs from a moment on. The price of an action stands until a later row replaces it.

    Attributes:
        amount: Units for each time, before ``per`` and ``options``.
        model: Holds for models that fit this pattern only; a row that names one goes before a row that does not.
        per: Units for quantities, by name.
        options: Units for options, by name.
        quota: What it takes of a plan's quotas instead, by feature.
        feature: Feature that the plan must have.
        refundable: Whether it can be refunded after it went well.
        start: From when it holds; the file's ``start`` where it is left out.
    """

    action: ActionName
    amount: Amount = 0
    model: Annotated[str, Meta(pattern=r"^([A-Za-z0-9*][A-Za-z0-9*._:/-]*)?\Z", max_length=200)] = ""
    per: Annotated[dict[Quantity, Rate], Meta(max_length=16)] = {}
    options: Annotated[dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}\Z")], Amount], Meta(max_length=32)] = {}
    discounts: Annotated[tuple[Discount, ...], Meta(max_length=16)] = ()
    quota: Annotated[dict[Feature, Positive], Meta(max_length=4)] = {}
    feature: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,19})?\Z")] = ""
    refundable: bool = True
    aliases: Annotated[tuple[Alias, ...], Meta(max_length=16)] = ()
    start: MaybeMoment = ""


class Pack(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """Units that are bought once. ``days``: after how many they end, 0 for never. ``first_bonus``: units on top of the first purchase of a person."""

    id: Name
    title: Title
    amount: Positive
    price: Cash
    first_bonus: Amount = 0
    days: Annotated[int, Meta(ge=0, le=3660)] = 0


class Limits(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """How much of a feature a plan gives: a day from 00:00 UTC, a month from the person's own anchor. 0: no such limit."""

    day: Amount = 0
    month: Amount = 0


class Plan(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True):
    """What somebody has a right to.

    Attributes:
        extends: A plan whose values count where this one leaves them out.
        tier: Rank; going to a higher one is an upgrade.
        price: What ``months`` months cost; none: it is free.
        trial_days: Days before the first payment is due.
        credits: Units at the beginning of each month.
        rollover: Most units that are carried into the next month.
        models: Patterns of the models that may be used; none: all.
        features: Rights by name.
        quotas: Quotas by feature.
        unlimited: Patterns of actions that cost nothing; their quotas, where there are any, are a fair use.
        funding: What pays, in this order.
    """

    id: Name
    title: Title
    extends: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9]*([_-][a-z0-9]+)*)?\Z", max_length=40)] = ""
    tier: Annotated[int, Meta(ge=0, le=1000)] | None = None
    price: Cash | None = None
    months: Annotated[int, Meta(ge=1, le=36)] = 1
    trial_days: Annotated[int, Meta(ge=0, le=366)] = 0
    credits: Amount | None = None
    rollover: Amount | None = None
    models: Annotated[tuple[Pattern, ...], Meta(max_length=64)] | None = None
    features: Annotated[dict[Feature, bool], Meta(max_length=64)] | None = None
    quotas: Annotated[dict[Feature, Limits], Meta(max_length=16)] | None = None
    unlimited: Annotated[tuple[Pattern, ...], Meta(max_length=64)] | None = None
    funding: Annotated[tuple[Funding, ...], Meta(max_length=6)] | None = None


class RefundRule(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """For how many days after it a person may have a settled action refunded, each once; 0: only an operator may."""

    days: Annotated[int, Meta(ge=0, le=366)] = 0


class Product(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """A product file.

    Attributes:
        unit: Asset that is counted, in whole units.
        start: From when its prices hold.
        welcome: Units that everybody is given once.
        low: A person is told when work takes what is available below so many units; 0: never.
        maximum: Most units that gifts and refunds fill up to; purchases raise it for the one who bought. 0: none.
        default_plan: Plan of everybody who has no other; it must be free.
        grace_days: Days after an unpaid period's begin during which the plan holds.
    """

    product: Name
    title: Title
    unit: UnitCode
    unit_title: Title
    start: Moment
    welcome: Amount = 0
    low: Amount = 0
    maximum: Amount = 0
    default_plan: Name
    grace_days: Annotated[int, Meta(ge=0, le=90)] = 7
    refund: RefundRule = RefundRule()
    prices: Annotated[tuple[Price, ...], Meta(max_length=1000)] = ()
    packs: Annotated[tuple[Pack, ...], Meta(max_length=100)] = ()
    plans: Annotated[tuple[Plan, ...], Meta(min_length=1, max_length=100)]

    def pack(self, pack_id: str) -> Pack | None:
        """Return a pack, None when there is none of that id."""
        return next((pack for pack in self.packs if pack.id == pack_id), None)

    def plan(self, plan_id: str) -> Plan:
        """Return a plan with what it extends filled in; the default one where there is none of that id (any more)."""
        return self._filled.get(plan_id) or self._filled[self.default_plan]

    @cached_property
    def _filled(self) -> dict[str, Plan]:
        by_id = {plan.id: plan for plan in self.plans}
        return {plan.id: filled(plan, by_id) for plan in self.plans}

    def price_start(self, price: Price) -> datetime:
        """Return from when a price holds, in UTC."""
        return moment(price.start or self.start)


_INHERITED: Final = ("tier", "credits", "rollover", "models", "features", "quotas", "unlimited", "funding")
_DEFAULTS: Final = Plan(
    id="default", title="Default", tier=0, credits=0, rollover=0, models=(), features={}, quotas={}, unlimited=(), funding=SOURCES
)


def filled(plan: Plan, by_id: dict[str, Plan]) -> Plan:
    """Return the plan with the values of those that it extends, and the defaults of what none of them says."""
    chain = [plan]
    while chain[-1].extends:
        chain.append(by_id[chain[-1].extends])
    chain.append(_DEFAULTS)
    found = {name: next(value for one in chain if (value := getattr(one, name)) is not None) for name in _INHERITED}
    return Plan(id=plan.id, title=plan.title, price=plan.price, months=plan.months, trial_days=plan.trial_days, **found)
