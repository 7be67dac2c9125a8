"""What group commit brings: the same writes by concurrent callers through the hub's SQLite writer and through plain baselines, in turns, in one run.

Usage: python benchmarks/data.py [rounds] [folder]. Put the folder on the disk that counts. Every way is equally durable (WAL, synchronous=FULL).
"one commit a unit" is a thread with the same settings that commits each write by itself; "async engine" is SQLAlchemy over aiosqlite with BEGIN IMMEDIATE.
"""

import asyncio
import queue
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from luminai.data.database import open_database
from luminai.telemetry.clock import SystemClock

WRITES = 600
CALLERS = (1, 32, 256)
CREATE = "CREATE TABLE IF NOT EXISTS core__bench (id INTEGER PRIMARY KEY, n INTEGER)"
INSERT = "INSERT INTO core__bench (n) VALUES (:n)"
Write = Callable[[int], Awaitable[object]]


async def spread(write: Write, callers: int) -> float:
    """Return seconds for all writes, shared out to ``callers`` that each wait for their write before the next."""

    async def caller(share: range) -> None:
        for number in share:
            await write(number)

    began = time.perf_counter()
    await asyncio.gather(*(caller(range(first, WRITES, callers)) for first in range(callers)))
    return time.perf_counter() - began


async def hub(folder: Path, callers: int) -> float:
    database = await open_database("", data_dir=folder, clock=SystemClock())

    def unit(number: int) -> Callable[[Session], None]:
        return lambda session: session.execute(text(INSERT), {"n": number}) and None

    try:
        await database.write(lambda session: session.execute(text(CREATE)) and None)
        return await spread(lambda number: database.write(unit(number)), callers)
    finally:
        await database.close()


async def one_by_one(folder: Path, callers: int) -> float:
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[tuple[int, asyncio.Future[None]] | None] = queue.SimpleQueue()

    def serve() -> None:
        raw = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None)
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute(CREATE)
        while (job := waiting.get()) is not None:
            raw.execute("BEGIN IMMEDIATE")
            raw.execute(INSERT, {"n": job[0]})
            raw.execute("COMMIT")
            loop.call_soon_threadsafe(job[1].set_result, None)
        raw.close()

    thread = threading.Thread(target=serve)
    thread.start()

    async def write(number: int) -> None:
        future: asyncio.Future[None] = loop.create_future()
        waiting.put((number, future))
        await future

    try:
        return await spread(write, callers)
    finally:
        waiting.put(None)
        thread.join()


async def async_engine(folder: Path, callers: int) -> float:
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'async.sqlite3'}", pool_size=4, max_overflow=0, pool_timeout=600)

    def on_connect(raw: sqlite3.Connection, _: object) -> None:
        raw.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000"):
            raw.execute(f"PRAGMA {pragma}")

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    async def write(number: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(text(INSERT), {"n": number})

    try:
        async with engine.begin() as connection:
            await connection.execute(text(CREATE))
        return await spread(write, callers)
    finally:
        await engine.dispose()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ways = {"hub": hub, "one commit a unit": one_by_one, "async engine": async_engine}
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else ".") as name:
        for callers in CALLERS:
            figures: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds + 1):
                for way, run in ways.items():
                    figures[way].append(asyncio.run(run(Path(name), callers)))
            ours = figures["hub"][1:]
            for way, seconds in figures.items():
                ratio = statistics.median(other / own for other, own in zip(seconds[1:], ours, strict=True))
                rate = WRITES / statistics.median(seconds[1:])
                print(f"{callers:>4} callers  {way:<18} {rate:8.0f} writes a second   {ratio:5.2f} times the hub's time")


if __name__ == "__main__":
    main()
