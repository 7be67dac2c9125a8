"""Durable jobs of a real hub, each of which inserts a row and is done in the same transaction: CPU, latency, and the head of a long queue."""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

from sqlalchemy import text

from luminai import Actor
from luminai.data.tables_jobs import jobs
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.manifest import read_manifest
from luminai.testing import running_hub

REDIS = "redis://127.0.0.1:6379/0"
PLUGIN = """
    import time
    from luminai import Action, hookimpl
    from msgspec import Struct
    from sqlalchemy import Column, Float, Integer, MetaData, Table, insert
    metadata = MetaData()
    rows = Table("bench__rows", metadata, Column("id", Integer, primary_key=True), Column("number", Integer))
    _PUT = insert(rows)
    began = {}
    class Given(Struct):
        number: int = 0
    class Plugin:
        @hookimpl
        def actions(self, ctx):
            db = ctx.db.as_system()
            async def run(job, given):
                began[given.number] = time.perf_counter()
                def unit(session):
                    session.execute(_PUT, {"number": given.number})
                    job.finish(session, given)
                await db.write(unit)
                return given
            kinds = dict(input=Given, output=Given, run=run, scope="bench:run")
            return [Action(name="run", summary="A row.", **kinds), Action(name="held", summary="The same, which waits.", **kinds)]
        @hookimpl
        async def start(self, ctx):
            self.ctx = ctx
            await ctx.db.as_system().write(lambda session: metadata.create_all(session.connection()))
"""
MANIFEST = """
manifest = 1
id = "bench"
title = "Bench"
summary = "Made by a benchmark."
api = ">=1.0,<2"
provides = ["actions"]
scopes = { "bench:run" = "Run." }
"""
_OTHERS = ", ".join(f'"{column.name}"' for column in jobs.c if column.name != "id")
COPIES = f"""
INSERT INTO core__jobs (id, {_OTHERS})
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
SELECT 'job_f' || CAST(1000000000 + n AS VARCHAR), {_OTHERS} FROM core__jobs, numbers WHERE action = 'held'
"""
ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-bench" / "bin" / "python"
ACTOR = Actor("bench", "hub", frozenset({"hub:jobs"}), "bench")
ENGINES = ("sqlite", "postgresql", "pgqueuer", "saq")


def plugin(folder: Path) -> InstalledPlugin:
    package = folder / "luminai_bench"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    sys.path.insert(0, str(folder))
    manifest = read_manifest(package / "luminai-plugin.toml", expected_id="bench")
    given = {"distribution": "luminai-bench", "version": "1.0", "entry_point": "luminai_bench.plugin:Plugin"}
    return InstalledPlugin(id="bench", package_dir=str(package), manifest=manifest, **given)


@asynccontextmanager
async def database(server: str):
    import asyncpg

    name = f"luminai_bench_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(f"{server.rstrip('/')}/postgres")
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield f"{server.rstrip('/')}/{name}"
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


class Bench:
    def __init__(self, hub) -> None:
        self.hub = hub.hub
        loaded = self.hub.generation.loaded("bench")
        self.ctx, self.began = loaded.context, sys.modules["luminai_bench.plugin"].began

    async def put(self, first: int, count: int) -> None:
        """Put jobs, so many in one transaction."""

        def unit(session):
            for number in range(first, first + count):
                self.ctx.actions.put(session, "bench.run", {"number": number})

        await self.ctx.db.as_system().write(unit, timeout=60)

    async def done(self, first: int, count: int, seconds: float = 120) -> None:
        """Wait until they have begun, and none of them runs."""
        end, left = time.perf_counter() + seconds, set(range(first, first + count))
        while left or self.hub.jobs.running:
            if time.perf_counter() > end:
                raise TimeoutError(f"{len(left)} of {count} jobs did not begin")
            await asyncio.sleep(0.01)
            left -= self.began.keys()

    async def rate(self, first: int, count: int) -> tuple[float, float]:
        """Return jobs a second, and milliseconds of this process's own CPU for one, its putting included."""
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(first, first + count, 100):
            await self.put(number, min(100, first + count - number))
        await self.done(first, count)
        return count / (time.perf_counter() - began), 1000 * (time.process_time() - cpu) / count

    async def latency(self, first: int, count: int) -> list[float]:
        """Return milliseconds from before the putting of one job, its commit included, to its first line; one at a time."""
        found = []
        for number in range(first, first + count):
            began = time.perf_counter()
            await self.put(number, 1)
            await self.done(number, 1)
            found.append((self.began[number] - began) * 1000)
            await asyncio.sleep(0.01)
        return found

    async def best(self, first: int) -> tuple[float, float]:
        """Return jobs a second and milliseconds of own CPU a job, the best of five times 300."""
        found = [await self.rate(first + 1000 * turn, 300) for turn in range(5)]
        return max(rate for rate, _ in found), min(cpu for _, cpu in found)

    async def fill(self, count: int) -> None:
        """Write so many queued jobs behind all others, least urgent, of an action that is paused: what stands before it is looked for past them."""
        await self.hub.job_pauses.pause("bench.held", "a benchmark", by=ACTOR)
        self.hub.jobs.reconsider()
        await self.ctx.db.as_system().write(lambda session: self.ctx.actions.put(session, "bench.held", {}, priority=0))
        await self.hub.database.write(lambda session: session.execute(text(COPIES), {"count": count - 1}), timeout=1200)
        await self.hub.database.migrate(lambda connection: connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE")))


async def measure(engine: str, count: int, backlog: int, server: str) -> None:
    with tempfile.TemporaryDirectory(dir=".") as name:
        if engine == "sqlite":
            await on(Path(name), engine, "", count, backlog)
        else:
            async with database(server) as url:
                await on(Path(name), engine, url, count, backlog)


async def on(folder: Path, engine: str, url: str, count: int, backlog: int) -> None:
    os.environ |= {"BENCH_URL": url or "none", "BENCH_REDIS": REDIS}
    config = {"engine-pgqueuer": {"url": "env:BENCH_URL"}, "engine-saq": {"url": "env:BENCH_REDIS", "queue": f"bench-{uuid4().hex[:8]}"}}
    more = [f"engine-{engine}"] if engine in ("pgqueuer", "saq") else []
    installed = [plugin(folder), *(one for one in installed_plugins() if one.id in more)]
    settings = {"jobs": {"slots": 10, "plugin-slots": 10, "engine": engine if more else "embedded"}}
    async with running_hub("bench", *more, installed=installed, config=config, settings=settings, folder=folder, database_url=url) as hub:
        bench = Bench(hub)
        await bench.rate(-300, 200)
        late = await bench.latency(10_000_000, 150)
        p = statistics.quantiles(late, n=100)
        rate, cpu = await bench.rate(0, count)
        print(
            f"{engine:<11} {rate:>5.0f} jobs/s, own CPU {cpu:.2f} ms a job, enqueue to start p50 {p[49]:.1f} p95 {p[94]:.1f} ms, {rss():.0f} MB",
            flush=True,
        )
        if backlog:
            before, cpu_before = await bench.best(1_000_000)
            await bench.fill(backlog)
            after, cpu_after = await bench.best(2_000_000)
            print(
                f"{engine:<11} head of the queue: {before:.0f} jobs/s on an empty table, {after:.0f} before {backlog:,} that wait: {after / before:.0%};"
                f" own CPU {cpu_before:.2f} and {cpu_after:.2f} ms a job",
                flush=True,
            )


async def beside(peer: str, server: str, count: int) -> None:
    async with database(server) if server else nullcontext("") as url:
        command = [str(PEERS), str(Path(__file__).parent / "work_peers.py"), peer, url, str(count)]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        await process.wait()


def packages() -> str:
    """Return where the engines' packages are found too."""
    return os.pathsep.join([os.environ.get("PYTHONPATH", ""), *map(str, (ROOT / ".venv-engines" / "lib").glob("python*/site-packages"))])


def rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(engines: list[str], count: int, backlog: int, server: str) -> None:
    """Print the figures; each engine and each peer in a process of its own."""
    if len(engines) != 1:
        here = [sys.executable, str(Path(__file__).parent / "work.py"), "jobs"]
        for engine in engines or ENGINES:
            subprocess.run([*here, engine, str(count), str(backlog)], env=os.environ | {"PYTHONPATH": packages()}, check=False)
        if PEERS.exists():
            for peer, kind in (
                ("procrastinate", "postgresql"),
                ("saq", "postgresql"),
                ("dbos", "postgresql"),
                ("dbos", "sqlite"),
                ("huey", "sqlite"),
            ):
                asyncio.run(beside(peer, server if kind == "postgresql" else "", count))
        return
    for engine in engines:
        asyncio.run(measure(engine, count, backlog, server))
        for module in ("luminai_bench.plugin", "luminai_bench"):
            sys.modules.pop(module, None)
