"""Texts that end a reply, and schemas of another dialect: plain functions."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luminai_ai_faces.gemini_schema import json_schema
from luminai_ai_faces.stops import StopScanner

SIGNS = st.sampled_from("ab")
LETTERS = st.lists(SIGNS, max_size=12).map("".join)
STOPS = st.lists(st.lists(SIGNS, min_size=1, max_size=4).map("".join), max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # the first draw is slow on a busy machine
@given(st.lists(LETTERS, max_size=8), STOPS)
def test_stops__however_the_text_is_cut__end_it_at_the_first(pieces: list[str], stops: list[str]) -> None:
    scanner, passed, taken = StopScanner(stops), "", ""
    for piece in pieces:
        taken += piece
        passed += scanner.take(piece)
        if scanner.found:
            break
    else:
        passed += scanner.rest()
    ends = [taken.index(stop) for stop in stops if stop in taken]
    assert bool(scanner.found) == bool(ends)
    assert passed == (taken[: min(ends)] if ends else taken)
    assert all(stop not in passed for stop in stops)


@given(st.lists(LETTERS, max_size=8), STOPS)
def test_stops__hold_back_no_more_than_may_begin_one(pieces: list[str], stops: list[str]) -> None:
    scanner, sent = StopScanner(stops), 0
    for number, piece in enumerate(pieces):
        sent += len(scanner.take(piece))
        if scanner.found:
            return
        held = sum(map(len, pieces[: number + 1])) - sent
        assert held < max(map(len, stops), default=1)


def test_schema__of_gemini__is_json_schema() -> None:
    given_ = {
        "type": "OBJECT",
        "propertyOrdering": ["n"],
        "required": ["n"],
        "properties": {
            "n": {"type": "INTEGER", "nullable": True},
            "type": {"type": "ARRAY", "maxItems": "3", "items": {"type": "STRING", "enum": ["A"]}},
            "either": {"anyOf": [{"type": "NUMBER"}, {"type": "BOOLEAN"}]},
        },
    }
    assert json_schema(given_) == {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": ["integer", "null"]},
            "type": {"type": "array", "maxItems": 3, "items": {"type": "string", "enum": ["A"]}},
            "either": {"anyOf": [{"type": "number"}, {"type": "boolean"}]},
        },
    }
