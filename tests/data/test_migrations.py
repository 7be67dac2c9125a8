"""Migrations of several owners on both engines."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import inspect, select, text

from luminai import Unavailable
from luminai.data import sqlite_writer
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import MigrationFailed, MigrationSource, core_source, current, pending, upgrade
from luminai.data.tables_events import events
from luminai.telemetry.clock import SystemClock
from luminai.testing import postgres, running_hub

STEP = "import sqlalchemy as sa\nfrom alembic import op\nrevision = '{number}'\ndown_revision = {below}\ndef upgrade() -> None:\n    {code}\n"


def owner(folder: Path, name: str, *steps: str) -> MigrationSource:
    """Write the versions of an owner; ``P`` in a step stands for its table prefix."""
    prefix = f"{name}_{uuid4().hex[:6]}__"
    versions = folder / name
    versions.mkdir(parents=True)
    for number, code in enumerate(steps, 1):
        below = f"'{number - 1:04d}'" if number > 1 else "None"
        text_of_step = STEP.format(number=f"{number:04d}", below=below, code=code.replace("P", prefix))
        (versions / f"{number:04d}_step.py").write_text(text_of_step)
    return MigrationSource(owner_id=prefix.removesuffix("__"), table_prefix=prefix, versions_dir=versions)


def on_database(url: str, data_dir: Path, work: Any) -> Any:
    async def main() -> Any:
        database = await open_database(url, data_dir=data_dir, clock=SystemClock())
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


async def tables(database: HubDatabase, source: MigrationSource) -> list[str]:
    found = await database.read(lambda session: inspect(session.connection()).get_table_names())
    return sorted(name.removeprefix(source.table_prefix) for name in found if name.startswith(source.table_prefix))


MAKE = "op.create_table('Pone', sa.Column('id', sa.Integer, primary_key=True))"
HALF = "op.create_table('Phalf', sa.Column('id', sa.Integer)); op.execute('SELECT nothing FROM nowhere')"


def test_owners__migrate_independently__a_failing_step_leaves_nothing(database_url: str, data_dir: Path, tmp_path: Path) -> None:
    good, bad = owner(tmp_path, "good", MAKE), owner(tmp_path, "bad", MAKE, HALF)

    async def work(database: HubDatabase) -> None:
        assert await pending(database, [good, bad]) == {good.owner_id: ["0001"], bad.owner_id: ["0001", "0002"]}
        with pytest.raises(MigrationFailed, match="step 0002"):
            await upgrade(database, bad)
        await upgrade(database, good)
        assert await tables(database, good) == ["alembic_version", "one"]
        assert await tables(database, bad) == ["alembic_version", "one"], "the first step stays, nothing of the second"
        assert await current(database, [good, bad]) == {good.owner_id: "0001", bad.owner_id: "0001"}
        assert await pending(database, [good, bad]) == {bad.owner_id: ["0002"]}

    on_database(database_url, data_dir, work)


@pytest.mark.parametrize(
    "code",
    [
        "op.create_table('elsewhere__x', sa.Column('id', sa.Integer))",
        "op.create_table('Px', sa.Column('id', sa.Integer)); op.drop_table('Px'); op.create_table('y__y', sa.Column('id', sa.Integer))",
    ],
)
def test_step__touches_what_is_not_its_own__is_refused_whole(database_url: str, data_dir: Path, tmp_path: Path, code: str) -> None:
    source = owner(tmp_path, "greedy", code)

    async def work(database: HubDatabase) -> None:
        with pytest.raises(MigrationFailed) as refused:
            await upgrade(database, source)
        assert refused.value.code == "migration-refused"
        names = await database.read(lambda session: inspect(session.connection()).get_table_names())
        assert not [name for name in names if name.startswith(("elsewhere__", "y__"))]

    on_database(database_url, data_dir, work)


def test_database__ahead_of_the_code__is_refused(database_url: str, data_dir: Path, tmp_path: Path) -> None:
    source = owner(tmp_path, "newer", MAKE)

    async def work(database: HubDatabase) -> str:
        await upgrade(database, source)
        ahead = text(f"UPDATE {source.version_table} SET version_num = '0009'")
        await database.write(lambda session: session.execute(ahead) and None)
        with pytest.raises(MigrationFailed) as refused:
            await pending(database, [source])
        return refused.value.code

    assert on_database(database_url, data_dir, work) == "database-ahead"


def test_write_queue__full__is_refused_and_what_waits_is_done(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "QUEUE", 4)

    async def work(database: HubDatabase) -> list[Any]:
        units = [database.write(lambda session: session.execute(text("SELECT 1")).scalar()) for _ in range(40)]
        return await asyncio.gather(*units, return_exceptions=True)

    results = on_database("", data_dir, work)
    refused = [result for result in results if result != 1]
    assert refused, "the queue was never full"
    assert all(isinstance(result, Unavailable) and result.code == "write-queue-full" for result in refused)
    assert results.count(1) >= 4


@pytest.mark.skipif(bool(postgres.server()), reason="backups are of SQLite")
def test_start__that_changes_tables__backs_up_what_was_there_once(plugins: Any, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    backups = folder / "data" / "backups"
    step = """
        import sqlalchemy as sa
        from alembic import op
        revision = "0001"
        down_revision = None
        def upgrade():
            op.create_table("noted__a", sa.Column("id", sa.Integer, primary_key=True))
    """
    code = """
        from luminai import hookimpl, metadata_for
        from sqlalchemy import Column, Integer, Table
        metadata = metadata_for("noted")
        Table("noted__a", metadata, Column("id", Integer, primary_key=True))
        class Plugin:
            @hookimpl
            def models(self):
                return metadata
    """
    noted = plugins.make("noted", code, provides='["models"]', manifest="tables = true", files={"migrations/versions/0001_a.py": step})

    async def start(*ids: str) -> None:
        async with running_hub(*ids, installed=[plugins.make("good"), noted], folder=folder):
            pass

    asyncio.run(start("good"))
    assert not backups.exists(), "a new database has nothing to lose"
    asyncio.run(start("good", "noted"))
    assert len(list(backups.iterdir())) == 1
    asyncio.run(start("good", "noted"))
    assert len(list(backups.iterdir())) == 1


@pytest.mark.parametrize("on_server", [False, pytest.param(True, marks=pytest.mark.postgres)])
def test_outbox__of_an_older_hub__becomes_the_log_of_events(on_server: bool, data_dir: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("empty_postgres_url") if on_server else ""

    async def work(database: HubDatabase) -> list[Any]:
        core = core_source()
        await upgrade(database, core, to="0018")
        columns = "id, type, version, subject, payload, created_at"
        row = "'evt_1', 'chat.TurnOpened', 2, 'usr_a', '{\"n\": 1}', '2026-01-01 00:00:00+00:00'"
        await database.write(
            lambda session: session.execute(text(f"INSERT INTO core__outbox ({columns}) VALUES ({row})".replace(":", "\\:"))) and None
        )
        await upgrade(database, core)
        return list(await database.read(lambda session: session.execute(select(events)).all()))

    (found,) = on_database(url, data_dir, work)

    assert (found.plugin, found.type, found.version, found.subject, found.payload) == ("chat", "chat.TurnOpened", 2, "usr_a", {"n": 1})
    assert (found.correlation, found.owner, found.keep, found.number, found.created_at.year) == ("evt_1", "", "standard", None, 2026)
