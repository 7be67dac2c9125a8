"""What a transaction on PostgreSQL begins with: whose rows, how long, how durable; whatever a name holds, and whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from luminai.data.database import HubDatabase, open_database
from luminai.data.owners import Acting
from luminai.telemetry.clock import SystemClock

pytestmark = pytest.mark.postgres
NAMES = ("luminai.subject", "luminai.organisation", "luminai.system", "statement_timeout", "synchronous_commit", "transaction_isolation")


def on_database(url: str, work: Callable[[HubDatabase], Awaitable[None]]) -> None:
    async def main() -> None:
        database = await open_database(url, data_dir=Path(), clock=SystemClock())
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(main())


def settings(session: Session) -> dict[str, Any]:
    """Return what holds in the unit."""
    return {name: session.execute(text("SELECT current_setting(:name, true)"), {"name": name}).scalar() for name in NAMES}


@pytest.mark.parametrize(
    "subject",
    ["o'neil", "a\\", "\\'; SET luminai.system = 'on'; --", "x', true), set_config('luminai.system', 'on', true); --", "Zoë \U0001f600 $1 :n %s"],
)
def test_whose__is_taken_word_for_word(postgres_url: str, subject: str) -> None:
    async def work(database: HubDatabase) -> None:
        for there in (database.read, database.write):
            found = await there(settings, whose=Acting(subject, f"of {subject}"), timeout=7)  # type: ignore[operator]
            assert (found["luminai.subject"], found["luminai.organisation"], found["luminai.system"]) == (subject, f"of {subject}", "")
            assert found["statement_timeout"] == "7s"

    on_database(postgres_url, work)


def test_unit__has_what_it_asked_for_and_the_next_one_its_own(empty_postgres_url: str) -> None:
    async def waits_for_the_disk(database: HubDatabase) -> None:  # tests' databases do not
        words = f'ALTER DATABASE "{make_url(empty_postgres_url).database}" SET synchronous_commit = on'
        await database.write(lambda session: session.execute(text(words)) and None, whose=None)

    async def work(database: HubDatabase) -> None:
        fleeting = await database.write(settings, isolation="read-committed", durable=False, whose=None)
        assert (fleeting["luminai.system"], fleeting["synchronous_commit"], fleeting["transaction_isolation"]) == ("on", "off", "read committed")
        lasting = await database.write(settings, whose=Acting("usr_a"))
        assert (lasting["luminai.system"], lasting["synchronous_commit"], lasting["transaction_isolation"]) == ("", "on", "serializable")
        assert (await database.read(settings, whose=None))["transaction_isolation"] == "repeatable read"
        with pytest.raises(DBAPIError):
            await database.read(lambda session: session.execute(text("CREATE TABLE core__never (id INTEGER)")), whose=None)

    on_database(empty_postgres_url, waits_for_the_disk)
    on_database(empty_postgres_url, work)


def test_unit__that_rolls_back_and_goes_on__is_for_the_same_one(postgres_url: str) -> None:
    def unit(session: Session) -> tuple[Any, Any]:
        before = settings(session)
        session.rollback()
        return before, settings(session)

    async def work(database: HubDatabase) -> None:
        before, after = await database.write(unit, whose=Acting("usr_a", "org_a"))
        assert before == after

    on_database(postgres_url, work)


def test_beginning_that_fails__leaves_no_transaction_behind(postgres_url: str) -> None:
    async def work(database: HubDatabase) -> None:
        for _ in range(3):
            with pytest.raises(DBAPIError, match="22023"):
                await database.write(settings, timeout=10**7, whose=None)  # more milliseconds than the setting holds
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        assert await database.read(lambda session: session.execute(text(open_ones)).scalar(), whose=None) == 0
        assert (await database.write(settings, whose=Acting("usr_a")))["luminai.subject"] == "usr_a"

    on_database(postgres_url, work)


def test_migration__on_a_connection_that_read_before__may_write(empty_postgres_url: str) -> None:
    async def work(database: HubDatabase) -> None:
        def change(connection: Any) -> str:
            with connection.begin():
                connection.exec_driver_sql("CREATE TABLE made (id int)")
                return str(connection.exec_driver_sql("SHOW statement_timeout").scalar())

        await database.read(settings, whose=Acting("ann", ""), timeout=7)
        assert await database.migrate(change) == "0"

    on_database(empty_postgres_url, work)


def test_unit__that_is_cancelled__gives_its_connection_back_whatever_it_was_at(postgres_url: str) -> None:
    async def work(database: HubDatabase) -> None:
        for steps in range(40):  # so many turns of the loop after it was asked for: while it connects, begins, works, commits or is through
            unit = asyncio.create_task(database.write(lambda session: session.execute(text("SELECT pg_sleep(0.001)")).scalar(), whose=None))
            for _ in range(steps):
                await asyncio.sleep(0)
            unit.cancel()
            await asyncio.sleep(0)
            unit.cancel()  # and once more, while it ends
            await asyncio.wait([unit])
            assert unit.cancelled() or unit.exception() is None
        assert database.busy().in_use == 0
        assert (await database.write(settings, whose=None))["transaction_isolation"] == "serializable"

    on_database(postgres_url, work)
