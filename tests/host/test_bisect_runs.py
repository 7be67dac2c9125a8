"""Bisect among plugins that require each other, and what it does when a run, or the search itself, does not come to an end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from home import LUMINAI, Home
from hypothesis import given
from hypothesis import strategies as st

from luminai.host.bisect import closed, deepest_failing, once_per_set

PLUGINS = [f"plugin-{number:02}" for number in range(60)]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw plugins, in any order of names, with up to two requirements each."""
    names = draw(st.permutations(PLUGINS[: draw(st.integers(2, 60))]))
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), max_size=2, unique=True)) if place and draw(st.booleans()) else []
        for place, name in enumerate(names)
    }


@given(graphs(), st.data())
def test_search__plugins_that_bring_others__blames_exactly_the_culprits(requires: dict[str, list[str]], data: st.DataObject) -> None:
    culprits = set(data.draw(st.lists(st.sampled_from(sorted(requires)), min_size=1, max_size=2, unique=True)))
    ran: list[frozenset[str]] = []

    def run(whole: frozenset[str]) -> bool:
        ran.append(whole)
        return whole >= culprits

    found = deepest_failing(sorted(requires), requires, once_per_set(requires, run))
    # a culprit that the other one requires is always there with it: no run can tell the two apart
    assert set(found) == {one for one in culprits if not any(one in closed([other], requires) for other in culprits - {one})}
    assert len(ran) == len(set(ran))
    assert all(closed(whole, requires) == whole for whole in ran)
    if len(culprits) == 1:
        assert len(ran) <= 2 * math.ceil(math.log2(len(requires))) + 8


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("culprit", PLUGINS[::7])
def test_search__chain_of_requirements__is_halved_too(step: int, culprit: str) -> None:
    requires = {name: PLUGINS[place + step : place + step + 1] if place + step >= 0 else [] for place, name in enumerate(PLUGINS)}
    ran: list[frozenset[str]] = []

    def run(whole: frozenset[str]) -> bool:
        ran.append(whole)
        return culprit in whole

    assert deepest_failing(PLUGINS, requires, once_per_set(requires, run)) == [culprit]
    assert len(ran) <= 12


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with the five plugins of the suite."""
    return Home(tmp_path / "home")


def bisect(home: Home, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return home.run("plugins", "bisect", *options, "--", sys.executable, "-c", script)


ON = "import os, sys; on = set(filter(None, os.environ['LUMINAI_ONLY'].split(',')))\n"


def test_bisect__plugin_that_others_require__is_blamed_itself(home: Home) -> None:
    done = bisect(home, ON + "sys.exit('knowledge' in on)")
    assert json.loads(done.stdout)["culprits"] == ["knowledge"], done.stderr


def test_bisect__run_that_does_not_end__fails_and_leaves_no_process(home: Home, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = "import signal; signal.pause()"
    started = f"import subprocess; it = subprocess.Popen([sys.executable, '-c', {child!r}]); print(it.pid, file=open({str(pids)!r}, 'a')); it.wait()"
    done = bisect(home, ON + f"if 'resonance' not in on: sys.exit(0)\n{started}", "--run-timeout", "1.5")
    assert json.loads(done.stdout)["culprits"] == ["resonance"], done.stderr
    assert "bad, no end" in done.stderr
    left = [int(pid) for pid in pids.read_text().split() if is_running(int(pid))]
    assert left == []


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_bisect__flaky_command__is_bad_when_any_run_fails(home: Home, tmp_path: Path) -> None:
    count = tmp_path / "count"
    every_third = f"open({str(count)!r}, 'a').write('x'); sys.exit('personas' in on and len(open({str(count)!r}).read()) % 3 == 0)"
    done = bisect(home, ON + every_third, "--repeat", "3")
    assert json.loads(done.stdout)["culprits"] == ["personas"], done.stderr


def test_bisect__bound_on_runs__tells_the_smallest_set_that_failed(home: Home) -> None:
    done = bisect(home, ON + "sys.exit({'ai-offline', 'resonance'} <= on)", "--max-runs", "3")
    told = json.loads(done.stdout)
    assert (done.returncode, told["culprits"], told["runs"]) == (1, None, 3)
    assert set(told["fails_with"]) >= {"ai-offline", "knowledge", "resonance"}
    assert "not finished" in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_bisect__interrupted__tells_what_is_known_and_ends_its_run(home: Home, tmp_path: Path, stop: signal.Signals) -> None:
    pipe = tmp_path / "third-run"
    os.mkfifo(pipe)
    script = ON + f"if len(on) in (0, 5): sys.exit(bool(on))\nprint(os.getpid(), file=open({str(pipe)!r}, 'w')); import signal; signal.pause()"
    # a job that a shell put into the background ignores Ctrl-C, and hands that on
    listening = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", listening, LUMINAI, "plugins", "bisect", "--", sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=home.folder, env=home.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        running = int(pipe.read_text())
        process.send_signal(stop)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert len(json.loads(stdout)["fails_with"]) == 5
    assert "Interrupted after 3 runs" in stderr
    assert not is_running(running)
