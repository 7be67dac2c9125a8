"""What goes over the wire about prices."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai import Trace, Usage
from luminai_ai_gateway.pricing import CostPart, Micro, Unit

ProviderName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]*\Z", max_length=80)]
ModelId = Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f]+\Z", max_length=200)]
Above = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Source = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*\Z", max_length=80)]


class UnitPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price of one unit: ``micro`` millionths of a dollar for a million of it, for one image, second or request.

    Attributes:
        above: Holds only in calls with more input tokens.
        start: When it began or begins; without it, when the import says.
    """

    unit: Unit
    micro: Micro
    above: Above = 0
    start: datetime | None = None


class ModelPrices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All prices of a model."""

    provider: ProviderName
    model: ModelId
    prices: Annotated[tuple[UnitPrice, ...], Meta(min_length=1, max_length=64)]


class PriceAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices to import, all or none. ``start`` is from when they hold, now without it: never in the past for a model that has prices."""

    models: Annotated[tuple[ModelPrices, ...], Meta(min_length=1, max_length=8000)]
    source: Source = "manual"
    start: datetime | None = None
    dry_run: bool = False


class PriceChange(Struct, frozen=True, kw_only=True):
    """A row that an import adds. ``was`` is the price before, None for a new one; ``odd``: it is a thousand times dearer or cheaper than that."""

    model: str
    unit: str
    above: int
    start: datetime
    micro: int
    was: int | None = None
    odd: bool = False


class PriceImport(Struct, frozen=True, kw_only=True):
    """What an import does: rows for what had no price, rows that change one, prices that stay. ``changes`` are the first 500 rows, changes first."""

    added: int
    changed: int
    unchanged: int
    odd: int
    is_stored: bool
    changes: Annotated[list[PriceChange], Meta(max_length=500)] = []


class PriceView(Struct, frozen=True, kw_only=True):
    """A row of the price table; it holds until the next one of the same model, unit and ``above`` begins."""

    id: str
    model: str
    unit: str
    above: int
    micro: int
    start: datetime
    source: str
    imported_at: datetime


class PriceFinding(Struct, frozen=True, kw_only=True):
    """Something to look at: an ``unpriced`` model, a ``free`` one, a price ``odd`` beside others, cached tokens that are ``dearer-cached``."""

    kind: Literal["unpriced", "odd", "free", "dearer-cached"]
    model: str
    unit: str
    micro: int | None
    said: str


class PriceCheck(Struct, frozen=True, kw_only=True):
    """How complete and how plausible the prices are; ``findings`` are the first 500 of ``found``, unpriced models first."""

    offered: int
    priced: int
    found: int
    findings: Annotated[list[PriceFinding], Meta(max_length=500)] = []


class CostView(Struct, frozen=True, kw_only=True):
    """What the same quantities cost by a model's prices at the time of the call."""

    model: str
    micro: int
    parts: Annotated[tuple[CostPart, ...], Meta(max_length=16)] = ()


class ModelView(Struct, frozen=True, kw_only=True):
    """A model as its provider offers it, with its prices in force. ``plugin`` offers the provider; ``unpriced`` are units that have no price."""

    model: str
    title: str
    plugin: str
    kinds: Annotated[list[str], Meta(max_length=8)]
    context_tokens: int
    max_output_tokens: int
    tools: bool
    prices: Annotated[list[UnitPrice], Meta(max_length=64)]
    unpriced: Annotated[list[str], Meta(max_length=8)]


class ModelTestAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Call a model once, with as little as there can be. ``content``: also give the picture or the speech that it makes."""

    model: Annotated[str, Meta(min_length=1, max_length=240, pattern=r"^[^\x00-\x20\x7f]+\Z")]
    content: bool = False


class ModelTest(Struct, frozen=True, kw_only=True):
    """What a small call came to. Times are seconds; ``said`` is the reply's beginning, or what it is; ``content`` what was made, in base64."""

    model: str
    kind: str
    end: str
    said: Annotated[str, Meta(max_length=200)]
    content: bytes | None = None
    code: str = ""
    reason: str = ""
    usage: Usage | None = None
    first: float | None = None
    total: float = 0.0
    call: str = ""
    cost_micros: int | None = None
    cost_basis: str = ""


class CallTrace(Struct, frozen=True, kw_only=True):
    """What became of a call: who was asked, how it ended, its times, usage and cost. ``elsewhere``: the same by other models' prices."""

    id: str
    kind: str
    origin: str
    name: str
    model: str
    state: str
    code: str
    reason: str
    input_tokens: int
    output_tokens: int
    usage_origin: str
    cost_micros: int | None
    cost_basis: str
    created_at: datetime
    ended_at: datetime | None
    trace: Trace | None = None
    elsewhere: Annotated[list[CostView], Meta(max_length=100)] = []
