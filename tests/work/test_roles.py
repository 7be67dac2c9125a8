"""Processes that only answer requests, and processes that only work: on one PostgreSQL, as many of each as are needed."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from home import LUMINAI, Home, serving

from luminai.data.wake_hints import WakeHints
from luminai.testing import FrozenClock, running_hub

PLUGIN = """
    from luminai import Action, hookimpl
    from msgspec import Struct

    class Word(Struct, forbid_unknown_fields=True):
        word: str = ""

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def say(job, given):
                return given
            return [Action(name="say", summary="Says a word.", run=say, scope="echo:run", input=Word, output=Word)]
"""
MANIFEST = """manifest = 1
id = "echo"
title = "Echo"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["actions"]
scopes = { "echo:run" = "Run." }
"""


def install(site: Path) -> None:
    package, info = site / "luminai_echo", site / "luminai_echo-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\necho = luminai_echo.plugin:Plugin\n")


@contextlib.contextmanager
def worker(home: Home) -> Iterator[str]:
    """Give the address of one process more on the home's database, which only works."""
    command = [LUMINAI, "serve", "--port", "0", "--role", "worker"]
    with subprocess.Popen(command, cwd=home.folder, env=home.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = next(found[1] for line in process.stderr if (found := re.search(r"ready at (\S+)", line)))
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield address
        process.send_signal(signal.SIGTERM)
        process.wait()
        drain.join()


def put(home: Home, word: str) -> str:
    job_id: str = home.data("actions", "run", "echo.say", f"word={word}")["id"]
    return job_id


def ended(home: Home, job_id: str) -> Any:
    """Return the job when it has ended."""
    for _ in range(400):
        job = home.data("jobs", "show", job_id)
        if job["state"] not in ("queued", "running"):
            return job
    raise AssertionError(job)


@pytest.mark.shows("LK-13", "TL-03", "TL-10")
@pytest.mark.postgres
def test_web_and_worker__share_the_work_of_one_hub(tmp_path: Path, own_postgres_url: str) -> None:
    install(tmp_path / "site")
    config = f'[database]\nurl = "{own_postgres_url}"\n[plugins.echo]\nenabled = true\n'
    search = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with serving(tmp_path / "home", "--role", "web", config=config, PYTHONPATH=search) as home:
        first = put(home, "first")
        assert home.data("jobs", "show", first)["state"] == "queued", "nobody works yet"
        with worker(home) as address:
            assert ended(home, first)["state"] == "succeeded"
            second = put(home, "second")
            assert ended(home, second)["state"] == "succeeded"
            assert httpx.get(f"{address}/health/ready").status_code == 200
            refused = httpx.get(f"{address}/api/jobs")
            assert (refused.status_code, refused.json()["code"]) == (503, "worker-only")


@pytest.mark.postgres
def test_jobs_without_a_worker__make_the_health_worse_until_one_comes(plugins: Any, tmp_path: Path, own_postgres_url: str) -> None:
    echo = plugins.make("echo", PLUGIN, provides='["actions"]', manifest='scopes = { "echo:run" = "Run." }')

    async def main() -> None:
        clock = FrozenClock()
        given: dict[str, Any] = {"installed": [echo], "database_url": own_postgres_url, "clock": clock, "folder": tmp_path}
        async with running_hub("echo", settings={"hub": {"roles": ["web"]}}, **given) as web:
            operator = web.client("*")

            async def found(seconds: float) -> list[str]:
                clock.advance(seconds)
                await web.hub.nodes.report(revision=1, generation=1)
                items = (await operator.request("GET", "/api/admin/repairs")).json()["items"]
                return [step for item in items if item["id"] == "health:core:workers" for step in item["fix"]["steps"]]

            assert await found(60) == [], "nothing waits"
            assert (await operator.request("POST", "/api/actions/echo.say", json={})).status == 202
            assert await found(15) == [], "a worker may be about to start"
            assert "--role worker" in (await found(15))[0]
            assert (await web.client().request("GET", "/health")).json() == {"status": "degraded"}
            assert (await web.client().request("GET", "/health/ready")).status == 200, "requests are answered all the same"
            async with running_hub("echo", settings={"hub": {"roles": ["worker"]}}, **given):
                assert await found(15) == []
                nodes = (await operator.request("GET", "/api/admin/generations")).json()["nodes"]
                assert sorted(node["roles"] for node in nodes) == [["web"], ["worker"]]

    asyncio.run(main())


@pytest.mark.postgres
def test_hint__reaches_the_other_process_and_not_its_own(own_postgres_url: str) -> None:
    async def main() -> None:
        heard = {name: asyncio.Event() for name in ("one", "two")}
        hints = {name: WakeHints(own_postgres_url) for name in heard}
        tasks = []
        for name, event in heard.items():
            hints[name].heard = event.set
            tasks.append(asyncio.ensure_future(hints[name].run()))
            await asyncio.wait_for(event.wait(), 20)  # once connected it looks for itself
        for event in heard.values():
            event.clear()
        hints["one"].tell()
        await asyncio.wait_for(heard["two"].wait(), 20)
        assert not heard["one"].is_set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_sqlite__has_one_process__which_is_both(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.refusal("serve", "--port", "0", "--role", "web") == (7, "roles-apart")
    assert home.refusal("serve", "--port", "0", "--role", "cook") == (7, "config-invalid")


def test_sqlite__second_hub_on_one_file__is_refused_and_the_first_serves_on(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as home:
        assert home.refusal("serve", "--port", "0") == (5, "database-in-use")
        assert home.data("status")["platform_status"]
