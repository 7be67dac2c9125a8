"""What a surface shows of a value: rounding, badge, chips; which calculator is picked."""

import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai import PastMessage, ResonanceReport, TurnEvidence, Unprocessable
from luminai_resonance import Badge, Evaluation, Resonance, round_half_up
from luminai_resonance.plugin import Plugin


class Fixed:
    """A calculator of another plugin, whose value is set."""

    name, version, title, citation = "fixed", "1", "Fixed", "none"

    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, evidence: TurnEvidence) -> ResonanceReport:
        return ResonanceReport(calculator=self.name, version=self.version, value=self.value)


CALCULATORS = {one.name: one for one in Plugin().resonance_calculators()}


def evaluate(name: str = "formula-a", **evidence) -> Evaluation:
    return Resonance(lambda: CALCULATORS, default="formula-a").evaluate(TurnEvidence(**{"message": "Hello", **evidence}), name)


def shown(value: float) -> Evaluation:
    return Resonance(lambda: {"fixed": Fixed(value)}, default="fixed").evaluate(TurnEvidence(message=""))


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.005, 0.01), (0.125, 0.13), (0.285, 0.29), (0.375, 0.38), (0.21499999999999997, 0.22), (0.2149, 0.21), (0.995, 1.0), (0.0, 0.0), (1.0, 1.0)],
)
def test_round_half_up__halves__go_up(value, rounded):
    assert round_half_up(value) == rounded


@given(st.floats(0, 1))
def test_round_half_up__any_value__is_the_nearest_of_two_decimals(value):
    rounded = round_half_up(value)

    assert abs(rounded - value) <= 0.005 + 1e-9
    assert round_half_up(rounded) == rounded


@pytest.mark.shows("LR-162")
def test_formula_a__every_combination_of_its_inputs__is_right_to_two_decimals():
    """Against exact fractions: float noise must tip neither a half nor the bounds of the badge."""
    wrong = []
    levels = product((0, 1), (0, 1), (0, 1), ("0.5", "0.9"), ("0.2", "0.4", "0.5", "0.6", "0.7", "0.8"), ("0.5", "0.8", "0.9", "1"), range(17))
    for history, sessions, world, urgency, emotion, coherence, active in levels:
        phi_e = Fraction(1, 2) + Fraction(history, 5) + Fraction(3 * sessions, 20) + Fraction(3 * world, 20)
        phi_t = min(Fraction(1), Fraction(7, 10) + Fraction(urgency) / 5 + Fraction(emotion) / 10)
        exact = phi_e * phi_t * (Fraction(3, 5) * Fraction(coherence) + Fraction(2, 5) * Fraction(active, 16))
        evaluation = evaluate(
            history=(PastMessage("user", "Hello"),) * history,
            previous_sessions=sessions,
            sources=world,
            signals={"urgency": float(urgency), "emotional_intensity": float(emotion), "coherence": float(coherence)},
            active_frequencies=tuple(f"frequency-{number}" for number in range(active)),
        )
        state = "critical" if exact < Fraction(1, 2) else "resonant" if exact > Fraction(7, 10) else "steady"
        badge = Badge(state, pulse=exact < Fraction(3, 5) or exact > Fraction(9, 10))
        if (evaluation.R, evaluation.badge) != (math.floor(exact * 100 + Fraction(1, 2)) / 100, badge):
            wrong.append((exact, evaluation.report.value, evaluation.R, evaluation.badge))

    assert wrong == []


@pytest.mark.parametrize(
    ("value", "state", "pulse"),
    [
        (0.0, "critical", True),
        (0.4999, "critical", True),
        (0.5, "steady", True),
        (0.5999, "steady", True),
        (0.6, "steady", False),
        (0.7, "steady", False),
        (0.875 * 0.8, "steady", False),  # 0.7 and a float's noise
        (0.7001, "resonant", False),
        (0.9, "resonant", False),
        (0.9001, "resonant", True),
        (1.0, "resonant", True),
    ],
)
def test_badge__at_its_bounds__is_steady_from_half_to_seven_tenths(value, state, pulse):
    assert shown(value).badge == Badge(state, pulse)


def test_chips__plain_turn__show_r_presence_coherence_and_protocol():
    assert [(chip.id, chip.label) for chip in evaluate().chips] == [
        ("r", "R=0.37"),
        ("presence", "Presence Active"),
        ("coherence", "Coherence High"),
        ("protocol", "Protocol Active"),
    ]


@pytest.mark.parametrize(
    ("evidence", "ids"),
    [
        ({"signals": {"evasion": 1.0}}, {"r", "coherence", "protocol"}),
        ({"signals": {"coherence": 0.6}}, {"r", "presence", "protocol"}),
        ({"witness": False}, {"r", "presence", "coherence"}),
        ({"signals": {"crisis": 1.0}}, {"r", "presence", "coherence", "protocol", "crisis"}),
        ({"signals": {"crisis": 0.4}}, {"r", "presence", "coherence", "protocol"}),
    ],
    ids=["evasion", "low-coherence", "protocol-off", "crisis", "no-crisis"],
)
def test_chips__each__follows_its_datum(evidence, ids):
    assert {chip.id for chip in evaluate(**evidence).chips} == ids


@given(st.text(st.characters(), max_size=200))
def test_chips__any_words_of_the_model__never_appear(words):
    assert evaluate(reply=words).chips == evaluate(reply="").chips


def test_calculator__none_named__is_the_configured_one_looked_up_when_asked():
    known = {}
    resonance = Resonance(lambda: known, default="fixed")
    known["fixed"] = Fixed(0.42)

    assert resonance.evaluate(TurnEvidence(message="")).R == 0.42


def test_calculator__unknown__names_the_nearest():
    with pytest.raises(Unprocessable) as refused:
        evaluate("formula-aa")

    assert refused.value.code == "resonance.unknown-calculator"
    assert refused.value.hint == "Did you mean formula-a?"
