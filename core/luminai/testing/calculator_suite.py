# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``ResonanceCalculator`` must do. A plugin's tests subclass ``CalculatorContract`` as ``Test…`` and give it calculators."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from luminai.contracts.resonance import PastMessage, ResonanceCalculator, ResonanceReport, TurnEvidence
from luminai.testing.sample_providers import sample_persona

SECONDS = 0.05
_text = st.one_of(st.text(max_size=200), st.sampled_from(["", " ", "a", "\n\n", "\ud800", "你好 世界", "!!!", "word " * 300, "😀" * 40]))
_unit = st.floats(0, 1)
evidence = st.builds(
    TurnEvidence,
    message=_text,
    reply=_text,
    history=st.lists(st.builds(PastMessage, st.sampled_from(["user", "assistant"]), _text, st.floats(0, 1e7)), max_size=4).map(tuple),
    persona=st.sampled_from([None, sample_persona()]),
    previous_sessions=st.one_of(st.none(), st.integers(0, 1000)),
    sources=st.integers(0, 50),
    latency=st.one_of(st.none(), st.floats(0, 1000)),
    signals=st.dictionaries(st.sampled_from(["urgency", "emotional_intensity", "coherence", "made_up"]), _unit, max_size=3),
    active_frequencies=st.sampled_from([None, (), ("joy",), ("joy", "grief")]),
    filtered=st.booleans(),
    witness=st.booleans(),
)
LARGE = TurnEvidence(message="some words of many kinds " * 160, reply="and an answer that goes on and on " * 120)
"""8 kB of text."""


class CalculatorContract:
    """The conformance suite."""

    def calculators(self) -> Sequence[ResonanceCalculator]:
        """Return all calculators of the plugin."""
        raise NotImplementedError

    def test_calculators__names__say_who_they_are(self) -> None:
        names = [one.name for one in self.calculators()]
        assert names
        assert sorted(names) == sorted(set(names))
        for one in self.calculators():
            assert one.version
            assert one.title
            assert one.citation

    def test_score__any_evidence__is_bounded_explained_and_the_same_again(self) -> None:
        # a function of this call: a method with @given would be shared by every subclass of a run, which hypothesis refuses
        @settings(max_examples=60, deadline=None)
        @given(given_evidence=evidence)
        def check(given_evidence: TurnEvidence) -> None:
            for one in self.calculators():
                report = one.score(given_evidence)
                raw = msgspec.json.encode(report)
                assert msgspec.json.encode(one.score(given_evidence)) == raw, f"{one.name}: the same evidence, another report"
                assert msgspec.json.decode(raw, type=ResonanceReport) == report, f"{one.name}: a value out of its bounds"
                assert (report.calculator, report.version) == (one.name, one.version)
                assert abs(report.adjusted - min(1.0, max(0.0, report.value * report.witness))) < 1e-9, f"{one.name}: adjusted is not value x witness"
                assert report.formula
                assert report.parts, f"{one.name}: nothing explains the value"
                assert all(part.name and part.formula for part in report.parts)

        check()

    def test_score__in_many_threads__is_the_same(self) -> None:
        for one in self.calculators():
            alone = one.score(LARGE)
            with ThreadPoolExecutor(4) as pool:
                assert all(report == alone for report in pool.map(lambda _, one=one: one.score(LARGE), range(16)))

    def test_score__8_kb__takes_less_than_50_ms_and_starts_no_thread(self) -> None:
        for one in self.calculators():
            threads = threading.active_count()
            times = []
            for _ in range(5):
                began = time.perf_counter()
                one.score(LARGE)
                times.append(time.perf_counter() - began)
            assert min(times) < SECONDS, f"{one.name}: {min(times) * 1000:.0f} ms"
            assert threading.active_count() == threads
