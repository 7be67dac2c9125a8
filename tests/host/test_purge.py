"""Purge: all of one plugin goes, nothing of another does, and the proof finds what is left."""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from home import CONFIG, Home
from sqlalchemy import delete, insert, inspect, select, text

from luminai import HubError
from luminai.config.layers import Configuration, Layer
from luminai.data.database import HubDatabase, open_database
from luminai.data.migrations import core_source, upgrade
from luminai.data.namespace import row_counts
from luminai.data.tables import api_keys, idempotency, nodes, plugin_changes, plugin_desired, repairs_ignored
from luminai.data.tables_events import events
from luminai.data.tables_vault import master_keys, subject_keys
from luminai.host.desired import DesiredStore
from luminai.host.discovery import InstalledPlugin
from luminai.host.owners import declared_tables
from luminai.host.purge import PurgeReport, plan_purge, purge
from luminai.host.sources import source_of
from luminai.identity.keys import KeyStore
from luminai.testing import FrozenClock

TABLES = """
    from pathlib import Path
    from luminai import PurgeItem, hookimpl, metadata_for
    from sqlalchemy import Column, ForeignKey, Integer, Table, text

    metadata = metadata_for("ID")
    Table("PREFIXa", metadata, Column("id", Integer, primary_key=True))
    Table("PREFIXb", metadata, Column("id", Integer, primary_key=True), Column("a_id", Integer, ForeignKey("PREFIXa.id")))

    class Plugin:
        @hookimpl
        def models(self):
            return metadata
"""
HOOK = """
        @hookimpl
        async def before_purge(self, ctx, dry_run):
            rows = await ctx.db.read(lambda session: session.execute(text("SELECT count(*) FROM PREFIXb")).scalar_one())
            if not dry_run:
                (ctx.base_dir / "webhook").unlink()
            return [PurgeItem("webhook", f"{rows} rows were there")]
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0001"
    down_revision = None

    def upgrade():
        op.create_table("PREFIXa", sa.Column("id", sa.Integer, primary_key=True))
        key = sa.ForeignKeyConstraint(["a_id"], ["PREFIXa.id"], name="PREFIXb_a_id_fkey")
        op.create_table("PREFIXb", sa.Column("id", sa.Integer, primary_key=True), sa.Column("a_id", sa.Integer), key)
        op.create_index("PREFIXb_a_id_idx", "PREFIXb", ["a_id"])
        op.execute("CREATE VIEW PREFIXv AS SELECT count(*) AS n FROM PREFIXb")
        op.execute("INSERT INTO PREFIXa VALUES (1), (2)")
        op.execute("INSERT INTO PREFIXb VALUES (1, 1), (2, 1), (3, 2)")
        if op.get_bind().dialect.name == "sqlite":
            op.execute("CREATE VIRTUAL TABLE PREFIXsearch USING fts5(body)")
            op.execute("CREATE TRIGGER PREFIXt AFTER INSERT ON PREFIXa BEGIN DELETE FROM PREFIXb; END")
        else:
            op.execute("CREATE SEQUENCE PREFIXnumbers")
            op.execute("CREATE TYPE PREFIXmood AS ENUM ('calm')")
            op.execute("CREATE FUNCTION PREFIXf(a integer) RETURNS integer LANGUAGE sql AS 'SELECT a'")
            op.execute("CREATE MATERIALIZED VIEW PREFIXm AS SELECT * FROM PREFIXv")
"""


class Place:
    """A database and a data folder with two plugins, whose ids are the run's own: PostgreSQL is shared by the run."""

    def __init__(self, url: str, folder: Path, plugins: Any) -> None:
        self.clock = FrozenClock()
        self.url, self.folder, self.data_dir = url, folder, folder / "data"
        self.id = f"old-{uuid4().hex[:6]}"
        self.near = f"{self.id}-s"
        self.installed = [self._make(plugins, self.id, HOOK), self._make(plugins, self.near, "")]
        self.sections: dict[str, Any] = {}
        (folder / "webhook").write_text("somewhere outside")

    @property
    def prefix(self) -> str:
        return f"{self.id.replace('-', '_')}__"

    def _make(self, plugins: Any, name: str, more: str) -> InstalledPlugin:
        def fill(code: str) -> str:
            return code.replace("PREFIX", f"{name.replace('-', '_')}__").replace("ID", name)

        files = {"migrations/versions/0001_first.py": fill(STEP)}
        made: InstalledPlugin = plugins.make(name, fill(TABLES + more), provides='["models"]', manifest="tables = true", files=files)
        return made

    def on(self, work: Any) -> Any:
        async def main() -> Any:
            database = await open_database(self.url, data_dir=self.data_dir, clock=self.clock)
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(main())

    def settle(self) -> None:
        """Let both plugins leave traces everywhere."""

        async def work(database: HubDatabase) -> None:
            await upgrade(database, core_source())
            for table in (subject_keys, master_keys):  # a server's database may hold keys of a test before, whose folder is gone
                await database.write(lambda session, table=table: session.execute(delete(table)) and None)
            for one in self.installed:
                await upgrade(database, source_of(one, declared_tables(one)))
            await database.write(lambda session: _traces(session, self.id, self.clock.now()))
            await database.write(lambda session: _traces(session, self.near, self.clock.now()))
            keys, wishes = KeyStore(database, self.clock), DesiredStore(database, self.clock)
            await keys.create(f"{self.id} laptop", [f"{self.id}:read", f"{self.near}:read", f"other:{self.id}"])
            await keys.create("only", [f"{self.id}:read", f"{self.id}:write"])
            await wishes.set(self.id, True, by="someone")
            await wishes.set(self.near, True, by="someone")
            await wishes.set(self.id, False, by="someone")

        self.on(work)
        for name in (self.id, self.near):
            (self.data_dir / "plugins" / name / "deep").mkdir(parents=True)
            (self.data_dir / "plugins" / name / "deep" / "file.txt").write_text("12345")

    def purge(self, *, dry_run: bool = False, installed: bool = True, plugin: str = "") -> PurgeReport:
        config = Configuration([Layer("file", "config.toml", {"plugins": self.sections}, {}, {})], (), self.folder)
        known = self.installed if installed else []
        report: PurgeReport = self.on(lambda database: purge(database, config, known, plugin or self.id, clock=self.clock, dry_run=dry_run))
        return report

    def refusal(self, **how: Any) -> str:
        with pytest.raises(HubError) as refused:
            self.purge(**how)
        return refused.value.code

    def state(self) -> Any:
        """Return all that both plugins have: rows of tables, rows of the core, files."""

        async def work(database: HubDatabase) -> Any:
            plans = [await plan_purge(database, self.data_dir, self.installed, name) for name in (self.id, self.near)]
            rows = await database.read(lambda session: [repr(session.execute(select(table).order_by(*table.primary_key)).all()) for table in CORE])
            return plans, rows

        return self.on(work)

    def near_state(self) -> Any:
        return self.state()[0][1]


CORE = (events, idempotency, plugin_desired, plugin_changes, repairs_ignored, api_keys)


def _traces(session: Any, name: str, now: datetime) -> None:
    more = {"owner": "", "organisation": "", "key": "", "correlation": "", "causation": "", "generation": 1, "keep": "standard"}
    more |= {"version": 1, "subject": "x", "payload": {"by": name, "text": f"we like {name} much"}, "created_at": now}
    session.execute(insert(events).values(id=f"{name}1", plugin=name, type=f"{name}.done", **more))
    session.execute(insert(events).values(id=uuid4().hex, plugin="elsewhere", type="elsewhere.done", **more))
    session.execute(insert(idempotency).values(scope=f"{name}:user", key="k", fingerprint=b"f", result=b"1", created_at=now))
    session.execute(insert(repairs_ignored).values(id=f"plugin:{name}:import-failed", reason="known", ignored_by="someone", ignored_at=now))


@pytest.fixture
def place(database_url: str, tmp_path: Path, plugins: Any) -> Place:
    """Return a place on each engine."""
    return Place(database_url, tmp_path, plugins)


def test_purge__plugin_that_left_traces_everywhere__is_gone_and_its_neighbour_untouched(place: Place) -> None:
    place.settle()
    near = place.near_state()

    report = place.purge()

    assert report.left == ()
    assert report.removed.tables[f"{place.prefix}b"] == 3
    assert report.removed.tables[f"{place.prefix}alembic_version"] == 1
    assert report.removed.core_rows == {
        "core__api_keys": 2,
        "core__idempotency": 1,
        "core__events": 1,
        "core__plugin_changes": 3,
        "core__plugin_desired": 1,
        "core__repairs_ignored": 1,
    }
    assert report.removed.files == {f"plugins/{place.id}/deep/file.txt": 5}
    assert [(one.name, one.detail) for one in report.outside] == [("webhook", "3 rows were there")]
    assert not (place.folder / "webhook").exists()
    assert not (place.data_dir / "plugins" / place.id).exists()
    mentioned = {one.where for one in report.mentions}
    assert {"core__api_keys.name", "core__events.payload"} <= mentioned
    after = place.near_state()
    assert after.tables == near.tables
    assert after.files == near.files
    assert after.core_rows == near.core_rows
    keys = place.on(lambda database: KeyStore(database, place.clock).list(limit=100))[0]
    ours = {one.name: one for one in keys if one.name in (f"{place.id} laptop", "only")}
    assert ours[f"{place.id} laptop"].scopes == tuple(sorted([f"{place.near}:read", f"other:{place.id}"]))
    assert ours[f"{place.id} laptop"].revoked_at is None
    assert ours["only"].scopes == ()
    assert ours["only"].revoked_at is not None, "a key that may do nothing is ended"
    if place.url:
        assert report.backup == ""
        assert {one.split()[0] for one in report.removed.others} >= {"view", "materialized", "sequence", "type", "function"}
    else:
        with contextlib.closing(sqlite3.connect(report.backup)) as connection:
            assert connection.execute(f"SELECT count(*) FROM {place.prefix}b").fetchone() == (3,)
        assert b"12345" not in (place.data_dir / "hub.sqlite3").read_bytes()
    assert place.on(lambda database: DesiredStore(database, place.clock).at(1)) == {}, "a rollback does not bring it back"


def test_purge__dry_run__changes_nothing_and_lists_rows_and_bytes(place: Place) -> None:
    place.settle()
    before = place.state()

    report = place.purge(dry_run=True)

    assert place.state() == before
    assert report.dry_run
    assert report.removed.tables[f"{place.prefix}a"] == 2
    assert report.removed.files == {f"plugins/{place.id}/deep/file.txt": 5}
    assert [one.name for one in report.outside] == ["webhook"]
    assert (place.folder / "webhook").exists()
    assert not (place.data_dir / "backups").exists()


def test_purge__plugin_no_longer_installed__works_by_its_id_and_a_second_time_finds_nothing(place: Place) -> None:
    place.settle()

    report = place.purge(installed=False)

    assert report.left == ()
    assert report.hook == "it is not installed"
    assert (place.folder / "webhook").exists(), "only the plugin knows what lies outside"
    assert place.refusal(installed=False) == "plugin-not-found"


def test_purge__plugin_is_on__is_refused(place: Place) -> None:
    place.settle()
    before = place.state()
    place.sections = {place.id: {"enabled": True}}
    assert place.refusal() == "plugin-enabled"
    assert place.refusal(dry_run=True) == "plugin-enabled"
    place.sections = {}
    assert place.state() == before
    place.on(lambda database: DesiredStore(database, place.clock).set(place.id, True, by="someone"))
    assert place.refusal() == "plugin-enabled"
    for name in ("core", "hub", "../up", "Bad"):
        assert place.refusal(plugin=name) == "bad-plugin-id"


def test_purge__hook_fails__removes_nothing(place: Place) -> None:
    place.settle()
    (place.folder / "webhook").unlink()
    before = place.state()

    assert place.refusal() == "purge-hook-failed"

    assert place.state() == before


def test_purge__hook_writes_in_a_dry_run__is_stopped_and_named(place: Place, plugins: Any) -> None:
    place.settle()
    package = plugins.root / f"luminai_{place.id.replace('-', '_')}" / "plugin.py"
    package.write_text(package.read_text().replace("ctx.db.read(", "ctx.db.write("))
    sys.modules.pop(f"luminai_{place.id.replace('-', '_')}.plugin")

    report = place.purge(dry_run=True)

    assert report.outside == ()
    assert "A dry run writes nothing" in report.hook


def test_purge__other_tables_refer_to_it__is_refused(place: Place) -> None:
    place.settle()
    table = f"{place.near.replace('-', '_')}__x"

    async def cross(database: HubDatabase) -> None:
        statement = text(f"CREATE TABLE {table} (id INTEGER REFERENCES {place.prefix}a (id))")
        await database.write(lambda session: session.execute(statement) and None)

    place.on(cross)
    assert place.refusal() == "purge-refused"
    assert place.on(lambda database: database.migrate(lambda connection: row_counts(connection, place.prefix)))[f"{place.prefix}a"] == 2


def test_purge__what_it_does_not_know__is_left_and_named(database_url: str, place: Place) -> None:
    place.settle()
    table = f"core__later_{uuid4().hex[:6]}"

    async def add(database: HubDatabase) -> None:
        for statement in (f"CREATE TABLE {table} (target VARCHAR(99))", f"INSERT INTO {table} VALUES ('{place.id}:job')"):
            await database.write(lambda session, statement=statement: session.execute(text(statement)) and None)

    place.on(add)
    try:
        (place.data_dir / f"{place.id}.cache").write_text("x")

        report = place.purge()

        assert {(one.where, one.what) for one in report.left} == {(f"{table}.target", f"{place.id}:job"), ("data folder", f"{place.id}.cache")}
    finally:
        place.on(lambda database: database.write(lambda session: session.execute(text(f"DROP TABLE {table}")) and None))


def test_purge__folder_is_a_link__leaves_what_it_leads_to(place: Place) -> None:
    place.settle()
    target = place.folder / "elsewhere"
    (place.data_dir / "plugins" / place.id).rename(target)
    (place.data_dir / "plugins" / place.id).symlink_to(target)

    assert place.purge().left == ()

    assert (target / "deep" / "file.txt").read_text() == "12345"
    assert not (place.data_dir / "plugins" / place.id).is_symlink()


@pytest.mark.postgres
def test_purge__another_process_has_not_followed__is_refused_until_it_did(postgres_url: str, tmp_path: Path, plugins: Any) -> None:
    place = Place(postgres_url, tmp_path, plugins)
    place.settle()
    node = {"id": uuid4().hex, "name": "far:1", "revision": 0, "generation": 1, "problem": "", "seen_at": place.clock.now()}
    place.on(lambda database: database.write(lambda session: session.execute(insert(nodes).values(**node)) and None))

    assert place.refusal() == "plugin-running"

    place.clock.advance(timedelta(minutes=1).total_seconds())
    assert place.purge().left == (), "a process that fell silent does not count"


RUNNER = "from luminai.cli import main, plugins\nfrom luminai.cli.purge import purge\nplugins.plugins.add_command(purge)\nmain.main()\n"


class Command:
    """The command with ``purge`` in its group, whether or not ``plugins`` names it by itself."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RUNNER, "plugins", "purge", *words]
        return subprocess.run(command, cwd=self.home.folder, env=self.home.env, capture_output=True, text=True, check=False)

    def refusal(self, *words: str) -> tuple[int, str]:
        done = self.run(*words)
        return done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]


def test_command__purges_what_is_off_and_proves_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.data("db", "upgrade")
    command = Command(home)
    assert command.refusal("knowledge", "--yes") == (5, "plugin-enabled")
    (home.folder / "config.toml").write_text(CONFIG.replace("[plugins.knowledge]\nenabled = true", "[plugins.knowledge]\nenabled = false"))
    asked = command.run("knowledge")
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    dry = json.loads(command.run("knowledge", "--dry-run").stdout)
    assert "knowledge__search" in dry["removed"]["tables"]

    done = command.run("knowledge", "--yes")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["left"] == []
    assert Path(report["backup"]).exists()
    assert home.data("db", "verify") == []
    assert command.refusal("knowlegde", "--yes") == (3, "plugin-not-found")

    async def held() -> None:
        database = await open_database("", data_dir=home.folder / "data", clock=FrozenClock())
        try:
            assert command.refusal("chat", "--dry-run") == (5, "database-in-use")
            names = await database.read(lambda session: inspect(session.connection()).get_table_names())
            assert not [name for name in names if name.startswith("knowledge__")]
        finally:
            await database.close()

    asyncio.run(held())
