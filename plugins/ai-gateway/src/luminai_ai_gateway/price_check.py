"""Looks over the prices: what is offered without one, and what cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median_low
from typing import Any, Final

from sqlalchemy.orm import Session

from luminai import Model
from luminai_ai_gateway.price_schemas import PriceCheck, PriceFinding
from luminai_ai_gateway.prices import SHOWN, Prices, is_odd
from luminai_ai_gateway.pricing import Rate

NEEDED: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "chat": (frozenset({"input_tokens"}), frozenset({"output_tokens"})),
    "embedding": (frozenset({"input_tokens"}),),
    "image": (frozenset({"images", "requests", "output_tokens"}),),
    "speech": (frozenset({"characters", "seconds", "audio_output_tokens"}),),
}
"""By kind: of each set, one unit must have a price."""


def lacking(kinds: Iterable[str], rates: Iterable[Rate]) -> list[str]:
    """Return the units that a model of these kinds has no price for; of several that would do, their names together."""
    priced = {rate.unit for rate in rates if rate.above == 0}
    return sorted({"/".join(sorted(choice)) for kind in kinds for choice in NEEDED.get(kind, ()) if not choice & priced})


def check(session: Session, prices: Prices, offered: Mapping[str, Iterable[Model]], at: datetime) -> PriceCheck:
    """Return what to look at, of the models that providers offer and of all prices of those providers."""
    unpriced: list[PriceFinding] = []
    others: list[PriceFinding] = []
    count = 0
    for provider, models in offered.items():
        known = prices.of_provider(session, provider, at)
        for model in models:
            count += 1
            for units in lacking(model.kinds, known.get(model.id, ())):
                said = "It counts at the dearest known price of its provider, or not at all where that has none."
                unpriced.append(PriceFinding(kind="unpriced", model=f"{provider}/{model.id}", unit=units, micro=None, said=said))
        others += _implausible(provider, known)
    names = {finding.model for finding in unpriced}
    found = [*unpriced, *others]
    return PriceCheck(offered=count, priced=count - len(names), found=len(found), findings=found[:SHOWN])


def _implausible(provider: str, known: Mapping[str, tuple[Rate, ...]]) -> list[PriceFinding]:
    by_unit: dict[str, list[int]] = {}
    for rates in known.values():
        for rate in rates:
            by_unit.setdefault(rate.unit, []).append(rate.micro)
    middle = {unit: median_low(values) for unit, values in by_unit.items() if len(values) >= 3}
    found = []
    for model, rates in known.items():
        whole = {rate.unit: rate.micro for rate in rates if rate.above == 0}
        for rate in rates:
            what: dict[str, Any] = {"model": f"{provider}/{model}", "unit": rate.unit, "micro": rate.micro}
            if is_odd(rate.micro, middle.get(rate.unit)):
                said = f"The provider's models cost {middle[rate.unit]} in the middle: probably meant for another number of units."
                found.append(PriceFinding(kind="odd", said=said, **what))
            if rate.micro == 0:
                found.append(PriceFinding(kind="free", said="It costs nothing: is that meant?", **what))
            if rate.unit == "cached_input_tokens" and rate.micro > whole.get("input_tokens", rate.micro):
                found.append(PriceFinding(kind="dearer-cached", said="A cached token costs more than one that is not.", **what))
    return found
