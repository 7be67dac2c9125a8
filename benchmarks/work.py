"""What work that outlives a request costs.

Usage: python benchmarks/work.py schedules [sqlite|postgresql …] [schedules] [due a second] [seconds]
       python benchmarks/work.py events [sqlite|postgresql …]
       python benchmarks/work.py jobs [sqlite|postgresql|pgqueuer|saq …] [jobs] [backlog]

``schedules``: many schedules of one plugin in a real hub, a share of them due every second, at the same instant. The lag is from the planned moment to
the commit of the job. Bar: 100,000 schedules with 1,000 due a second, p95 at most 500 ms. The jobs are put and not run (``slots = 0``).

``events``: publishing with 0, 1, 5 and 20 durable subscriptions (``work_events.py``). Bar: with 5, 500 transactions a second on SQLite and 1,000 on
PostgreSQL.

``jobs``: durable jobs one by one and many (``work_jobs.py``), and before a backlog; with the queues of others beside them when `make bench-peers` was
run. Bars: own CPU 1.5 ms a job embedded, 2 ms with PgQueuer, less than procrastinate; enqueue to start p50/p95 5/15 ms embedded, 10/25 ms with
PgQueuer; before 1,000,000 jobs at least 85 % of the rate on an empty table.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import work_events
import work_jobs
from sqlalchemy import func, insert, literal_column, select, text

from luminai.data.ids import new_id
from luminai.data.tables_jobs import jobs
from luminai.data.tables_schedules import schedules
from luminai.host.discovery import InstalledPlugin
from luminai.host.manifest import read_manifest
from luminai.host.schedule_firing import place
from luminai.testing import HubUnderTest, running_hub

SERVER = "postgresql://postgres@127.0.0.1:5432"
PLUGIN = """
    from luminai import Action, hookimpl
    from msgspec import Struct
    class Given(Struct):
        number: int = 0
    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                return given
            return [Action(name="run", summary="Nothing.", input=Given, output=Given, run=run, scope="bench:run")]
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
CHUNK = 5000


def plugin(folder: Path) -> InstalledPlugin:
    package = folder / "luminai_bench"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PLUGIN))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    sys.path.insert(0, str(folder))
    manifest = read_manifest(package / "luminai-plugin.toml", expected_id="bench")
    return InstalledPlugin(
        id="bench",
        distribution="luminai-bench",
        version="1.0",
        entry_point="luminai_bench.plugin:Plugin",
        package_dir=str(package),
        manifest=manifest,
    )


async def fill(hub: HubUnderTest, count: int, period: int, begin: datetime) -> None:
    """Write rows that fire every ``period`` seconds, the same share of them each second."""
    core = hub.hub

    def unit(first: int, session) -> None:
        rows = []
        for number in range(first, min(first + CHUNK, count)):
            start = begin + timedelta(seconds=number % period)
            row = {
                "id": new_id("sch"),
                "plugin": "bench",
                "action": "run",
                "declared": None,
                "name": "bench",
                "trigger": f"every: {period}s",
                "zone": "UTC",
            }
            row |= {"start": start, "misfire": "once", "grace": 60, "overlap": "action", "jitter": 0, "subject": "hub", "organisation": ""}
            row |= {
                "origin": "plugin",
                "edited": False,
                "paused_because": "",
                "next_fire_at": start,
                "revision": 1,
                "created_at": begin,
                "changed_at": begin,
            }
            row["input"] = core.vault.seal(session, subject="hub", place=place(row["id"]), value=b'{"number":7}')
            rows.append(row)
        session.execute(insert(schedules), rows)

    for first in range(0, count, CHUNK):
        await core.database.write(lambda session, first=first: unit(first, session), timeout=120)


async def measure(engine: str, count: int, due: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        url = f"{SERVER}/luminai_bench" if engine == "postgresql" else ""
        if url:
            await recreate()
        installed = [plugin(Path(name))]
        settings = {"schedules": {"min-interval": 1}, "jobs": {"slots": 0}}
        async with running_hub("bench", installed=installed, settings=settings, folder=Path(name), database_url=url) as hub:
            clock = hub.hub.schedules
            began = time.perf_counter()
            begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5 + count // 1200)  # behind the end of the writing
            await fill(hub, count, count // due, begin)
            await hub.hub.database.write(lambda session: session.execute(text("ANALYZE")), timeout=60)
            print(f"{engine}: {count:,} schedules written in {time.perf_counter() - began:.1f} s")
            marks: list[tuple[datetime, float]] = []
            clock._fired = lambda: marks.append((datetime.now(UTC), time.process_time()))  # noqa: SLF001 - its commits are what is measured
            clock.wake()
            await asyncio.sleep(max(0.0, (begin - datetime.now(UTC)).total_seconds()) + seconds + 0.9)
            commits = [at for at, _ in marks]
            moment = func.substr(jobs.c.once, literal_column("38")).label("moment")
            query = select(jobs.c.created_at, moment, func.count()).group_by(jobs.c.created_at, moment)
            found = await hub.hub.database.read(lambda session: session.execute(query).all(), timeout=60)
            fires = await hub.hub.database.read(lambda session: session.execute(text("SELECT count(*), count(DISTINCT once) FROM core__jobs")).one())
    lags: list[float] = []
    for created, text_of, number in found:
        planned = datetime.strptime(text_of, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if planned < begin + timedelta(seconds=seconds):
            committed = min(at for at in commits if at >= created)
            lags += [(committed - planned).total_seconds() * 1000] * number
    wanted = due * seconds
    cpu = (marks[-1][1] - marks[0][1]) / max(1, fires[0]) * 1000
    p = statistics.quantiles(lags, n=100)
    print(
        f"{engine}: {len(lags):,} of {wanted:,} fires in {seconds} s, {fires[0] - fires[1]} doubled, lag p50 {p[49]:.0f} p95 {p[94]:.0f} max {max(lags):.0f} ms,"
        f" own CPU {cpu:.2f} ms a fire"
    )


async def recreate() -> None:
    import asyncpg

    connection = await asyncpg.connect(f"{SERVER}/postgres")
    await connection.execute("DROP DATABASE IF EXISTS luminai_bench WITH (FORCE)")
    await connection.execute("CREATE DATABASE luminai_bench")
    await connection.close()


def main() -> None:
    words = sys.argv[1:]
    engines = [word for word in words[1:] if not word.isdigit()] or ["sqlite", "postgresql"]
    if words[:1] == ["events"]:
        work_events.run(engines, SERVER)
        return
    if words[:1] == ["jobs"]:
        count, backlog, *_ = [*map(int, (word for word in words if word.isdigit())), *(2000, 0)[sum(word.isdigit() for word in words) :]]
        work_jobs.run([word for word in words[1:] if not word.isdigit()], count, backlog, SERVER)
        return
    if words[:1] != ["schedules"]:
        sys.exit(__doc__)
    count, due, seconds = [*map(int, (word for word in words if word.isdigit())), *(100_000, 1000, 10)[sum(word.isdigit() for word in words) :]]
    for engine in engines:
        asyncio.run(measure(engine, count, due, seconds))
        sys.modules.pop("luminai_bench.plugin", None)
        sys.modules.pop("luminai_bench", None)


if __name__ == "__main__":
    main()
