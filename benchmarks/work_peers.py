"""The job queues of others, in an environment of their own (`make bench-peers` makes `.venv-bench`): the same job, a row in a table, put and run in
one process with ten at a time.

Usage: .venv-bench/bin/python benchmarks/work_peers.py procrastinate|saq|dbos|huey [url, empty for SQLite] [jobs]
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert
from sqlalchemy.ext.asyncio import create_async_engine

METADATA = MetaData()
ROWS = Table("bench_rows", METADATA, Column("id", Integer, primary_key=True), Column("number", Integer))
_PUT = insert(ROWS)
REDIS = os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379/0")
SLOTS = 10
began: dict[int, float] = {}
ended: set[int] = set()


def store(url: str, folder: str):
    return create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://") if url else f"sqlite+aiosqlite:///{folder}/rows.sqlite3", pool_size=SLOTS
    )


async def work(engine, number: int) -> None:
    began[number] = time.perf_counter()
    async with engine.begin() as connection:
        await connection.execute(_PUT, {"number": number})
    ended.add(number)


async def figures(name: str, count: int, put_all, put_one) -> None:
    """Print what ours prints: the same steps in the same order."""
    await run(-300, 200, put_all)
    late = []
    for number in range(10_000_000, 10_000_150):
        at = time.perf_counter()
        await put_one(number)
        while number not in ended:  # noqa: ASYNC110 - as for ours
            await asyncio.sleep(0.01)
        late.append((began[number] - at) * 1000)
        await asyncio.sleep(0.01)
    p = statistics.quantiles(late, n=100)
    at, cpu = time.perf_counter(), time.process_time()
    await run(0, count, put_all)
    took, cpu = time.perf_counter() - at, time.process_time() - cpu
    print(
        f"{name:<24} {count / took:>5.0f} jobs/s, own CPU {1000 * cpu / count:.2f} ms a job, enqueue to start p50 {p[49]:.1f} p95 {p[94]:.1f} ms",
        flush=True,
    )


async def run(first: int, count: int, put_all) -> None:
    for number in range(first, first + count, 100):
        await put_all(range(number, min(number + 100, first + count)))
    end, left = time.perf_counter() + 120, set(range(first, first + count))
    while left:
        if time.perf_counter() > end:
            raise TimeoutError
        await asyncio.sleep(0.01)
        left -= ended


async def procrastinate(url: str, folder: str, count: int) -> None:
    from procrastinate import App, PsycopgConnector

    engine = store(url, folder)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="job")
    async def job(number: int) -> None:
        await work(engine, number)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(app.run_worker_async(concurrency=SLOTS, install_signal_handlers=False))
        await figures(
            "procrastinate postgresql", count, lambda some: job.batch_defer_async(*({"number": n} for n in some)), lambda n: job.defer_async(number=n)
        )
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    await engine.dispose()


async def saq(url: str, folder: str, count: int) -> None:
    from saq import Queue, Worker

    engine = store(url, folder)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)

    class Quiet(Worker):
        SIGNALS = ()

    async def job(_, *, number: int) -> None:
        await work(engine, number)

    queue = Queue.from_url(REDIS, name=f"bench-{uuid4().hex[:8]}")
    task = asyncio.create_task(Quiet(queue, [("job", job)], concurrency=SLOTS).start())

    async def put_all(some) -> None:
        for number in some:
            await queue.enqueue("job", number=number, ttl=-1)

    await figures("saq redis, postgresql", count, put_all, lambda number: put_all([number]))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.dispose()


async def dbos(url: str, folder: str, count: int) -> None:
    from dbos import DBOS

    engine = store(url, folder)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    system = url.replace("postgresql://", "postgresql+psycopg://") or f"sqlite:///{folder}/dbos.sqlite3"
    DBOS(config={"name": "bench", "system_database_url": system, "run_admin_server": False, "log_level": "ERROR"})

    @DBOS.step()
    async def row(number: int) -> None:
        await work(engine, number)

    @DBOS.workflow()
    async def job(number: int) -> None:
        await row(number)

    DBOS.launch()
    queue = await DBOS.register_queue_async("bench", worker_concurrency=SLOTS, polling_interval_sec=0.02)

    async def put_all(some) -> None:
        for number in some:
            await queue.enqueue_async(job, number)

    await figures(f"dbos {'postgresql' if url else 'sqlite'}", count, put_all, lambda number: put_all([number]))
    DBOS.destroy()
    await engine.dispose()


async def huey(_: str, folder: str, count: int) -> None:
    from huey import SqliteHuey

    engine = create_engine(f"sqlite:///{folder}/rows.sqlite3", connect_args={"timeout": 20})
    METADATA.create_all(engine)
    queue = SqliteHuey(filename=f"{folder}/huey.sqlite3", results=False, fsync=True)

    @queue.task()
    def job(number: int) -> None:
        began[number] = time.perf_counter()
        with engine.begin() as connection:
            connection.execute(_PUT, {"number": number})
        ended.add(number)

    consumer = queue.create_consumer(workers=SLOTS, periodic=False, initial_delay=0.01, max_delay=0.02, backoff=1.1)
    consumer._set_signal_handlers = lambda: None  # noqa: SLF001 - the process is not its own
    consumer.start()

    async def put_all(some) -> None:
        for number in some:
            job(number)

    await figures("huey sqlite", count, put_all, lambda number: put_all([number]))
    consumer.stop(graceful=True)
    engine.dispose()


if __name__ == "__main__" and len(sys.argv) == 4:
    peer, url, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        asyncio.run({"procrastinate": procrastinate, "saq": saq, "dbos": dbos, "huey": huey}[peer](url, folder, jobs))
