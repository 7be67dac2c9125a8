"""PostgreSQL itself keeps the rows of owners apart, with two roles as ``luminai db roles`` makes them: one owns the tables, one serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from permissions import notes_plugin
from postgres_roles import SERVING, Roles, asked, two_roles
from sqlalchemy import text

from luminai.testing import running_hub

pytestmark = pytest.mark.postgres
asyncpg = pytest.importorskip("asyncpg")
CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat")


@pytest.fixture
def roles(own_postgres_url: str, tmp_path: Path) -> Iterator[Roles]:
    with two_roles(own_postgres_url, tmp_path) as made:
        yield made


def seeded(plugins: Any, roles: Roles, work: Callable[[Any], Awaitable[Any]] | None = None) -> Any:
    """Migrate as the owner, add rows of ann and bob, and run ``work(hub)`` on a hub that serves as the other role."""

    async def main() -> Any:
        plugin = notes_plugin.make(plugins)
        async with running_hub("notes", installed=[plugin], database_url=roles.as_owner) as hub:
            assert (await hub.client("notes:*", subject="operator").request("POST", "/api/notes/seed")).status == 201
        if work is not None:
            async with running_hub("notes", installed=[plugin], database_url=roles.as_app, settings=SERVING) as hub:
                return await work(hub)
        return None

    return asyncio.run(main())


COUNT, SECRET = "SELECT count(*) FROM notes__notes", "SELECT text FROM notes__notes WHERE id = 2"
STEAL = "UPDATE notes__notes SET text = 'taken' WHERE id = 2 RETURNING id"
INSERT = "INSERT INTO notes__notes (id, subject, text) VALUES (3, 'bob', 'x') RETURNING id"
GIVE = "UPDATE notes__notes SET subject = 'bob' WHERE id = 1 RETURNING id"


@pytest.mark.parametrize("role", ["as_app", "as_owner"])
def test_server__without_the_hub__shows_and_takes_only_rows_of_the_subject(plugins, roles: Roles, role: str) -> None:
    seeded(plugins, roles)
    url = getattr(roles, role)

    assert asked(url, COUNT) == [0]
    assert asked(url, COUNT, subject="") == [0]
    assert asked(url, COUNT, SECRET, STEAL, subject="ann") == [1, None, None]
    assert asked(url, INSERT, subject="ann") == ["42501"]
    assert asked(url, GIVE, subject="ann") == ["42501"]
    assert asked(url, COUNT, SECRET, INSERT, subject="bob") == [1, "secret of bob", 3]
    assert asked(roles.superuser, COUNT) == [3]


def test_app_role__cannot_take_the_policy_away(plugins, roles: Roles) -> None:
    seeded(plugins, roles)

    for statement in (
        "ALTER TABLE notes__notes NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE notes__notes DISABLE ROW LEVEL SECURITY",
        "DROP POLICY luminai_owner ON notes__notes",
        "CREATE TABLE notes__more (id int)",
    ):
        assert asked(roles.as_app, statement) == ["42501"]
    assert asked(roles.as_app, "SET row_security = off", COUNT) == [None, "42501"]


def test_hub__serving_as_the_app_role__works_and_nothing_stays_on_a_pooled_connection(plugins, roles: Roles) -> None:
    settings = "current_setting('luminai.subject', true), current_setting('luminai.system', true)"

    async def work(hub: Any) -> Any:
        ann, bob, nobody = hub.client("notes:*", subject="ann"), hub.client("notes:*", subject="bob"), hub.client()

        async def read(client: Any, subject: str, way: str) -> Any:
            return (await client.request("GET", "/api/notes", query={"subject": subject, "way": way})).json()

        mixed = [read(ann, "ann", "read"), read(bob, "bob", "stream"), read(nobody, "bob", "all"), read(bob, "bob", "task")] * 30
        answers = await asyncio.gather(*mixed)
        engine = hub.hub.database._engine._engine  # the pool's own connections are what this is about

        async def left() -> tuple[Any, ...]:
            async with engine.connect() as connection:
                row = (await connection.execute(text(f"SELECT {settings}, (SELECT count(*) FROM notes__notes)"))).one()
                await asyncio.sleep(0)
                return tuple(row)

        return answers, await asyncio.gather(*(left() for _ in range(40)))

    answers, left = seeded(plugins, roles, work)

    assert answers == [["a"], ["secret of bob"], ["a", "secret of bob"], ["secret of bob"]] * 30
    assert {(subject or "", system or "", rows) for subject, system, rows in left} == {("", "", 0)}


def test_chat__on_two_roles__keeps_conversations_and_survives_backup_and_restore(roles: Roles, tmp_path: Path) -> None:
    async def fill() -> None:
        async with running_hub(*CHAT, folder=roles.home.folder, database_url=roles.as_owner):
            pass
        async with running_hub(*CHAT, folder=roles.home.folder, database_url=roles.as_app, settings=SERVING) as hub:
            for name in ("ann", "bob"):
                answer = await hub.client("chat:write", subject=name).request("POST", "/api/chat", json={"message": f"Hello from {name}"})
                assert answer.status == 200

    async def titles(url: str) -> list[list[str]]:
        async with running_hub(*CHAT, folder=roles.home.folder, database_url=url) as hub:
            clients = [hub.client("chat:read", subject=name) for name in ("ann", "bob", "eve")]
            return [[item["title"] for item in (await client.request("GET", "/api/sessions")).json()["items"]] for client in clients]

    asyncio.run(fill())
    assert [
        asked(roles.as_app, f"SELECT count(*) FROM {table}", subject="ann") for table in ("chat__sessions", "chat__messages", "chat__resonance")
    ] == [
        [1],
        [2],
        [1],
    ]
    roles.home.env["DATABASE_URL"] = roles.as_owner
    assert roles.home.run("db", "verify").returncode == 0
    archive = str(tmp_path / "two.luminai-backup")
    roles.home.data("backup", "create", "--to", archive)
    other = f"luminai_test_{uuid4().hex[:12]}"
    roles.script(f"CREATE DATABASE {other} OWNER {roles.owner}")
    try:
        restored = roles.as_owner.rpartition("/")[0] + f"/{other}"
        roles.home.env["DATABASE_URL"] = restored
        roles.home.data("backup", "restore", archive)
        assert asyncio.run(titles(restored)) == [["Hello from ann"], ["Hello from bob"], []]
        assert asked(restored, "SELECT count(*) FROM chat__messages") == [0]
    finally:
        roles.script(f"DROP DATABASE {other} WITH (FORCE)")


def test_verify__an_owned_table_without_a_policy__is_found(plugins, roles: Roles) -> None:
    async def work(url: str) -> list[str]:
        import luminai_chat.models
        from luminai.data.database import open_database
        from luminai.data.drift import differences
        from luminai.data.migrations import MigrationSource
        from luminai.telemetry.clock import SystemClock

        versions = Path(luminai_chat.models.__file__).parent / "migrations" / "versions"
        source = MigrationSource(owner_id="chat", table_prefix="chat__", versions_dir=versions, metadata=luminai_chat.models.metadata)
        database = await open_database(url, data_dir=roles.home.folder, clock=SystemClock())
        try:
            return await database.migrate(lambda connection: differences(connection, source))
        finally:
            await database.close()

    async def migrate() -> None:
        async with running_hub(*CHAT, folder=roles.home.folder, database_url=roles.as_owner):
            pass

    asyncio.run(migrate())
    assert asyncio.run(work(roles.as_owner)) == []
    asked(roles.as_owner, "ALTER TABLE chat__messages NO FORCE ROW LEVEL SECURITY")
    assert asyncio.run(work(roles.as_owner)) == [
        "table chat__messages has owners, and no policy keeps them apart: a step must call enable_owner_policy"
    ]
