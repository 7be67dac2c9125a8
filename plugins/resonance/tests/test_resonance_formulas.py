"""The formulas: worked values, and what holds for any evidence."""

import math
import re
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai import PastMessage, ResonanceCalculator, ResonanceReport, TurnEvidence
from luminai_resonance import round_half_up
from luminai_resonance.plugin import Plugin

CALCULATORS: dict[str, ResonanceCalculator] = {one.name: one for one in Plugin().resonance_calculators()}
SIGNALS = (
    *("urgency", "emotional_intensity", "coherence", "evasion", "volatility", "crisis", "channels", "context_retained", "presence", "consistency"),
    *("value_adherence", "frequency_stability", "stress", "contextual_potential", "temporal_attention", "structural_cadence"),
)
TALK = "I have been thinking about the way we talk, and I would like to know what you make of it when someone is quiet for so long. "

odd_text = st.one_of(
    st.text(st.characters(), max_size=300),  # half emoji (lone surrogates) included
    st.lists(st.sampled_from(["the", "and", "I", "was", "so", "light", "мир", "世界", "🙂", "don't", ".", "\n", "\ud83d"]), max_size=150).map(
        " ".join
    ),
)
evidence_of_any_kind = st.builds(
    TurnEvidence,
    message=odd_text,
    reply=odd_text,
    history=st.lists(st.builds(PastMessage, st.sampled_from(["user", "assistant"]), odd_text, st.floats()), max_size=8).map(tuple),
    previous_sessions=st.none() | st.integers(0, 10**6),
    sources=st.integers(0, 100),
    latency=st.none() | st.floats(),
    signals=st.dictionaries(st.sampled_from(SIGNALS), st.floats()),
    active_frequencies=st.none() | st.lists(st.text(max_size=5), max_size=20).map(tuple),
    filtered=st.booleans(),
    witness=st.booleans(),
)
any_calculator = st.sampled_from(list(CALCULATORS.values()))


def score(name: str, **evidence) -> ResonanceReport:
    return CALCULATORS[name].score(TurnEvidence(**{"message": "Hello", **evidence}))


def parts_of(report: ResonanceReport) -> dict[str, float]:
    return {part.name: part.value for part in report.parts}


PAST = (PastMessage("user", "Good morning", 60.0),)
EVERYTHING = {"history": PAST, "previous_sessions": 3, "sources": 2}


@pytest.mark.parametrize(
    ("evidence", "shown"),
    [
        ({}, 0.37),
        (EVERYTHING, 0.75),
        (EVERYTHING | {"signals": {"urgency": 1.0, "emotional_intensity": 1.0}}, 0.88),
        (EVERYTHING | {"signals": {"urgency": 1.0, "emotional_intensity": 1.0, "coherence": 1.0}}, 1.0),
        ({"history": PAST}, 0.52),
        ({"previous_sessions": 1}, 0.49),
        ({"previous_sessions": 0}, 0.37),
        ({"active_frequencies": ("joy",) * 16}, 0.21),  # one frequency, however often it is named: 0.5 x 0.85 x 0.505
    ],
    ids=["nothing", "all-context", "best-without-coherence", "best", "history", "sessions", "no-earlier-session", "repeated-frequency"],
)
def test_formula_a__worked_value__is_met(evidence, shown):
    assert round_half_up(score("formula-a", **evidence).value) == shown


def test_formula_a__nothing_known__says_what_it_assumed():
    notes = {part.name: part.note for part in score("formula-a").parts}

    assert "0.5: urgency, emotional_intensity" in notes["phi_t"]
    assert "too short" in notes["psi_r"]
    assert "0.8" in notes["psi_r"]


def test_formula_a__inputs_given__does_not_claim_to_have_assumed_them():
    given_all = {"urgency": 0.9, "emotional_intensity": 0.8, "coherence": 0.6}
    parts = {part.name: part for part in score("formula-a", signals=given_all).parts}

    assert parts["phi_t"].note == parts["psi_r"].note == ""
    assert parts["phi_t"].inputs == {"urgency": 0.9, "emotional_intensity": 0.8}
    assert parts["psi_r"].inputs["coherence"] == 0.6


def test_formula_a__long_english_turn__measures_coherence_and_names_the_source():
    cadence = next(part for part in score("formula-a", message=TALK * 4, reply=TALK * 4).parts if part.name == "psi_r")

    assert cadence.inputs["coherence"] == pytest.approx(1.0)
    assert "Ireland & Pennebaker 2010" in cadence.citation


@pytest.mark.parametrize(
    "text",
    [
        "Сегодня мы говорили о том, как растут деревья и почему вода течёт вниз по склону. " * 10,
        "今日は木がどのように育つか、そして水がなぜ下に流れるかについて話しました。" * 60,
        "Ich habe gestern lange darüber nachgedacht, ob wir in diesem Jahr noch einmal in die Berge fahren sollten, denn das Wetter war schlecht. "
        * 5,
    ],
    ids=["russian", "japanese", "german"],
)
def test_formula_a__language_without_word_lists__takes_the_default_and_says_so(text):
    report = score("formula-a", message=text, reply=text)
    cadence = next(part for part in report.parts if part.name == "psi_r")

    assert cadence.inputs["coherence"] == 0.8
    assert "not English" in cadence.note


@pytest.mark.parametrize(
    ("evidence", "value"),
    [
        ({}, 0.1875 * 0.5 * 0.8),
        ({"history": PAST, "latency": 3.0}, 0.1875 * 1.0 * 0.8),
        ({"latency": 0.2}, 0.1875 * 0.8 * 0.5 * 0.8),
        ({"signals": {"channels": 1.0, "emotional_intensity": 1.0, "urgency": 0.8, "stress": 1.0}}, 1.0 * 0.75 * 0.4),
        ({"signals": {"channels": 0.5, "emotional_intensity": 0.0, "consistency": 1.0, "value_adherence": 0.5}}, 0.5 * 0.5 * 0.77),
        ({"active_frequencies": (), "filtered": True}, 0.0),
    ],
)
def test_formula_b__worked_value__is_met(evidence, value):
    assert score("formula-b", **evidence).value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("seconds", "fit"), [(None, 1.0), (0.0, 0.8), (0.99, 0.8), (1.0, 1.0), (5.0, 1.0), (17.5, 0.5), (30.0, 0.0), (3600.0, 0.0), (math.inf, 0.0)]
)
def test_formula_b__latency__fits_best_between_one_and_five_seconds(seconds, fit):
    attention = next(part for part in score("formula-b", latency=seconds).parts if part.name == "phi_t")

    assert attention.inputs["latency"] == pytest.approx(fit)


def test_formula_d__worked_value__is_the_weighted_geometric_mean():
    expected = math.exp(0.3 * math.log(0.5) + 0.4 * math.log(0.85) + 0.3 * math.log(0.88))

    assert score("formula-d").value == pytest.approx(expected)
    assert score("formula-d").value == pytest.approx(0.7325, abs=5e-5)
    assert score("formula-d", filtered=True).value == 0.0


def test_formula_f__three_terms_given__is_their_product():
    given_terms = {"contextual_potential": 0.5, "temporal_attention": 0.6, "structural_cadence": 0.7}
    report = score("formula-f", signals=given_terms)

    assert report.value == pytest.approx(0.21)
    assert {name: parts_of(report)[name] for name in ("phi_e", "phi_t", "psi_r")} == {"phi_e": 0.5, "phi_t": 0.6, "psi_r": 0.7}


def test_formula_f__nothing_given__stands_on_the_terms_of_formula_a():
    assert score("formula-f").value == score("formula-a").value


@pytest.mark.parametrize(
    ("evidence", "witness"),
    [
        ({}, 1.0),
        ({"signals": {"evasion": 1.0, "volatility": 1.0, "urgency": 1.0}}, 0.3),
        ({"signals": {"volatility": 0.8, "urgency": 0.9}}, 1.2),
        ({"signals": {"volatility": 0.7, "urgency": 0.9}}, 1.0),
        ({"signals": {"volatility": 0.8, "urgency": 0.0, "emotional_intensity": 0.0}}, 1.0),
        ({"filtered": True}, 0.8),
        ({"filtered": True, "signals": {"volatility": 0.8}}, 1.2),
        ({"signals": {"evasion": 1.0}, "witness": False}, 1.0),
    ],
    ids=["plain", "evasion-first", "met", "volatility-not-above", "attention-not-above", "little-context", "met-before-little-context", "off"],
)
def test_witness__first_rule_that_matches__decides(evidence, witness):
    report = score("formula-a", **evidence)

    assert report.witness == parts_of(report)["witness"] == witness
    assert report.adjusted == pytest.approx(min(1.0, report.value * witness))


@pytest.mark.parametrize(("attention", "witness"), [(0.8, 1.0), (0.81, 1.2)])
def test_witness__attention_at_its_bound__does_not_meet_volatility(attention, witness):
    signals = {"contextual_potential": 0.5, "temporal_attention": attention, "volatility": 0.9}

    assert score("formula-f", signals=signals).witness == witness


@settings(deadline=None)
@given(any_calculator, evidence_of_any_kind)
def test_any_evidence__every_formula__answers_in_range_and_in_json(calculator, evidence):
    report = calculator.score(evidence)

    assert msgspec.json.decode(msgspec.json.encode(report), type=ResonanceReport) == report  # decoding checks the contract's bounds
    assert all(math.isfinite(part.value) and 0 <= part.value <= 1.2 for part in report.parts)
    assert all(math.isfinite(number) for part in report.parts for number in part.inputs.values())
    assert all(part.formula and part.citation for part in report.parts)
    assert report.integration_quality == min(1.0, report.value + 0.2)
    assert report.adjusted == min(1.0, report.value * report.witness)


@settings(deadline=None)
@given(any_calculator, evidence_of_any_kind)
def test_any_evidence__scored_again__gives_the_same_bytes(calculator, evidence):
    assert msgspec.json.encode(calculator.score(evidence)) == msgspec.json.encode(calculator.score(evidence))


@settings(deadline=None)
@given(any_calculator, evidence_of_any_kind, st.randoms(use_true_random=False))
def test_any_evidence__frequencies_and_signals_in_another_order__change_nothing(calculator, evidence, random):
    signals, active = list(evidence.signals.items()), list(evidence.active_frequencies or ())
    random.shuffle(signals)
    random.shuffle(active)
    shuffled = None if evidence.active_frequencies is None else tuple(active)

    assert calculator.score(msgspec.structs.replace(evidence, signals=dict(signals), active_frequencies=shuffled)) == calculator.score(evidence)


STATED = {
    "0 if filtered else min(1, 0.5 + 0.2 user_history + 0.15 previous_sessions + 0.15 world_map)": lambda i: (
        0.0 if i["filtered"] else min(1.0, 0.5 + 0.2 * i["user_history"] + 0.15 * i["previous_sessions"] + 0.15 * i["world_map"])
    ),
    "min(1, 0.7 + 0.2 urgency + 0.1 emotional_intensity)": lambda i: min(1.0, 0.7 + 0.2 * i["urgency"] + 0.1 * i["emotional_intensity"]),
    "min(1, 0.6 coherence + 0.4 active_frequencies / 16)": lambda i: min(1.0, 0.6 * i["coherence"] + 0.4 * i["active_frequencies"] / 16),
    "min(1, channels / 8 x active_frequencies / 16 x (1 + emotion))": lambda i: min(
        1.0, i["channels"] / 8 * i["active_frequencies"] / 16 * (1 + i["emotion"])
    ),
    "min(1, latency x context_retained x presence x (1.5 if urgency > 0.7 else 1))": lambda i: min(
        1.0, i["latency"] * i["context_retained"] * i["presence"] * (1.5 if i["urgency"] > 0.7 else 1)
    ),
    "(0.3 consistency + 0.3 value_adherence + 0.2 coherence + 0.2 frequency_stability) x (1 - 0.5 stress)": lambda i: (
        (0.3 * i["consistency"] + 0.3 * i["value_adherence"] + 0.2 * i["coherence"] + 0.2 * i["frequency_stability"]) * (1 - 0.5 * i["stress"])
    ),
    "protocol off: 1.0; evasion > 0.5: 0.3; volatility > 0.7 and attention > 0.8: 1.2; contextual potential < 0.5: 0.8; else 1.0": lambda i: (
        1.0
        if not i["protocol"]
        else 0.3
        if i["evasion"] > 0.5
        else 1.2
        if i["volatility"] > 0.7 and i["attention"] > 0.8
        else 0.8
        if i["contextual_potential"] < 0.5
        else 1.0
    ),
    **{name: (lambda i, name=name: i[name]) for name in ("contextual_potential", "temporal_attention", "structural_cadence")},
}
"""The formulas as parts state them, computed from the inputs that parts give."""


@settings(deadline=None)
@given(any_calculator, evidence_of_any_kind)
def test_any_evidence__parts__recombine_by_the_stated_formulas(calculator, evidence):
    report = calculator.score(evidence)
    for part in report.parts[:4]:
        assert STATED[part.formula](part.inputs) == pytest.approx(part.value, abs=1e-12)
    factors = [re.fullmatch(r"(\w+?)(?:\^([\d.]+))?", factor) for factor in report.formula.split(" x ")]
    combined = math.prod(parts_of(report)[factor[1]] ** float(factor[2] or 1) for factor in factors)

    assert combined == pytest.approx(report.value, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "🙂" * 500, "\ud83d cut emoji " * 40, "x" * 100_000, "a. " * 33_000, "a-" * 50_000, "\n" * 100_000, "é" * 100_000, "ab " * 33_000],
    ids=["empty", "emoji", "half-emoji", "one-word", "sentences", "hyphens", "lines", "accents", "repeats"],
)
@pytest.mark.parametrize("name", CALCULATORS)
def test_odd_text__of_100_kb__is_scored(name, text):
    report = score(name, message=text, reply=text, history=(PastMessage("user", text),) * 20)

    assert 0 <= report.value <= 1


@pytest.mark.parametrize("name", CALCULATORS)
def test_8_kb_with_20_turns__scored__takes_under_50_ms(name):
    text = (TALK * 70)[:8000]
    evidence = TurnEvidence(message=text, reply=text, history=tuple(PastMessage("user", text, 5.0 * turn) for turn in range(20)))
    took = []
    for _ in range(5):
        started = time.perf_counter()
        CALCULATORS[name].score(evidence)
        took.append(time.perf_counter() - started)

    assert min(took) < 0.05
