"""Publishing: one business row, the event and a job for each durable subscription in one transaction, with 0, 1, 5 and 20 subscriptions."""

import asyncio
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, String, Table, insert

from luminai import Event, EventType, Subscription
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, upgrade
from luminai.host.events import EventTable
from luminai.host.plugin_database import PluginDatabase
from luminai.telemetry.breaker import Breaker, BreakerSettings
from luminai.telemetry.clock import SystemClock
from luminai.telemetry.trace import Tracer
from luminai.work.endpoint_calls import wanted_by

CALLERS = 32
SECONDS = 2.0
SUBSCRIPTIONS = (0, 1, 5, 20)
ROWS = Table("bench__rows", MetaData(), Column("id", Integer, primary_key=True), Column("word", String(40)))
_PUT = insert(ROWS)


class Sent(Struct):
    n: int


def table_of(subscriptions: int) -> EventTable:
    found = EventTable(lambda _, __: Breaker(BreakerSettings(), time.monotonic, lambda: None), Tracer())
    found.declare("bench", [EventType(name="Sent", payload=Sent)])

    async def handle(event, delivery):
        pass

    for number in range(subscriptions):
        found.subscribe(f"plugin-{number}", [Subscription(event="bench.Sent", handle=handle, durable=True)])
    return found


async def measure(database: HubDatabase, subscriptions: int, key: str) -> tuple[float, float]:
    """Return transactions a second, and milliseconds of this process's own CPU for one."""
    table = table_of(subscriptions)
    plugin = PluginDatabase("bench", database, lambda: table, wanted_by)
    count, end = 0, time.perf_counter() + SECONDS

    def unit(session):
        session.execute(_PUT, {"word": "row"})
        plugin.publish(session, Event(type="bench.Sent", payload={"n": 1}, key=key and f"{key}{uuid4().hex}"))

    async def caller():
        nonlocal count
        while time.perf_counter() < end:
            await plugin.as_subject("usr_bench").write(unit)
            count += 1

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.perf_counter() - began), 1000 * (time.process_time() - cpu) / count


async def on(url: str) -> None:
    with tempfile.TemporaryDirectory(dir=".") as name:
        database = await open_database(url, data_dir=Path(name), clock=SystemClock())
        try:
            await upgrade(database, core_source())
            await database.write(lambda session: ROWS.metadata.create_all(session.connection()))
            for count in SUBSCRIPTIONS:
                for what, key in (("", ""), (", with an ordering key", "key-")):
                    rate, cpu = await measure(database, count, key)
                    print(f"{database.dialect:<11} {count:>2} subscriptions: {rate:>6.0f} tx/s, {cpu:.2f} ms of own CPU{what}")
        finally:
            await database.close()


async def on_server(server: str) -> None:
    import asyncpg

    name = f"luminai_bench_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(f"{server.rstrip('/')}/postgres")
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await on(f"{server.rstrip('/')}/{name}")
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


def run(engines: list[str], server: str) -> None:
    """Print the figures."""
    print(f"{CALLERS} callers, {SECONDS:g} s each; a business row, the event, its jobs and the look for endpoints in one durable transaction")
    for engine in engines:
        asyncio.run(on_server(server) if engine == "postgresql" else on(""))
