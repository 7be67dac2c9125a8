"""What a role may do with a plugin stands in that plugin's manifest, until an operator writes the role."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from identity.lives import Town, in_town
from sqlalchemy import insert, select

from luminai.data.database import open_database
from luminai.data.migrations import core_source, upgrade
from luminai.data.tables_audit import audit_entries
from luminai.data.tables_people import role_scopes, roles
from luminai.testing import FrozenClock

ADA = "ada@example.org"
SCOPES = '[scopes]\n"notes:read" = "Read"\n"notes:write" = "Write"\n'
GIVEN = SCOPES + '[roles]\nmember = ["notes:*"]\nviewer = ["notes:read"]\nnote-keeper = ["notes:write"]\n'


async def held(town: Town) -> dict[str, list[str]]:
    return {one["name"]: one["scopes"] for one in (await town.operator("GET", "roles")).json()}


def test_roles__follow_the_manifests_until_an_operator_writes_them(plugins: Any) -> None:
    async def work(town: Town) -> None:
        before = {"admin": ["*"], "member": ["notes:*"], "viewer": ["notes:read"], "note-keeper": ["notes:write"], "owner": ["organisation:*"]}
        assert await held(town) == before
        token = (await town.settle_in(ADA))["access_token"]
        assert (await town.ask("GET", "/api/auth/verify", token=token)).json()["scopes"] == ["notes:*"]
        log = (await town.operator("GET", "audit?action=role.follow")).json()["items"]
        assert {(one["object"], one["actor"]) for one in log} == {(name, "hub") for name in ("member", "viewer", "note-keeper")}

        wish = {"title": "Reads", "scopes": ["notes:read"]}
        assert (await town.operator("PUT", "roles/member", wish)).status == 200
        await town.hub.swap("notes")
        await town.hub.swap("notes", enabled=False)
        await town.hub.swap("notes", enabled=True)
        assert await held(town) == before | {"member": ["notes:read"]}, "what an operator wrote stays"
        assert len((await town.operator("GET", "audit?action=role.follow")).json()["items"]) == 3, "nothing is written twice"

    in_town(work, also=[plugins.make("notes", manifest=GIVEN)])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('[roles]\nadmin = ["notes:read"]', "gives scopes to the role 'admin'"),
        ('[roles]\nmember = ["hub:*"]', "gives 'hub:*' to the role 'member'"),
        ('[roles]\nmember = ["chat:read"]', "gives 'chat:read' to the role 'member'"),
        ('[roles]\nmember = ["notes:delete"]', "gives 'notes:delete' to the role 'member'"),
        ('[roles]\nmember = ["*"]', "matching regex"),
        ('[roles]\nMember = ["notes:read"]', "matching regex"),
    ],
)
def test_manifest__that_gives_what_is_not_its_own__is_refused(plugins: Any, given: str, said: str) -> None:
    assert said in plugins.make("notes", manifest=SCOPES + given).problem


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_database(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of an empty database of PostgreSQL."""
    url: str = request.getfixturevalue("empty_postgres_url") if request.param == "postgresql" else ""
    return url


def test_roles__of_an_existing_database__follow_unless_somebody_wrote_them(own_database: str, data_dir: Path) -> None:
    """A database from before plugins said it: ``member`` as it came with the hub, ``viewer`` written by an operator."""

    async def work() -> dict[str, Any]:
        database = await open_database(own_database, data_dir=data_dir, clock=FrozenClock())
        try:
            source = core_source()
            await upgrade(database, source, to="0011")

            def earlier(session: Any) -> None:
                session.execute(insert(role_scopes).values(role="member", plugin_id="chat", verb="*"))
                entry = {"id": "aud_1", "at": FrozenClock().now(), "retention": "90d", "digest": b"", "action": "role.write", "object": "viewer"}
                session.execute(insert(audit_entries).values(**entry))

            await database.write(earlier)
            await upgrade(database, source)
            rows = await database.read(lambda session: session.execute(select(roles.c.id, roles.c.follows_plugins)).all())
            scopes = await database.read(lambda session: session.execute(select(role_scopes.c.role, role_scopes.c.plugin_id)).all())
            return {"roles": {name: bool(follows) for name, follows in rows}, "scopes": {tuple(row) for row in scopes}}
        finally:
            await database.close()

    found = asyncio.run(work())
    assert found["roles"] == {"admin": False, "member": True, "owner": True, "viewer": False}
    assert found["scopes"] == {("admin", "*"), ("member", "chat"), ("owner", "organisation")}
