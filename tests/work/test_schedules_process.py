"""Schedules on served hubs: the command, and several processes on one PostgreSQL of which some are killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from home import LUMINAI, Home, serving

PLUGIN = """
    import os
    from luminai import Action, Schedule, hookimpl
    from msgspec import Struct

    class Given(Struct, forbid_unknown_fields=True):
        number: int = 0

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def note(job, given):
                return given
            return [Action(name="note", summary="Note.", run=note, scope="tick:run", input=Given, output=Given)]

        @hookimpl
        def schedules(self, ctx):
            count = int(os.environ.get("TICKS", "1"))
            every = lambda number: ("every: 1s", "every: 2s", "cron: * * * * *")[number % 3 if number else 0]
            return [Schedule(name=f"tick-{number}", action="note", trigger=every(number), input={"number": number}) for number in range(count)]
"""
MANIFEST = """manifest = 1
id = "tick"
title = "Tick"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["actions", "schedules"]
scopes = { "tick:run" = "Run." }
"""
CONFIG = """
[plugins.tick]
enabled = true
[schedules]
min-interval = 1
"""


def install(site: Path) -> None:
    """Write the plugin as an installed distribution below ``site``."""
    package = site / "luminai_tick"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    info = site / "luminai_tick-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-tick\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\ntick = luminai_tick.plugin:Plugin\n")


@contextlib.contextmanager
def node(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Serve the same database with one process more, from when it is ready."""
    (home.folder / "data" / "starts.json").unlink(missing_ok=True)  # kills from outside are no bad starts
    with subprocess.Popen([LUMINAI, "serve", "--port", "0"], cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("Press Ctrl-C" in line for line in process.stderr)
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait()
        drain.join()


def query(url: str, statement: str) -> list[Any]:
    async def ask() -> list[Any]:
        import asyncpg

        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def wait_for(url: str, seconds: float) -> None:
    """Wait until schedules have fired for so many seconds more."""
    moment = "SELECT max(last_fire_at) FROM core__schedules"
    goal = max(query(url, moment)[0][0] or datetime.now(UTC), datetime.now(UTC)) + timedelta(seconds=seconds)
    while (query(url, moment)[0][0] or datetime.min.replace(tzinfo=UTC)) < goal:
        threading.Event().wait(0.1)


def kill_nodes_while_schedules_fire(folder: Path, url: str, *, count: int, nodes: int, kills: int, seconds: float) -> list[float]:
    """Kill one of several hubs again and again while schedules fire; return each fire's lag in seconds."""
    install(folder / "site")
    chance = random.Random(5)
    config = f'{CONFIG}[database]\nurl = "{url}"\n'
    search = f"{folder / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with serving(folder / "home", config=config, PYTHONPATH=search, TICKS=str(count)) as home, contextlib.ExitStack() as stack:
        running = [home.pid] + [stack.enter_context(node(home)).pid for _ in range(nodes - 1)]
        for _ in range(kills):
            wait_for(url, seconds)
            os.kill(running.pop(chance.randrange(len(running))), signal.SIGKILL)
            if len(running) < nodes - 1:
                running.append(stack.enter_context(node(home)).pid)
        wait_for(url, seconds)
    planned = defaultdict(list)
    lags = []
    for once, created in query(url, "SELECT once, created_at FROM core__jobs WHERE once IS NOT NULL"):
        schedule, _, moment = once.rpartition(":")
        planned[schedule].append(datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
        lags.append((created - planned[schedule][-1]).total_seconds())
    rows = query(url, "SELECT id, trigger, start, last_fire_at FROM core__schedules")
    assert len(rows) == count
    for schedule, trigger, start, last in rows:
        step = {"every: 1s": 1, "every: 2s": 2, "cron: * * * * *": 60}[trigger]
        first = start + timedelta(seconds=step) if step < 60 else start.replace(second=0) + timedelta(minutes=1)
        wanted = (
            [first + timedelta(seconds=step * number) for number in range(int(((last or first) - first).total_seconds()) // step + 1)] if last else []
        )
        assert sorted(planned[schedule]) == wanted, trigger  # none missed, none twice
    return lags


@pytest.mark.postgres
def test_two_hubs_of_which_one_is_killed__fire_every_moment_once(own_postgres_url: str, tmp_path: Path) -> None:
    lags = kill_nodes_while_schedules_fire(tmp_path, own_postgres_url, count=10, nodes=2, kills=1, seconds=3)
    assert len(lags) >= 30


@pytest.mark.crash
@pytest.mark.postgres
def test_three_hubs_killed_four_times__fire_63_schedules_without_a_gap_or_a_double(own_postgres_url: str, tmp_path: Path) -> None:
    lags = sorted(kill_nodes_while_schedules_fire(tmp_path, own_postgres_url, count=63, nodes=3, kills=4, seconds=6))
    assert lags[len(lags) * 95 // 100] < 5, "longer than the longest sleep of a clock"


def test_commands__add_show_change_and_try_out_schedules(tmp_path: Path) -> None:
    install(tmp_path / "site")
    search = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with serving(tmp_path / "home", config=CONFIG, PYTHONPATH=search) as home:
        added = home.data("schedules", "add", "tick.note", "cron: 0 8 * * mon-fri", "number=7", "--zone", "Europe/Berlin", "--misfire", "skip")
        assert (added["origin"], added["input"], added["misfire"], len(added["next_fires"])) == ("operator", {"number": 7}, "skip", 5)
        assert home.data("schedules", "show", added["id"]) == added
        assert {one["name"] for one in home.data("schedules", "list", "--all")} == {"tick-0", "tick.note"}
        edited = home.data("schedules", "edit", added["id"], "--trigger", "every: 1h", "--start", "2026-01-01T00:30:00Z")
        assert (edited["revision"], edited["trigger"], edited["input"], edited["start"]) == (2, "every: 1h", {"number": 7}, "2026-01-01T00:30:00Z")
        assert home.refusal("schedules", "edit", added["id"], "number=8", "--revision", "1")[1] == "revision-changed"
        assert home.refusal("schedules", "add", "tick.note", "cron: 0 0 30 2 *")[1] == "schedule-never-fires"
        assert home.refusal("schedules", "add", "tick.note", "every: 1h", "word=x")[1] == "bad-action-input"
        shown = home.data("schedules", "simulate", "--since", "2026-02-01", "--until", "2026-02-01T03:00:00Z", "--schedule", added["id"])
        assert [one["at"] for one in shown] == ["2026-02-01T00:30:00Z", "2026-02-01T01:30:00Z", "2026-02-01T02:30:00Z"]
        assert home.data("schedules", "pause", added["id"], "--reason", "not now")["paused_because"] == "not now"
        assert home.data("schedules", "resume", added["id"])["state"] == "active"
        assert home.data("schedules", "run", added["id"])["trigger"] == f"schedule:{added['id']}"
        home.run("schedules", "remove", added["id"])
        assert home.refusal("schedules", "show", added["id"])[1] == "schedule-not-found"


def test_simulate__needs_no_hub_and_shows_both_nights_of_the_clock_change(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    zone = ("--zone", "Europe/Berlin")
    nights = home.data("schedules", "simulate", "cron: 30 2 * * *", *zone, "--since", "2026-03-28", "--until", "2026-03-31")
    assert [one["local"] for one in nights] == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"]
    capped = home.run("schedules", "simulate", "every: 1s", "--since", "2026-01-01", "--until", "2026-01-02", "--most", "3")
    assert len(json.loads(capped.stdout)) == 3
    assert "more than 3 times" in capped.stderr
    assert home.refusal("schedules", "simulate", "cron: 0 8 * * 1", "--until", "2026-12-31")[1] == "bad-trigger"
    assert home.refusal("schedules", "simulate", "every: 1h", "--until", "soon")[1] == "bad-moment"
