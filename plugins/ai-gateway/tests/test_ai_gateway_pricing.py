"""What a call costs: the pure sum, over all quantities and prices."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai_ai_gateway.pricing import DETAILS, MAX_COST, MILLION, PER, Rate, cost, dearest, in_size

WHOLES = ("input_tokens", "output_tokens", "characters", "images", "seconds", "requests")
UNITS = (*WHOLES, *DETAILS)
counts = st.integers(0, 10**9)
micros = st.integers(0, 10**9)
quantities = st.dictionaries(st.sampled_from(UNITS), counts)
all_rates = st.fixed_dictionaries(dict.fromkeys(UNITS, micros)).map(lambda found: [Rate(unit=unit, micro=micro) for unit, micro in found.items()])
some_rates = st.dictionaries(st.sampled_from(UNITS), micros).map(lambda found: [Rate(unit=unit, micro=micro) for unit, micro in found.items()])


@settings(deadline=None)
@given(quantities, some_rates)
def test_a_cost__is_the_sum_of_its_parts_rounded_up_once(used: dict[str, int], rates: list[Rate]) -> None:
    found = cost(rates, used)
    exact = sum((Fraction(part.quantity * part.micro, PER.get(part.unit, MILLION)) for part in found.parts), Fraction(0))
    if found.micro is not None:
        assert found.micro == min(-(-exact.numerator // exact.denominator), MAX_COST)


@settings(deadline=None)
@given(quantities, all_rates)
def test_every_token__is_billed_exactly_once(used: dict[str, int], rates: list[Rate]) -> None:
    billed = {part.unit: part.quantity for part in cost(rates, used).parts}
    for whole in WHOLES:
        details = sum(billed.get(unit, 0) for unit, of in DETAILS.items() if of == whole)
        assert billed.get(whole, 0) + details == used.get(whole, 0)


@settings(deadline=None)
@given(quantities, some_rates)
def test_a_missing_price__never_makes_a_cost(used: dict[str, int], rates: list[Rate]) -> None:
    found, priced = cost(rates, used), {rate.unit for rate in rates}
    lacking = {unit for unit in WHOLES if used.get(unit) and unit not in priced}
    assert set(found.missing) <= lacking
    assert (found.micro is None) == bool(found.missing) == (found.basis == "")


@settings(deadline=None)
@given(quantities, all_rates, st.sampled_from(WHOLES), counts)
def test_more_of_a_unit__is_never_cheaper(used: dict[str, int], rates: list[Rate], unit: str, more: int) -> None:
    flat = {rate.unit: rate.micro for rate in rates}
    fair = [Rate(unit=rate.unit, micro=min(rate.micro, flat[DETAILS.get(rate.unit, rate.unit)])) for rate in rates]  # a detail is at most its whole
    before, after = cost(fair, used).micro, cost(fair, {**used, unit: used.get(unit, 0) + more}).micro
    if not any(of == unit and used.get(detail, 0) > used.get(unit, 0) for detail, of in DETAILS.items()):
        assert before is not None
        assert after is not None
        assert after >= before


@settings(deadline=None)
@given(quantities, some_rates, st.lists(some_rates, min_size=1, max_size=4))
def test_the_dearest__is_never_below_any_model_of_the_provider(used: dict[str, int], own: list[Rate], others: list[list[Rate]]) -> None:
    simple = {unit: count for unit, count in used.items() if unit in WHOLES}
    fallback = dearest([own, *others])
    unknown = cost((), simple, fallback)
    for rates in (own, *others):
        known = cost(rates, simple)
        if known.micro is not None:
            assert unknown.micro is not None
            assert unknown.micro >= known.micro
    assert unknown.basis in ("dearest", "") or not any(simple.values())


@settings(deadline=None)
@given(st.integers(0, 500_000))
def test_a_price_for_long_calls__holds_above_its_size(size: int) -> None:
    rates = [Rate(unit="input_tokens", micro=3_000_000), Rate(unit="input_tokens", micro=6_000_000, above=200_000)]
    assert in_size(rates, size)["input_tokens"].micro == (6_000_000 if size > 200_000 else 3_000_000)


def test_cached_tokens__are_taken_out_of_the_input_only_where_they_have_a_price() -> None:
    used = {"input_tokens": 1_000_000, "cached_input_tokens": 400_000, "output_tokens": 100_000, "reasoning_tokens": 60_000}
    rates = [Rate(unit="input_tokens", micro=2_500_000), Rate(unit="output_tokens", micro=10_000_000)]
    assert cost(rates, used).micro == 3_500_000
    assert cost([*rates, Rate(unit="cached_input_tokens", micro=1_250_000)], used).micro == 3_000_000


def test_a_negative_quantity__is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        cost((), {"input_tokens": -1})
