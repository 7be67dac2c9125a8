"""Looking at migrations, rehearsing them on a copy, backing up, and checking the result, on both engines."""

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from home import CONFIG, Home
from small_disk import fill
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, inspect, make_url, text

from luminai import HubError
from luminai.config.settings import PluginSettings
from luminai.data.backups import KEEP, backup_before
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import MigrationFailed, MigrationSource, core_source, current, upgrade
from luminai.data.rehearsal import Rehearsal, rehearse
from luminai.data.steps import sql_of, waiting_steps
from luminai.data.types import metadata_for
from luminai.data.verify import verify
from luminai.host.desired import DesiredStore
from luminai.host.owners import Owners, owners_of
from luminai.telemetry.clock import SystemClock
from luminai.testing import FrozenClock

STEP = """\"\"\"{message}\"\"\"
import sqlalchemy as sa
from alembic import op
revision = "{number}"
down_revision = {below}
def upgrade() -> None:
    {code}
"""
ONE = "op.create_table('@one', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.String(9), nullable=False))"
ROWS = "op.execute(\"INSERT INTO @one VALUES (1, 'a'), (2, 'b'), (3, 'c')\")"
INDEX = "op.create_index('@one_name_idx', '@one', ['name'])"
BROKEN = "op.create_table('@half', sa.Column('id', sa.Integer)); op.execute('SELECT nothing FROM nowhere')"
BESIDE = "op.execute('CREATE TABLE @search (word VARCHAR(9))')"
DROP_COLUMN = "with op.batch_alter_table('@one') as table: table.drop_column('name')"


class Source:
    """An owner whose steps and declared tables a test writes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.id = f"{name}{uuid4().hex[:6]}"
        self.prefix = f"{self.id}__"
        self.folder = folder / self.id
        self.folder.mkdir(parents=True)
        self.metadata = metadata_for(self.id)
        self.one = Table(f"{self.prefix}one", self.metadata, Column("id", Integer, primary_key=True), Column("name", String(9), nullable=False))

    def steps(self, *codes: str) -> MigrationSource:
        for number, code in enumerate(codes, 1):
            values = {"number": f"{number:04d}", "below": f'"{number - 1:04d}"' if number > 1 else None, "message": f"Step {number}."}
            (self.folder / f"{number:04d}_step.py").write_text(STEP.format(**values, code=code.replace("@", self.prefix)))
        return self.source

    @property
    def source(self) -> MigrationSource:
        return MigrationSource(owner_id=self.id, table_prefix=self.prefix, versions_dir=self.folder, metadata=self.metadata)


@pytest.fixture
def owner(tmp_path: Path) -> Any:
    """Return a maker of owners."""
    return lambda name="one": Source(tmp_path / "owners", name)


def on_database(url: str, data_dir: Path, work: Any) -> Any:
    async def main() -> Any:
        database = await open_database(url, data_dir=data_dir, clock=SystemClock())
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


def rehearsed(url: str, data_dir: Path, *sources: MigrationSource) -> Rehearsal:
    async def all_of(_: HubDatabase) -> list[MigrationSource]:
        return list(sources)

    return asyncio.run(rehearse(url, data_dir=data_dir, clock=SystemClock(), sources_of=all_of))


def fingerprint(url: str, data_dir: Path) -> str:
    """Return a digest of every object and every row of the database."""

    def look(session: Any) -> str:
        connection = session.connection()
        metadata = MetaData()
        metadata.reflect(connection)
        digest = blake2b()
        for table in metadata.sorted_tables:
            rows = sorted(repr(tuple(row)) for row in connection.execute(table.select()))
            columns = [(one.name, str(one.type), one.nullable, str(getattr(one.server_default, "arg", ""))) for one in table.columns]
            digest.update(repr((table.name, columns, sorted(one.name or "" for one in table.indexes), rows)).encode())
        return digest.hexdigest()

    found: str = on_database(url, data_dir, lambda database: database.read(look))
    return found


def databases(url: str) -> list[str]:
    """Return the names of the server's rehearsal databases."""
    query = text("SELECT datname FROM pg_database WHERE datname LIKE 'luminai_rehearsal_%'")
    found: list[str] = on_database(url, Path(), lambda database: database.read(lambda session: list(session.execute(query).scalars())))
    return found


def test_rehearsal__steps_wait__run_on_a_copy_and_the_database_is_as_before(database_url: str, data_dir: Path, owner: Any) -> None:
    made = owner()
    source = made.steps(ONE, ROWS)
    on_database(database_url, data_dir, lambda database: upgrade(database, source, to="0001"))
    Index(None, made.one.c.name)
    source = made.steps(ONE, ROWS, INDEX)
    before = fingerprint(database_url, data_dir)

    done = rehearsed(database_url, data_dir, source)

    assert fingerprint(database_url, data_dir) == before
    assert done.ok
    assert done.copied_bytes > 0
    assert done.method == ("template" if database_url else "backup")
    assert [(one.step, one.rows_before, one.rows_after, one.failure) for one in done.steps] == [("0002", 0, 3, ""), ("0003", 3, 3, "")]
    assert done.steps[1].bytes_after > done.steps[1].bytes_before, "an index takes room"
    assert [path.name for path in data_dir.parent.glob(".luminai-rehearsal-*")] == []
    if database_url:
        assert databases(database_url) == []


def test_rehearsal__a_step_fails__is_told_with_its_owner_and_others_are_still_tried(database_url: str, data_dir: Path, owner: Any) -> None:
    bad, good = owner("bad").steps(ONE, BROKEN, ROWS), owner("good").steps(ONE)

    done = rehearsed(database_url, data_dir, bad, good)

    assert not done.ok
    assert [(one.owner, one.step, bool(one.failure)) for one in done.steps] == [
        (bad.owner_id, "0001", False),
        (bad.owner_id, "0002", True),
        (good.owner_id, "0001", False),
    ]
    assert "step 0002" in done.steps[1].failure
    assert done.differences == {}


def test_rehearsal__steps_make_other_tables_than_declared__each_difference_is_named(database_url: str, data_dir: Path, owner: Any) -> None:
    made = owner()
    Index(None, made.one.c.name)
    for engine in ("sqlite", "postgresql"):
        Index(f"on_{engine}", made.one.c.name, info={"engine": engine})
    made.one.append_column(Column("age", Integer))
    Table(f"{made.prefix}two", made.metadata, Column("id", Integer, primary_key=True))
    source = made.steps(ONE.replace("String(9)", "String(5)"), BESIDE)

    done = rehearsed(database_url, data_dir, source)

    assert not done.ok
    lines = "\n".join(done.differences[source.owner_id])
    assert f"table {made.prefix}two is missing" in lines
    assert f"column {made.prefix}one.age is missing" in lines
    assert f"index {made.prefix}one_name_idx of {made.prefix}one is missing" in lines
    assert f"column {made.prefix}one.name: type is VARCHAR(length=5)" in lines
    assert "search" not in lines, "a table that a step names is no difference"
    engines = [line.partition(" of ")[0].removeprefix("index ") for line in lines.splitlines() if "on_" in line]
    assert engines == ["on_postgresql" if database_url else "on_sqlite"], "an index of another engine is none either"
    assert done.steps[-1].differences == done.differences[source.owner_id]


@pytest.mark.postgres
def test_rehearsal__somebody_is_connected__is_made_from_a_dump_or_refused(
    postgres_url: str, data_dir: Path, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("pg_dump"):
        pytest.skip("pg_dump is not installed")
    source = owner().steps(ONE, ROWS, "op.execute(\"UPDATE @one SET name = 'x'\")")

    async def work(database: HubDatabase) -> None:
        await upgrade(database, source, to="0002")

        async def all_of(_: HubDatabase) -> list[MigrationSource]:
            return [source]

        done = await rehearse(postgres_url, data_dir=data_dir, clock=SystemClock(), sources_of=all_of)
        assert (done.method, done.ok, done.steps[0].rows_before) == ("dump", True, 3)
        monkeypatch.setenv("PATH", "")
        with pytest.raises(HubError) as refused:
            await rehearse(postgres_url, data_dir=data_dir, clock=SystemClock(), sources_of=all_of)
        assert refused.value.code == "database-busy"
        assert "pg_dump" in refused.value.hint

    on_database(postgres_url, data_dir, work)
    assert databases(postgres_url) == []


@pytest.mark.postgres
def test_rehearsal__role_may_not_make_databases__is_refused_with_the_remedy(postgres_url: str, data_dir: Path, owner: Any) -> None:
    role = f"luminai_test_{uuid4().hex[:8]}"

    def execute(statement: str) -> None:
        on_database(postgres_url, data_dir, lambda database: database.write(lambda session: session.execute(text(statement)) and None))

    execute(f"CREATE ROLE {role} LOGIN")
    try:
        url = make_url(postgres_url).set(username=role).render_as_string(hide_password=False)
        with pytest.raises(HubError) as refused:
            rehearsed(url, data_dir, owner().steps(ONE))
    finally:
        execute(f"DROP ROLE {role}")
    assert refused.value.code == "may-not-create-database"
    assert "CREATEDB" in refused.value.hint


def test_copies__no_room_on_the_disk__are_refused_and_nothing_is_left(small_disk: Path, owner: Any) -> None:
    data_dir, source = small_disk / "data", owner().steps(ONE, ROWS)

    async def work(database: HubDatabase) -> Path:
        await upgrade(database, source, to="0001")
        ballast = fill(small_disk)
        with pytest.raises(HubError) as refused:
            await backup_before(database, data_dir, SystemClock())
        assert refused.value.code == "no-room"
        return ballast

    ballast = on_database("", data_dir, work)
    with pytest.raises(HubError) as refused:
        rehearsed("", data_dir, source)
    assert refused.value.code == "no-room"
    assert not list(small_disk.glob(".luminai*"))
    assert not list((data_dir / "backups").iterdir())
    ballast.unlink()
    assert rehearsed("", data_dir, source).ok


def test_backups__are_whole_while_others_write__and_the_newest_are_kept(data_dir: Path, owner: Any) -> None:
    source, clock = owner().steps(ONE), FrozenClock()
    table = f"{source.table_prefix}one"

    async def work(database: HubDatabase) -> list[Path]:
        assert await backup_before(database, data_dir, clock) is None, "an empty database has nothing to lose"
        await upgrade(database, source)
        (data_dir / "backups").mkdir()
        (data_dir / "backups" / "hub-before-the-move.sqlite3").write_text("an operator's own")

        def add(number: int) -> Any:
            statement = text(f"INSERT INTO {table} VALUES (:n, 'x')")
            return lambda session: session.execute(statement, {"n": number}) and None

        made = []
        for number in range(KEEP + 2):
            await database.write(add(number))
            writes = [database.write(add(1000 + number * 10 + more)) for more in range(5)]
            path, *_ = await asyncio.gather(backup_before(database, data_dir, clock), *writes)
            assert path is not None
            made.append(path)
            clock.advance(3600)
        return made

    made = on_database("", data_dir, work)

    kept = sorted((data_dir / "backups").iterdir())
    assert kept == sorted([*made[-KEEP:], data_dir / "backups" / "hub-before-the-move.sqlite3"])
    assert made[-1].stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(made[-1])) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ids = {row[0] for row in connection.execute(f"SELECT id FROM {table}")}
    assert ids >= set(range(KEEP + 2)), "all that was saved before the backup is in it"


def test_plan__steps_as_sql__make_the_same_tables(database_url: str, data_dir: Path, tmp_path: Path, owner: Any) -> None:
    source = owner().steps(ONE, ROWS, INDEX)

    async def work(database: HubDatabase) -> None:
        steps = await waiting_steps(database, [source])
        assert [(one.step, one.below, one.message) for one in steps] == [
            ("0001", "", "Step 1."),
            ("0002", "0001", "Step 2."),
            ("0003", "0002", "Step 3."),
        ]
        for step in steps:
            sql, remark = sql_of(source, step, database.dialect)
            assert remark == ""
            lines = [line for line in sql.splitlines() if not line.startswith("--")]
            statements = [one.strip() for one in "\n".join(lines).split(";") if one.strip() not in ("", "BEGIN", "COMMIT")]
            await database.write(lambda session, statements=statements: [session.execute(text(one)) for one in statements] and None)
        assert await current(database, [source]) == {source.owner_id: "0003"}
        assert await waiting_steps(database, [source]) == []
        names = await database.read(lambda session: inspect(session.connection()).get_indexes(f"{source.table_prefix}one"))
        assert [one["name"] for one in names] == [f"{source.table_prefix}one_name_idx"]

    on_database(database_url, data_dir, work)


def test_plan__step_must_look_at_the_tables__says_so(data_dir: Path, owner: Any) -> None:
    source = owner().steps(ONE, DROP_COLUMN)

    async def work(database: HubDatabase) -> tuple[str, str]:
        return sql_of(source, (await waiting_steps(database, [source]))[1], "sqlite")

    sql, remark = on_database("", data_dir, work)
    assert sql == ""
    assert "db rehearse" in remark


def codes(
    database_url: str, data_dir: Path, *sources: MigrationSource, sql: str = "", idle: tuple[MigrationSource, ...] = ()
) -> set[tuple[str, str]]:
    """Run ``sql`` on the database, then return owner and code of every finding that concerns the sources."""

    async def work(database: HubDatabase) -> set[tuple[str, str]]:
        if sql:
            await database.migrate(run)
        return {(one.owner, one.code) for one in await verify(database, [core_source(), *sources], idle=idle)}

    def run(connection: Any) -> None:
        with connection.begin():
            connection.execute(text(sql))

    found: set[tuple[str, str]] = on_database(database_url, data_dir, work)
    return {one for one in found if database_url == "" or one[0] in {source.owner_id for source in (*sources, *idle)}}


def test_verify__each_kind_of_damage__is_found(database_url: str, data_dir: Path, owner: Any) -> None:
    made = owner()
    Index(None, made.one.c.name)
    source, other = made.steps(ONE, INDEX), owner("other").steps(ONE)
    for one in (core_source(), source):
        on_database(database_url, data_dir, lambda database, one=one: upgrade(database, one))
    p = made.prefix

    assert codes(database_url, data_dir, source) == set()
    assert codes(database_url, data_dir, source, other) == {(other.owner_id, "steps-waiting")}
    assert codes(database_url, data_dir, source, idle=(other,)) == set(), "what is off may wait"
    assert codes(database_url, data_dir, source, sql=f"DROP INDEX {p}one_name_idx") == {(made.id, "schema-differs")}
    codes(database_url, data_dir, source, sql=f"CREATE INDEX {p}one_name_idx ON {p}one (name)")
    crossing = f"CREATE TABLE {other.table_prefix}x (id INTEGER REFERENCES {p}one (id))"
    assert (other.owner_id, "foreign-key-crosses") in codes(database_url, data_dir, source, idle=(other,), sql=crossing)
    ahead = f"UPDATE {source.version_table} SET version_num = '0099'"
    assert codes(database_url, data_dir, source, sql=ahead) >= {(made.id, "database-ahead")}


def test_verify__tables_of_nobody_and_broken_references__are_found(data_dir: Path, owner: Any) -> None:
    source = owner().steps(ONE)
    on_database("", data_dir, lambda database: upgrade(database, core_source()))
    on_database("", data_dir, lambda database: upgrade(database, source))
    with contextlib.closing(sqlite3.connect(data_dir / "hub.sqlite3")) as connection:
        connection.execute(f"CREATE TABLE gone__things (id INTEGER REFERENCES {source.table_prefix}one (id))")
        connection.execute("INSERT INTO gone__things VALUES (7)")
        connection.execute("CREATE TABLE loose (id INTEGER)")
        connection.commit()

    found = codes("", data_dir, source)

    assert found == {("gone", "no-owner"), ("gone", "foreign-key-crosses"), ("gone", "reference-broken"), ("", "no-owner")}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Return a home without a hub, on SQLite."""
    return Home(tmp_path / "home")


def test_command__plans_rehearses_upgrades_and_verifies(home: Home) -> None:
    planned = [one["owner"] for one in home.data("db", "plan")]
    assert planned[0] == "core"
    assert planned.index("knowledge") < planned.index("chat"), "chat requires knowledge"
    assert all(one["sql"].startswith("BEGIN;") for one in home.data("db", "plan", "--sql"))
    rehearsal = home.data("db", "rehearse")
    assert rehearsal["ok"]
    assert [one["owner"] for one in rehearsal["steps"]] == planned
    assert [one["owner"] for one in home.data("db", "plan")] == planned, "nothing was changed"
    table = home.run("--output", "table", "db", "rehearse")
    assert table.stdout.startswith("OWNER"), table.stdout
    assert "All is well." in table.stderr
    first = home.data("db", "upgrade")
    assert {one["backup"] for one in first} == {""}, "there was nothing to lose"
    assert home.data("db", "verify") == []
    assert home.data("db", "plan") == []


def test_command__database_with_data__is_backed_up_before_it_is_upgraded(home: Home) -> None:
    (home.folder / "config.toml").write_text(CONFIG.replace("[plugins.chat]\nenabled = true", "[plugins.chat]\nenabled = false"))
    home.data("db", "upgrade")
    (home.folder / "config.toml").write_text(CONFIG)

    done = home.run("db", "upgrade")

    (row,) = json.loads(done.stdout)
    assert row["applied"] == ["0001", "0002", "0003", "0004"]
    assert f"backup: {row['backup']}" in done.stderr
    assert "[1/4] chat 0001: Sessions" in done.stderr
    with contextlib.closing(sqlite3.connect(row["backup"])) as connection:
        names = {found for (found,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "knowledge__documents" in names
    assert "chat__sessions" not in names, "the backup is from before"


def test_command__database_is_wrong__exit_codes_tell(home: Home) -> None:
    home.data("db", "upgrade")
    file = home.folder / "data" / "hub.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE stray__t (id INTEGER)")
        connection.execute("DROP INDEX chat__resonance_at_idx")
        connection.commit()
    done = home.run("db", "verify")
    assert done.returncode == 8
    assert {(one["owner"], one["code"]) for one in json.loads(done.stdout)} == {("stray", "no-owner"), ("chat", "schema-differs")}
    assert home.run("db", "rehearse").returncode == 8
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE chat__alembic_version SET version_num = '0999'")
        connection.commit()
    assert home.run("db", "verify").returncode == 9
    assert home.refusal("db", "upgrade") == (9, "database-ahead")
    assert home.refusal("db", "rehearse") == (9, "database-ahead")
    with file.open("rb+") as raw:
        raw.seek(4096)
        raw.write(os.urandom(8192))
    damaged = home.run("db", "verify")
    assert damaged.returncode == 8
    assert json.loads(damaged.stdout)[0]["code"] == "database-damaged"


def test_rehearsal__another_process_holds_the_database__goes_on_beside_it(home: Home) -> None:
    home.data("db", "upgrade")

    async def work(_: HubDatabase) -> None:
        assert home.refusal("db", "verify") == (5, "database-in-use")
        assert home.data("db", "rehearse")["ok"]

    on_database("", home.folder / "data", work)


def test_upgrade__up_to_a_revision__stops_there_and_a_failure_names_its_step(data_dir: Path, owner: Any) -> None:
    source = owner().steps(ONE, BROKEN)

    async def work(database: HubDatabase) -> None:
        await upgrade(database, source, to="0001")
        assert await current(database, [source]) == {source.owner_id: "0001"}
        with pytest.raises(MigrationFailed, match="step 0002"):
            await upgrade(database, source, to="0002")

    on_database("", data_dir, work)


def test_owners__follow_wishes_and_requirements__and_a_broken_plugin_is_named(data_dir: Path, plugins: Any) -> None:
    files = {"migrations/versions/0001_first.py": "revision = '0001'\n"}
    broken = plugins.make(
        "aa-user", "import nothing_like_it", provides='["models"]', manifest='tables = true\n[requires]\nbb-link = "*"', files=files
    )
    link = plugins.make("bb-link", manifest='[requires]\ncc-base = "*"')
    base = plugins.make("cc-base", "class Plugin: ...", provides='["models"]', manifest="tables = true", files=files)
    off = plugins.make("dd-off", "class Plugin: ...", provides='["models"]', manifest="tables = true", files=files)
    settings = {one.id: PluginSettings(enabled=True) for one in (broken, link, off)}

    async def work(database: HubDatabase) -> Owners:
        await upgrade(database, core_source())
        wishes = DesiredStore(database, SystemClock())
        await wishes.set(base.id, True, by="someone")
        await wishes.set(off.id, False, by="someone")
        return await owners_of(database, [broken, link, base, off], settings, declared=True)

    owners = on_database("", data_dir, work)

    assert [one.owner_id for one in owners.on] == ["core", "cc-base", "aa-user"], "also through a plugin without tables"
    assert [one.owner_id for one in owners.idle] == ["dd-off"]
    assert "nothing_like_it" in owners.problems["aa-user"]
