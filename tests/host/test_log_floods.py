"""The process's log: what a plugin may write into it, and how long a line gets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai.telemetry.logs import BURST_LINES, LINES_A_SECOND, MAX_LINE, MAX_TEXT, FloodGate, JSONFormatter, TextFormatter

KEY = f"lum_{'a' * 32}_secret"


def line(name: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.INFO, "file.py", 1, "noise", (), None)


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 30)), max_size=6))
def test_flood__of_any_rhythm__passes_no_more_than_the_rate_and_loses_no_count(bursts: list[tuple[int, float]]) -> None:
    now, passed, sent = 0.0, 0, 0
    gate = FloodGate(lambda: now)

    for lines, pause in bursts:
        passed += sum(gate.filter(line("luminai.plugins.loud")) for _ in range(lines))
        sent += lines
        assert gate.filter(line("luminai.plugins.calm.inner")), "one plugin's flood is not another's"
        now += pause + 0.01

    assert passed <= BURST_LINES + LINES_A_SECOND * now + 1
    assert passed + gate.dropped.get("loud", 0) == sent
    assert passed >= min(sent, BURST_LINES)


def test_flood__over__the_next_line_tells_how_many_are_missing() -> None:
    now = 0.0
    gate = FloodGate(lambda: now)
    for _ in range(BURST_LINES + 7):
        gate.filter(line("luminai_loud.deep"))
    now += 1
    after, later = line("luminai.plugins.loud"), line("luminai.plugins.loud")

    assert gate.filter(after)
    assert gate.filter(later)
    assert '"dropped_before":7' in JSONFormatter().format(after)
    assert "dropped_before" not in JSONFormatter().format(later)


def test_flood__under_ever_new_names__is_bounded__and_the_hub_is_always_heard() -> None:
    gate = FloodGate(lambda: 0.0)

    passed = sum(gate.filter(line(f"name{number}")) for number in range(5000))

    assert passed <= 500 + BURST_LINES
    assert sum(gate.filter(line("luminai.http")) for _ in range(5000)) == 5000


@pytest.fixture(params=[JSONFormatter, TextFormatter], ids=["json", "text"])
def written(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """Return a logger and where its lines go."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(request.param())
    logger = logging.getLogger("luminai.plugins.cut")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield logger, out
    logger.removeHandler(handler)
    handler.close()


def test_line__with_huge_values__is_cut_and_still_masked(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = written
    try:
        raise ValueError("y" * 1_000_000)
    except ValueError:
        logger.exception("%s %s", KEY, "x" * 1_000_000, extra={"field": KEY + "z" * 1_000_000, "many": list(range(1_000_000))})

    text = out.getvalue()
    assert len(text) <= MAX_LINE + 1
    assert "secret" not in text
    if text.startswith("{"):
        assert json.loads(text)["cut"] > MAX_LINE

    out.seek(0)
    out.truncate()
    logger.info("short", extra={"field": "z" * 1_000_000})
    assert f"({1_000_000 - MAX_TEXT} characters more)" in out.getvalue()
