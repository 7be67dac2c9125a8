"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from luminai_credits.products import Alias, MaybeMoment, Name, Pack, Plan, Positive, Price, Product, Source
from luminai_credits.quotas import Window
from luminai_credits.reading import MAX_TEXT

Subject = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x20\x7f]+\Z")]
Reason = Annotated[str, Meta(max_length=280, pattern=r"^[^\x00]*\Z")]
UsageId = Annotated[str, Meta(pattern=r"^use_[0-9a-f]{32}\Z")]
Key = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z")]
Zone = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9_+/-]*\Z")]


class QuoteAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would this cost? ``action`` may be an alias."""

    action: Alias
    model: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*\Z")] = ""
    quantities: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")], Annotated[int, Meta(ge=0, le=10**12)]], Meta(max_length=16)
    ] = {}
    options: Annotated[tuple[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}\Z")], ...], Meta(max_length=16)] = ()


class QuoteView(Struct, frozen=True, kw_only=True):
    """What an action costs a person now. ``funding`` is what would pay: ``credits``, ``quota``, ``unlimited``, ``free``; "" when nothing can."""

    action: str
    unit: str
    amount: int
    available: int
    funding: str
    price_id: str


class BucketView(Struct, frozen=True, kw_only=True):
    """Units under the same terms, in the order of spending."""

    source: str
    available: int
    expires_at: datetime | None


class WalletView(Struct, frozen=True, kw_only=True):
    """A person's standing in a product: ``available`` can be spent, ``in_progress`` is held for work that runs. ``maximum`` 0: there is none.

    ``due`` minor units of ``due_asset`` have to be paid before ``wanted_plan`` begins; ``next_plan`` follows when the paid time is over.
    """

    product: str
    unit: str
    available: int
    in_progress: int
    maximum: int
    plan: str
    state: str
    buckets: list[BucketView]
    quotas: list[Window]
    renews_at: datetime | None = None
    next_plan: str = ""
    wanted_plan: str = ""
    due: int = 0
    due_asset: str = ""


class GrantView(Struct, frozen=True, kw_only=True):
    """Units that were given."""

    id: str
    unit: str
    source: str
    amount: int
    note: str
    at: datetime


class UsageView(Struct, frozen=True, kw_only=True):
    """A piece of paid work: ``held``, ``settled``, ``released`` or ``refunded``. ``amount`` is what it cost, ``held`` what was set aside for it."""

    id: str
    action: str
    model: str
    unit: str
    state: str
    funding: str
    held: int
    amount: int
    failure: str
    price_id: str
    opened_at: datetime
    closed_at: datetime | None


class PriceView(Struct, frozen=True, kw_only=True):
    """A row of the price list."""

    id: str
    product: str
    start: datetime
    price: Price


class ProductView(Struct, frozen=True, kw_only=True):
    """What a product offers; plans with what they extend filled in."""

    product: str
    title: str
    unit: str
    unit_title: str
    default_plan: str
    packs: tuple[Pack, ...]
    plans: tuple[Plan, ...]


class PlanAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a plan of a product; ``zone`` is where the person's months begin."""

    plan: Name
    zone: Zone = "UTC"


class RefundAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = ""


class GrantAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units for a person. ``key`` names the grant: the same key gives nothing twice."""

    subject: Subject
    product: Name
    amount: Positive
    key: Key
    source: Source = "admin"
    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    effective_at: MaybeMoment = ""
    expires_at: MaybeMoment = ""
    reason: Reason = ""


class PlanGrantAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give a person a plan for some months, as if it were paid."""

    subject: Subject
    product: Name
    plan: Name
    months: Annotated[int, Meta(ge=1, le=120)] = 1
    reason: Reason = ""


class PriceAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Add a row to a product's price list; it holds from ``price.start`` on, at once where that is left out."""

    product: Name
    price: Price


class ProductText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product file. ``dry_run`` only tells what is wrong with it."""

    toml: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    dry_run: bool = False


def view_product(product: Product) -> ProductView:
    """Return what people see of a product."""
    plans = tuple(product.plan(plan.id) for plan in product.plans)
    titles = {"title": product.title, "unit": product.unit, "unit_title": product.unit_title}
    return ProductView(product=product.product, **titles, default_plan=product.default_plan, packs=product.packs, plans=plans)
