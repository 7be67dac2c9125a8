"""Jobs on a served hub: the command, and processes that are killed in the middle of the work."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from home import LUMINAI, Home, serving

PLUGIN = """
    from luminai import Action, hookimpl
    from msgspec import Struct
    from sqlalchemy import Column, Integer, MetaData, String, Table, insert

    metadata = MetaData()
    effects = Table("burst__effects", metadata, Column("id", Integer, primary_key=True), Column("number", Integer))

    class Given(Struct, forbid_unknown_fields=True):
        number: int = 0

    class Done(Struct):
        number: int

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def actions(self, ctx):
            async def one(job, given):
                def unit(session):
                    session.execute(insert(effects).values(number=given.number))
                    job.finish(session, Done(given.number))
                await ctx.db.as_system().write(unit)
            async def many(job, given):
                def unit(session):
                    for number in range(given.number):
                        ctx.actions.put(session, "burst.one", {"number": number})
                    job.finish(session, Done(given.number))
                await ctx.db.as_system().write(unit)
            kinds = dict(scope="burst:run", input=Given, output=Done)
            return [Action(name="one", summary="One effect.", run=one, **kinds), Action(name="many", summary="Many jobs.", run=many, **kinds)]
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        op.create_table("burst__effects", sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.Integer))
    def downgrade():
        op.drop_table("burst__effects")
"""
MANIFEST = """manifest = 1
id = "burst"
title = "Burst"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["actions", "models"]
tables = true
scopes = { "burst:run" = "Run." }
"""
CONFIG = """
[plugins.burst]
enabled = true
"""


def install(site: Path) -> None:
    """Write the plugin as an installed distribution below ``site``."""
    package = site / "luminai_burst"
    (package / "migrations" / "versions").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (package / "migrations" / "versions" / "0001_first.py").write_text(dedent(STEP))
    info = site / "luminai_burst-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-burst\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nburst = luminai_burst.plugin:Plugin\n")


def query(home: Home, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(home.folder / "data" / "hub.sqlite3", timeout=20)) as database:
        return database.execute(statement).fetchall()


@contextlib.contextmanager
def begun(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Serve the home again, from when it is ready until it has ended. Kills from outside are no bad starts, so they are not counted as some."""
    (home.folder / "data" / "starts.json").unlink(missing_ok=True)
    with subprocess.Popen([LUMINAI, "serve", "--port", "0"], cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("Press Ctrl-C" in line for line in process.stderr)
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield process
        process.wait()
        drain.join()


def wait_until(home: Home, statement: str, goal: int) -> int:
    """Look until a count has reached its goal; return it."""
    while (count := query(home, statement)[0][0]) < goal:
        threading.Event().wait(0.005)
    return int(count)


def kill_at(home: Home, pid: int, effects: int) -> int:
    """Kill the hub once so many effects are there; return how many there were."""
    count = wait_until(home, "SELECT count(*) FROM burst__effects", effects)
    os.kill(pid, signal.SIGKILL)
    return count


def kill_while_it_works(folder: Path, *, jobs: int, kills: int) -> None:
    """Put many jobs at once and kill the hub again and again while it does them; each must have had its one effect."""
    install(folder / "site")
    chance = random.Random(5)
    search = f"{folder / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with serving(folder / "home", config=CONFIG, PYTHONPATH=search) as home:
        home.data("actions", "run", "burst.many", f"number={jobs}", "--wait", "60")
        goal = kill_at(home, home.pid, chance.randrange(1, jobs // kills))
    for number in range(1, kills + 1):
        with begun(home) as process:
            if number < kills:
                goal = kill_at(home, process.pid, goal + chance.randrange(1, jobs // kills))
            else:
                wait_until(home, "SELECT count(*) FROM core__jobs WHERE state IN ('succeeded', 'dead')", jobs + 1)
                process.send_signal(signal.SIGTERM)
    assert query(home, "SELECT state, count(*) FROM core__jobs GROUP BY state") == [("succeeded", jobs + 1)]
    assert query(home, "SELECT count(*), count(DISTINCT number) FROM burst__effects") == [(jobs, jobs)]


def test_killed_hub__loses_no_job_and_doubles_no_effect(tmp_path: Path) -> None:
    kill_while_it_works(tmp_path, jobs=200, kills=2)


@pytest.mark.crash
def test_hub_killed_five_times_in_5000_jobs__loses_none_and_doubles_none(tmp_path: Path) -> None:
    kill_while_it_works(tmp_path, jobs=5000, kills=5)


def test_commands__run_show_pause_and_look_after_jobs(tmp_path: Path) -> None:
    install(tmp_path / "site")
    search = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with serving(tmp_path / "home", config=CONFIG, PYTHONPATH=search) as home:
        assert [one["name"] for one in home.data("actions", "list")] == ["burst.many", "burst.one"]
        assert "number" in json.dumps(home.data("actions", "show", "burst.one")["input"])
        job = home.data("actions", "run", "burst.one", "number=7", "--wait", "30")
        assert (job["state"], job["output"]) == ("succeeded", {"number": 7})
        assert [one["outcome"] for one in home.data("jobs", "history", job["id"])] == ["succeeded"]
        assert home.refusal("actions", "run", "burst.one", "word=x")[1] == "bad-action-input"
        assert home.refusal("actions", "run", "burst.two")[1] == "unknown-action"

        home.data("jobs", "pause", "burst", "--reason", "not now")
        assert [(one["target"], one["reason"]) for one in home.data("jobs", "paused")] == [("burst", "not now")]
        held = home.data("actions", "run", "burst.one")
        assert home.data("jobs", "cancel", held["id"])["state"] == "cancelled"
        assert home.data("jobs", "retry", held["id"])["state"] == "queued"
        assert [one["id"] for one in home.data("jobs", "list", "--all", "--state", "queued")] == [held["id"]]
        home.run("jobs", "resume", "burst")
        assert home.refusal("jobs", "resume", "burst")[1] == "not-paused"
        assert home.data("jobs", "show", held["id"])["action"] == "burst.one"
        assert home.refusal("jobs", "discard", job["id"])[1] == "job-not-dead"

        home.data("jobs", "pause", "burst.one")
        wrong = home.data("jobs", "run", "burst.one", "number=8")
        home.data("jobs", "cancel", wrong["id"])
        home.run("jobs", "resume", "burst.one")
        assert home.refusal("jobs", "edit", wrong["id"], "number=many")[1] == "bad-action-input"
        assert home.data("jobs", "edit", wrong["id"], "number=9")["state"] in ("queued", "running", "succeeded")
        wait_until(home, f"SELECT count(*) FROM core__jobs WHERE id = '{wrong['id']}' AND state = 'succeeded'", 1)
        assert home.data("jobs", "show", wrong["id"])["output"] == {"number": 9}
        assert home.refusal("jobs", "edit", wrong["id"], "number=10")[1] == "job-not-dead"
