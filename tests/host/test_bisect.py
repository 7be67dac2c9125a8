"""Finding the plugins that make something fail."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from home import LUMINAI, Home
from hypothesis import given
from hypothesis import strategies as st

from luminai.host.bisect import closed, smallest_failing

PLUGINS = [f"plugin-{number:02}" for number in range(60)]


@given(st.integers(1, 60), st.data())
def test_search__one_culprit__is_found_in_logarithmic_time(count: int, data: st.DataObject) -> None:
    culprit = data.draw(st.sampled_from(PLUGINS[:count]))
    asked: list[frozenset[str]] = []

    def fails(part: frozenset[str]) -> bool:
        asked.append(part)
        return culprit in part

    assert smallest_failing(PLUGINS[:count], fails) == [culprit]
    assert len(asked) == len(set(asked))
    assert len(asked) <= 2 * math.ceil(math.log2(count)) if count > 1 else not asked


@given(st.lists(st.sampled_from(PLUGINS), min_size=2, max_size=3, unique=True))
def test_search__several_together__are_found_exactly(culprits: list[str]) -> None:
    found = smallest_failing(PLUGINS, lambda part: part >= set(culprits))
    assert sorted(found) == sorted(culprits)


def test_closed__brings_requirements_of_requirements() -> None:
    assert closed(["a"], {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == {"a", "b", "c"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with the five plugins of the suite."""
    return Home(tmp_path / "home")


def bisect(home: Home, *condition: str) -> subprocess.CompletedProcess[str]:
    check = "import os, sys; on = set(os.environ['LUMINAI_ONLY'].split(',')); sys.exit(" + " and ".join(f"{one!r} in on" for one in condition) + ")"
    command = [LUMINAI, "plugins", "bisect", "--", sys.executable, "-c", check]
    return subprocess.run(command, cwd=home.folder, env=home.env, capture_output=True, text=True, check=False)


def test_bisect__names_the_culprit_or_the_pair(home: Home) -> None:
    done = bisect(home, "resonance")
    assert (done.returncode, json.loads(done.stdout)["culprits"]) == (1, ["resonance"])
    assert "run 1: 5 plugins" in done.stderr
    assert json.loads(bisect(home, "ai-offline", "resonance").stdout)["culprits"] == ["ai-offline", "resonance"]


def test_bisect__command_that_always_or_never_fails__says_so(home: Home) -> None:
    for condition, code in (("nobody-at-all", "does-not-fail"),):
        done = bisect(home, condition)
        assert json.loads(done.stderr.splitlines()[-1])["code"] == code
    command = [LUMINAI, "plugins", "bisect", "--", sys.executable, "-c", "raise SystemExit(3)"]
    done = subprocess.run(command, cwd=home.folder, env=home.env, capture_output=True, text=True, check=False)
    assert json.loads(done.stderr.splitlines()[-1])["code"] == "fails-without-plugins"


def test_only__limits_a_hub_in_the_command_itself(home: Home) -> None:
    home.env["LUMINAI_ONLY"] = "personas"
    running = {one["id"] for one in home.data("plugins", "perf")}
    assert running == {"personas"}
