"""What a call costs by known prices: pure, in whole millionths of a dollar, rounded up once at the end.

Prices are whole micro-dollars for ``PER[unit]`` of a unit. A detail (cached tokens, thoughts) is counted within its whole (all input, all output):
it is taken out of it where it has a price of its own, and costs what the whole costs where it has none. A price may hold only for calls with more
input than ``above``; it then holds for all tokens of the call, as providers bill long prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from luminai import Usage

CURRENCY: Final = "USD"
MAX_MICRO: Final = 10**12
MAX_COST: Final = 2**53 - 1
"""A cost above it is told as it: JSON's readers keep no larger integer exact."""
MILLION: Final = 1_000_000

Unit = Literal[
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
    "characters",
    "images",
    "seconds",
    "requests",
]
Micro = Annotated[int, Meta(ge=0, le=MAX_MICRO)]
PER: Final[Mapping[str, int]] = {"images": 1, "seconds": 1, "requests": 1}
"""For how many a price is; of units that are not named, for a million."""
DETAILS: Final[Mapping[str, str]] = {
    "cached_input_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "audio_input_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "audio_output_tokens": "output_tokens",
}


class Rate(Struct, frozen=True, kw_only=True):
    """A price in force: ``micro`` micro-dollars for ``PER[unit]``, in calls with more than ``above`` input tokens. ``id`` is its row's."""

    unit: str
    micro: int
    above: int = 0
    id: str = ""


class CostPart(Struct, frozen=True, kw_only=True):
    """So many of a unit at a price."""

    unit: str
    quantity: int
    micro: int
    price: str = ""


class Cost(Struct, frozen=True, kw_only=True):
    """What a call costs.

    Attributes:
        micro: Millionths of a dollar; None when some unit has no price: never 0 for want of one.
        basis: ``priced``: by the model's own prices. ``dearest``: for some unit by the dearest known price of its provider, as the model has none.
            "": some unit has no price at that provider at all.
        missing: Units without a price of the model's own.
    """

    micro: int | None
    basis: Literal["priced", "dearest", ""] = "priced"
    parts: tuple[CostPart, ...] = ()
    missing: tuple[str, ...] = ()


def quantities_of(usage: Usage) -> dict[str, int]:
    """Return usage by unit."""
    parts = {unit: getattr(usage, unit) for unit in ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")}
    whole = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return whole | {unit: count for unit, count in parts.items() if count}


def in_size(rates: Iterable[Rate], input_tokens: int) -> dict[str, Rate]:
    """Return the rate of each unit that holds for a call with so much input."""
    found: dict[str, Rate] = {}
    for rate in rates:
        if rate.above == 0 or input_tokens > rate.above:
            best = found.get(rate.unit)
            if best is None or rate.above > best.above:
                found[rate.unit] = rate
    return found


def cost(rates: Iterable[Rate], quantities: Mapping[str, int], fallback: Iterable[Rate] = ()) -> Cost:
    """Return what ``quantities`` cost by ``rates``, and by ``fallback`` where a unit has none.

    Raises:
        ValueError: a quantity is negative.
    """
    if any(count < 0 for count in quantities.values()):
        raise ValueError("a quantity is negative")
    size = quantities.get("input_tokens", 0)
    own, spare = in_size(rates, size), in_size(fallback, size)
    parts: list[CostPart] = []
    missing: list[str] = []
    total, is_known, is_own = 0, True, True
    for unit, count in _split(quantities, own).items():
        rate = own.get(unit)
        if rate is None:
            missing.append(unit)
            rate, is_own = spare.get(unit), False
        if rate is None:
            is_known = False
            continue
        total += count * rate.micro * (MILLION // PER.get(unit, MILLION))
        parts.append(CostPart(unit=unit, quantity=count, micro=rate.micro, price=rate.id))
    basis: Literal["priced", "dearest", ""] = "" if not is_known else "priced" if is_own else "dearest"
    micro = min(-(-total // MILLION), MAX_COST) if is_known else None
    return Cost(micro=micro, basis=basis, parts=tuple(parts), missing=tuple(missing))


def dearest(models: Iterable[Sequence[Rate]]) -> tuple[Rate, ...]:
    """Return the dearest rate of each unit over all models, whatever the size of the call."""
    found: dict[str, Rate] = {}
    for rates in models:
        for rate in rates:
            best = found.get(rate.unit)
            if best is None or rate.micro > best.micro:
                found[rate.unit] = Rate(unit=rate.unit, micro=rate.micro, id=rate.id)
    return tuple(found.values())


def _split(quantities: Mapping[str, int], own: Mapping[str, Rate]) -> dict[str, int]:
    """Return what is billed by unit: details that have a price apart, the others with their whole."""
    billed = {unit: count for unit, count in quantities.items() if count and unit not in DETAILS}
    for unit, whole in DETAILS.items():
        left = billed.get(whole, 0)
        count = min(quantities.get(unit, 0), left)
        if count and unit in own:
            billed[unit] = count
            if left == count:
                del billed[whole]
            else:
                billed[whole] = left - count
    return billed
