"""Text of people is never part of a statement: what they write comes back as it was, and finds what it says and nothing more."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from identity.lives import OPEN
from sqlalchemy import func, inspect, select, text

from luminai.data.tables_people import organisations, people
from luminai.testing import HubUnderTest, running_hub

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "'; DROP TABLE core__people; --",
    "' OR '1'='1",
    '" OR ""="',
    "x') UNION SELECT email_digest FROM core__people --",
    "%' OR name LIKE '%",
    "_%\\'",
    "{0} %s :name $1 ?",
    "1; ATTACH DATABASE '/tmp/x' AS x",
    "\\'; SELECT pg_sleep(9); --",
    'NEAR(a b) OR "core',
)
"""Quotes, ends of statements, wildcards, placeholders of every driver, and words of the full-text search."""
BY_HAND = {
    "core/luminai/data": "the database's own machinery: names of the catalogue, quoted",
    "core/luminai/host/purge.py": "a number",
    "core/luminai/work/event_jobs.py": "names that a pattern holds",
    "core/luminai/work/job_figures.py": "constants of this file",
    "core/luminai/work/jobs.py": "constants of this file",
    "plugins/engine-pgqueuer/src/luminai_engine_pgqueuer/engine.py": "the constant name of its schema",
    "plugins/ledger/src/luminai_ledger/migrations": "its own tables",
    "plugins/vectors-pgvector/src/luminai_vectors_pgvector": "the constant name of its schema, and a constant of the file",
    "plugins/vectors-sqlite-vec/src/luminai_vectors_sqlite_vec/file.py": "a column of its own, and the dimension, a number",
}
"""Where statements are put together from text, and of what."""
RUN = {"text", "DDL", "literal_column", "execute", "exec_driver_sql", "executescript", "executemany", "fetch", "fetchval", "fetchrow"}
SECOND = {"driver_rows"}
"""Those whose statement is what they are given second."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of this test alone."""
    found: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return found


async def work(hub: HubUnderTest) -> None:
    operator, ada = hub.client("*"), hub.client("chat:read", "chat:write", "knowledge:read", subject="user_ada")
    for one in HOSTILE:
        made = await ada.request("POST", "/api/chat", json={"message": one})
        assert made.status == 200, made.text
        told = (await ada.request("GET", f"/api/session/{made.json()['session_id']}")).json()
        assert told["chat_history"][0]["content"] == one
        for path in ("audit?action=", "audit?object=", "people?email=", "events?type=", "mail?state=", "jobs?action="):
            found = await operator.request("GET", f"/api/admin/{path}{quote(one, safe='')}")
            assert found.status in (200, 400, 404), (path, found.text)
            assert found.status != 200 or found.json()["items"] == [], f"{path} finds nothing of that name"
        found = await ada.request("GET", f"/api/knowledge/search?q={quote(one, safe='')}")
        assert found.status in (200, 400), found.text
        named = await operator.request("POST", "/api/keys", json={"name": one, "scopes": ["chat:read"]})
        assert (named.status, named.json()["name"]) == (201, one)
        assert (await ada.request("GET", f"/api/session/{quote(one, safe='')}")).status in (400, 404)


@pytest.mark.shows("LK-42", "LW-59", "PX-55", "TL-142b")
def test_hostile_text__in_any_place__is_only_text(url: str) -> None:
    async def main() -> None:
        plugins = ("personas", "resonance", "knowledge", "ai-offline", "chat")
        async with running_hub(*plugins, settings=OPEN, database_url=url) as hub:
            before = await hub.hub.database.read(lambda session: sorted(inspect(session.connection()).get_table_names()))
            await work(hub)
            after = await hub.hub.database.read(lambda session: sorted(inspect(session.connection()).get_table_names()))
            assert before == after
            for table in (people, organisations):
                assert (
                    await hub.hub.database.read(lambda session, table=table: session.execute(select(func.count()).select_from(table)).scalar()) == 0
                )
            assert await hub.hub.database.read(lambda session: session.execute(text("SELECT 1")).scalar()) == 1

    asyncio.run(main())


def built_statements(path: Path) -> Iterator[str]:
    """Yield what a file hands to the database as a statement put together from parts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = node.args[name in SECOND]
            is_built = (
                (isinstance(given, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in given.values))
                or (isinstance(given, ast.BinOp) and isinstance(given.op, ast.Add | ast.Mod))
                or (isinstance(given, ast.Call) and isinstance(given.func, ast.Attribute) and given.func.attr in ("format", "join", "replace"))
            )
            if name in RUN | SECOND and is_built and not ast.unparse(node.func).startswith("st."):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}"


@pytest.mark.shows("LK-42", "LW-59", "PX-55", "TL-142b")
def test_statements__are_put_together_from_text_nowhere_but_where_it_is_nobodys() -> None:
    paths = [*ROOT.glob("core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    found = [one for path in paths for one in built_statements(path)]
    assert [one for one in found if not one.startswith(tuple(BY_HAND))] == []
    assert [place for place in BY_HAND if not any(one.startswith(place) for one in found)] == [], "these are none any more"
