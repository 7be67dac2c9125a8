"""What becomes of an organisation's rows: operators, deletion, erasure, another hub, and PostgreSQL's own eyes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from home import Home
from identity.lives import OPEN, PASSWORD, Town
from permissions import boards_plugin
from permissions.test_organisations import ZEROS, Person, code, in_place, join, settle
from permissions.test_row_security import SERVING, Roles, asked, roles  # noqa: F401 - a fixture
from sqlalchemy import text

from luminai.testing import FrozenClock, running_hub


async def count(town: Town, table: str) -> int:
    found: int = await town.hub.hub.database.read(lambda session: session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    return found


def test_organisation__deleted__takes_its_rows_along_and_no_others(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person, dan: Person) -> None:
        blue, red = await ann.found("Blue"), await dan.found("Red")
        await join(ann, bob, blue, "member")
        for who, place in ((ann, blue), (bob, blue), (dan, red)):
            await who.enter(place)
            assert (await who.ask("POST", "boards/cards", {"text": "mine"})).status == 201
        assert (await ann.ask("POST", f"organisations/{blue}/invitations", {"email": "friend@example.org"})).status == 201

        path = f"organisations/{blue}"
        assert code(await bob.ask("DELETE", f"{path}?confirm=true")) == (403, "missing-scope")
        refused = await ann.ask("DELETE", path)
        assert code(refused) == (409, "organisation-not-empty")
        assert "2 members and 4 rows in 2 tables" in refused.json()["detail"]
        done = await ann.ask("DELETE", f"{path}?confirm=true")
        assert (done.status, done.json()["rows"]) == (200, {"boards__cards": 2, "boards__drafts": 2})
        assert await dan.get("boards/cards") == ["mine"]
        counts = [await count(town, table) for table in ("boards__cards", "boards__drafts", "core__organisations", "core__invitations")]
        assert counts == [1, 1, 1, 0]
        assert (await ann.state())[0] == (await bob.state())[0] == ""
        assert code(await ann.ask("GET", path)) == (404, "organisation-not-found")

        green = await ann.found("Green")
        assert (await ann.ask("DELETE", f"organisations/{green}")).status == 200, "an empty one needs no confirmation"

    in_place(plugins, own_database, work, ("ann", "bob", "dan"))


def test_operators__see_all_organisations_and_help_where_nobody_owns_one(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person) -> None:
        made = (await town.operator("POST", "organisations", {"name": "Blue", "owner": ann.id})).json()
        assert made["roles"] == ["member", "owner"]
        blue = made["id"]
        red = await bob.found("Red")
        first = (await town.operator("GET", "organisations?limit=1")).json()
        rest = (await town.operator("GET", f"organisations?limit=1&cursor={first['next_cursor']}")).json()
        assert [(one["id"], one["members"], one["owners"]) for one in first["items"] + rest["items"]] == [(red, 1, 1), (blue, 1, 1)]
        assert code(await bob.ask("GET", "admin/organisations")) == (403, "missing-scope")

        of = f"organisations/{blue}/members/{bob.id}"
        assert (await town.operator("PUT", f"{of}/roles", {"roles": ["viewer"]})).json()["email"] == bob.email
        assert [one["id"] for one in (await bob.get("organisations"))["items"]] == [red, blue]
        clerk = town.hub.client("hub:people", subject="clerk")
        answer = await clerk.request("PUT", f"/api/admin/{of}/roles", json={"roles": ["owner"]})
        assert code(answer) == (403, "role-beyond-own")
        assert code(await town.operator("PUT", f"organisations/{blue}/members/{ann.id}/roles", {"roles": ["member"]})) == (409, "last-owner")
        assert code(await town.operator("PUT", f"organisations/{blue}/members/usr_{ZEROS}/roles", {"roles": ["member"]})) == (404, "person-not-found")
        assert (await town.operator("PATCH", f"organisations/{blue}", {"name": "Grey"})).json()["name"] == "Grey"
        assert (await town.operator("DELETE", of)).status == 204
        assert code(await town.operator("DELETE", of)) == (404, "member-not-found")

        assert (await town.operator("POST", f"privacy/{ann.id}/erase", {"confirm": ann.id})).status == 200
        assert [one["name"] for one in (await town.operator("GET", "organisations")).json()["items"]] == ["Red"], "nobody was left in it"
        deeds = (await town.operator("GET", "audit?action=organisation.&limit=50")).json()["items"]
        assert {one["action"] for one in deeds} >= {"organisation.create", "organisation.roles", "organisation.rename", "organisation.remove"}

    in_place(plugins, own_database, work, ("ann", "bob"))


def test_erasure_and_export__know_memberships_and_invitations(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person) -> None:
        blue, own = await ann.found("Blue"), await bob.found("Bob's own")
        await join(ann, bob, blue, "member", "owner")
        for place in (blue, own):
            await bob.enter(place)
            assert (await bob.ask("POST", "boards/cards", {"text": "mine"})).status == 201
        assert (await bob.ask("POST", f"organisations/{blue}/invitations", {"email": "friend@example.org"})).status == 201
        assert (await ann.ask("POST", f"organisations/{blue}/invitations", {"email": "late@example.org"})).status == 201
        late = await settle(town, "late")

        items = (await bob.ask("POST", "users/me/export")).json()["items"]
        names = [one["name"] for one in items if one["owner"] == "core"]
        assert (names.count("memberships"), names.count("invitations")) == (5, 1)
        invitation = next(one["data"] for one in items if one["name"] == "invitations")
        assert {"email", "email_digest", "token_digest"} <= set(invitation["withheld"])

        assert (await town.operator("POST", f"privacy/{late.id}/erase", {"confirm": late.id})).status == 200
        assert await count(town, "core__invitations") == 1, "an invitation from before there was an account"
        done = await town.operator("POST", f"privacy/{bob.id}/erase", {"confirm": bob.id})
        assert (done.status, done.json()["left"]) == (200, {})
        assert await count(town, "core__invitations") == 0
        assert await count(town, "boards__cards") == 1, "what is the organisation's stays while somebody is in it"
        assert await count(town, "boards__drafts") == 0
        assert [one["id"] for one in (await town.operator("GET", "organisations")).json()["items"]] == [blue]
        assert [one["id"] for one in (await ann.get(f"organisations/{blue}/members"))["items"]] == [ann.id]

    in_place(plugins, own_database, work, ("ann", "bob"))


def test_harness__acts_for_an_organisation(plugins) -> None:
    async def main() -> list[Any]:
        async with running_hub("boards", installed=[boards_plugin.make(plugins)]) as hub:
            one, two = [hub.client("boards:*", organisation=name) for name in ("org_a", "org_b")]
            assert (await one.request("POST", "/api/boards/cards", json={"text": "x"})).status == 201
            return [(await client.request("GET", "/api/boards/cards")).json() for client in (one, two)]

    assert asyncio.run(main()) == [["x"], []]


def test_why__tells_whose_an_organisations_row_is(plugins) -> None:
    async def work(town: Town, ann: Person, bob: Person) -> None:
        blue = await ann.found("Blue")
        await ann.enter(blue)
        card = (await ann.ask("POST", "boards/cards", {"text": "mine"})).json()["id"]
        told = {}
        for who in (ann, bob):
            asked_for = {"actor": who.id, "action": "boards:read", "object": card}
            told[who.email] = (await town.hub.client("hub:people").request("GET", "/api/admin/permissions/why", query=asked_for)).json()
        assert (told[ann.email]["allowed"], told[bob.email]["allowed"], told[bob.email]["code"]) == (True, False, "not-found")
        assert f"belongs to {blue}: only sessions that act for it" in told[ann.email]["reasons"][-1]["detail"]
        assert f"belongs to {blue}, not to {bob.id}" in told[bob.email]["reasons"][-1]["detail"]

    in_place(plugins, "", work, ("ann", "bob"))


@pytest.mark.postgres
def test_membership__ended_on_one_hub__is_over_on_another_within_5_s(plugins, own_postgres_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        clock, plugin = FrozenClock(), boards_plugin.make(plugins)
        given = {"settings": OPEN, "clock": clock, "database_url": own_postgres_url, "folder": tmp_path, "installed": [plugin]}
        async with running_hub("boards", **given) as one, running_hub("boards", **given) as two:
            town = Town(one, clock)
            ann, bob = await settle(town, "ann"), await settle(town, "bob")
            blue = await ann.found("Blue")
            invited = (await ann.ask("POST", f"organisations/{blue}/invitations", {"email": bob.email})).json()
            assert (await bob.ask("POST", "invitations/accept", {"token": invited["token"]})).status == 200
            await bob.enter(blue)
            away = Person(Town(two, clock), bob.email, bob.id, bob.token)
            assert (await ann.ask("POST", "organisations", {"name": "Another"})).status == 201
            assert await away.get("boards/cards") == []
            assert (await ann.ask("DELETE", f"organisations/{blue}/members/{bob.id}")).status == 204
            assert code(await bob.ask("GET", "boards/cards")) == (403, "organisation-needed")
            clock.advance(5)
            assert code(await away.ask("GET", "boards/cards")) == (403, "organisation-needed")

    asyncio.run(main())


@pytest.mark.postgres
def test_server__shows_and_takes_only_rows_of_the_organisation(plugins, roles: Roles) -> None:  # noqa: F811 - the fixture
    plugin = boards_plugin.make(plugins)

    async def main(*statements: str) -> list[str]:
        from luminai.data.drift import differences
        from luminai.data.migrations import MigrationSource

        async with running_hub("boards", installed=[plugin], database_url=roles.as_owner) as hub:
            from luminai_boards import models

            versions = Path(plugin.package_dir) / "migrations" / "versions"
            source = MigrationSource(owner_id="boards", table_prefix="boards__", versions_dir=versions, metadata=models.metadata)
            await hub.hub.database.write(lambda session: [session.execute(text(one)) for one in statements] and None)
            return await hub.hub.database.migrate(lambda connection: differences(connection, source))

    cards = "INSERT INTO boards__cards VALUES ('1', 'org_a', 'x'), ('2', 'org_b', 'secret')"
    drafts = "INSERT INTO boards__drafts VALUES ('1', 'ann', 'org_a'), ('2', 'bob', 'org_a'), ('3', 'ann', 'org_b')"
    assert asyncio.run(main(cards, drafts)) == []
    enter = "SELECT set_config('luminai.organisation', 'org_a', true)"
    steal = "UPDATE boards__cards SET text = 'taken' WHERE id = '2' RETURNING id"
    for url in (roles.as_app, roles.as_owner):
        assert asked(url, "SELECT count(*) FROM boards__cards", subject="ann") == [0]
        told = asked(url, enter, "SELECT count(*) FROM boards__cards", "SELECT text FROM boards__cards WHERE id = '2'", steal, subject="ann")
        assert told == ["org_a", 1, None, None]
        assert asked(url, enter, "INSERT INTO boards__cards VALUES ('3', 'org_b', 'x')", subject="ann") == ["org_a", "42501"]
        assert asked(url, enter, "UPDATE boards__cards SET organisation = 'org_b' RETURNING id", subject="ann") == ["org_a", "42501"]
        assert asked(url, "SELECT count(*) FROM boards__drafts", enter, "SELECT count(*) FROM boards__drafts", subject="ann") == [0, "org_a", 1]
    mine = "subject = nullif(current_setting('luminai.subject', true), '')"
    asked(roles.as_owner, "DROP POLICY luminai_owner ON boards__drafts")
    asked(roles.as_owner, f"CREATE POLICY luminai_owner ON boards__drafts USING ({mine}) WITH CHECK ({mine})")
    assert asyncio.run(main("SELECT 1")) == ["table boards__drafts has owners, and no policy keeps them apart: a step must call enable_owner_policy"]


@pytest.mark.postgres
def test_hub__serving_as_the_app_role__works_with_organisations(plugins, roles: Roles) -> None:  # noqa: F811 - the fixture
    plugin = boards_plugin.make(plugins)
    settings = OPEN | SERVING | {"identity": OPEN["identity"] | {"verify-email": "off"}}

    async def main() -> None:
        clock = FrozenClock()
        async with running_hub("boards", installed=[plugin], database_url=roles.as_owner, folder=roles.home.folder):
            pass
        async with running_hub(
            "boards", installed=[plugin], database_url=roles.as_app, folder=roles.home.folder, settings=settings, clock=clock
        ) as hub:
            town = Town(hub, clock)
            ann, bob = await settle(town, "ann"), await settle(town, "bob")
            blue, red = await ann.found("Blue"), await bob.found("Red")
            invited = (await ann.ask("POST", f"organisations/{blue}/invitations", {"email": bob.email})).json()
            assert (await bob.ask("POST", "invitations/accept", {"token": invited["token"]})).status == 200
            for who, place in ((ann, blue), (bob, red)):
                await who.enter(place)
                assert (await who.ask("POST", "boards/cards", {"text": who.email})).status == 201
            assert (await ann.get("boards/cards"), await bob.get("boards/cards")) == ([ann.email], [bob.email])
            await bob.enter(blue)
            assert await bob.get("boards/cards") == [ann.email]
            assert (await ann.ask("DELETE", f"organisations/{blue}/members/{bob.id}")).status == 204
            assert (await ann.ask("DELETE", f"organisations/{blue}?confirm=true")).json()["rows"] == {"boards__cards": 1, "boards__drafts": 1}
            assert code(await bob.ask("GET", "boards/cards")) == (403, "organisation-needed")

    asyncio.run(main())


def test_command__makes_shows_and_deletes_organisations(served: Home) -> None:
    for name in ("ann", "bob"):
        made = served.data("people", "invite", f"{name}@example.org")
        if name == "ann":
            assert served.refusal("organisations", "create", "Blue", "--owner", "ann@example.org")[1] == "person-not-active"
        body = json.dumps({"token": made["token"], "password": PASSWORD}).encode()
        urlopen(Request(f"{served.env['LUMINAI_URL']}/api/auth/password/reset", body, {"content-type": "application/json"})).close()  # noqa: S310
    assert "Nothing." in served.run("--output", "table", "organisations", "list").stdout
    blue = served.data("organisations", "create", "Blue", "--owner", "ann@example.org")["id"]
    assert served.data("organisations", "rename", blue, "Grey")["name"] == "Grey"
    assert served.data("organisations", "give", blue, "bob@example.org", "member", "owner")["roles"] == ["member", "owner"]
    assert {one["email"] for one in served.data("organisations", "members", blue)} == {"ann@example.org", "bob@example.org"}
    assert served.data("organisations", "show", blue)["owners"] == 2
    assert served.run("organisations", "remove", blue, "ann@example.org").returncode == 0
    assert served.refusal("organisations", "remove", blue, "bob@example.org")[1] == "last-owner"
    assert re.search(r"Grey +1 +1", served.run("--output", "table", "organisations", "list").stdout)
    served.data("organisations", "give", blue, "ann@example.org", "viewer")
    assert served.refusal("organisations", "delete", blue)[1] == "organisation-not-empty"
    assert served.data("organisations", "delete", blue, "--yes")["members"] == 2
    assert served.refusal("organisations", "show", blue)[1] == "organisation-not-found"
