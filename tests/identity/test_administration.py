"""Operators and rights: what is taken away is gone at once, and nobody gives what he does not hold."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.lives import PASSWORD, Town, in_town
from sqlalchemy import Table, delete, insert, update
from sqlalchemy.orm import Session

from luminai.contracts.identity import Actor
from luminai.data import tables_organisations, tables_people
from luminai.data.database import open_database
from luminai.data.drift import differences
from luminai.data.migrations import core_source, upgrade
from luminai.data.tables_people import memberships, sessions
from luminai.identity.roles import within
from luminai.testing import FrozenClock

ADA = "ada@example.org"


async def person_with(town: Town, email: str, *scopes: str) -> Any:
    """Register somebody who holds a role with these scopes."""
    signed = await town.settle_in(email)
    name = f"role-{len(scopes)}-{abs(hash(scopes)) % 10_000}"
    made = await town.operator("PUT", f"roles/{name}", {"title": "Made by a test", "scopes": list(scopes)})
    assert made.status == 200, made.text
    given = await town.operator("PUT", f"people/{signed['person']['id']}/roles", {"roles": [name]})
    assert given.status == 200, given.text
    return signed


@pytest.mark.shows("PX-28")
def test_person__suspended__is_out_at_once_with_everything_he_holds() -> None:
    async def work(town: Town) -> None:
        signed = await person_with(town, ADA, "hub:keys")
        token, person = signed["access_token"], signed["person"]["id"]
        key = (await town.ask("POST", "/api/keys", {"name": "mine", "scopes": ["hub:keys"]}, token=token)).json()["key"]
        assert await town.holds(token)
        assert (await town.ask("GET", "/api/keys", token=key)).status == 200

        shown = (await town.operator("POST", f"people/{person}/suspend")).json()
        assert shown["status"] == "suspended"
        assert not await town.holds(token)
        assert (await town.ask("GET", "/api/keys", token=key)).status == 401
        refused = await town.try_login(ADA)
        assert (refused.status, refused.json()["code"]) == (403, "account-suspended")
        assert (await town.post("refresh", {"refresh_token": signed["refresh_token"]})).status == 401

        assert (await town.operator("POST", f"people/{person}/restore")).json()["status"] == "active"
        assert not await town.holds(token), "sessions that were ended stay ended"
        assert await town.holds((await town.login(ADA))["access_token"])
        assert (await town.ask("GET", "/api/keys", token=key)).status == 200

    in_town(work)


@pytest.mark.shows("TL-26")
def test_rights__taken_from_a_person__are_gone_from_sessions_and_keys_at_once() -> None:
    async def work(town: Town) -> None:
        signed = await person_with(town, ADA, "hub:keys", "hub:audit")
        token = signed["access_token"]
        made = (await town.ask("POST", "/api/keys", {"name": "mine", "scopes": ["hub:*"]}, token=token)).json()
        assert made["code"] == "scope-beyond-own"
        key = (await town.ask("POST", "/api/keys", {"name": "mine", "scopes": ["hub:keys", "hub:audit"]}, token=token)).json()["key"]
        assert (await town.ask("GET", "/api/admin/audit", token=key)).status == 200
        await person_with(town, "other@example.org", "hub:keys")
        assert (await town.operator("PUT", f"people/{signed['person']['id']}/roles", {"roles": ["role-1-x"]})).json()["code"] == "role-not-found"
        kept = (await town.operator("GET", "people?email=other@example.org")).json()["items"][0]["roles"]
        assert (await town.operator("PUT", f"people/{signed['person']['id']}/roles", {"roles": kept})).status == 200
        for credential in (token, key):
            assert (await town.ask("GET", "/api/admin/audit", token=credential)).status == 403
            assert (await town.ask("GET", "/api/keys", token=credential)).status == 200

    in_town(work)


def test_nobody__gives_takes_or_suspends_rights_that_he_does_not_hold() -> None:
    async def work(town: Town) -> None:
        clerk = await person_with(town, "clerk@example.org", "hub:people")
        chief = await person_with(town, "chief@example.org", "*")
        token, above, own = clerk["access_token"], chief["person"]["id"], clerk["person"]["id"]
        tries: list[tuple[str, str, Any]] = [
            ("PUT", f"people/{own}/roles", {"roles": ["admin"]}),
            ("PUT", f"people/{above}/roles", {"roles": []}),
            ("POST", f"people/{above}/suspend", None),
            ("POST", "people", {"email": "friend@example.org", "roles": ["admin"]}),
            ("PUT", "roles/viewer", {"title": "Reads", "scopes": ["hub:audit"]}),
            ("PUT", "roles/new", {"title": "New", "scopes": ["*"]}),
        ]
        for method, path, body in tries:
            answer = await town.ask(method, f"/api/admin/{path}", body, token=token)
            assert (answer.status, answer.json()["code"]) == (403, "role-beyond-own"), path
        assert (await town.operator("GET", "people?email=friend@example.org")).json()["items"] == []
        fixed = await town.operator("PUT", "roles/admin", {"title": "None", "scopes": []})
        assert (fixed.status, fixed.json()["code"]) == (409, "role-fixed")
        unknown = await town.operator("PUT", "roles/new", {"title": "New", "scopes": ["hub:nothing"]})
        assert unknown.json()["code"] == "unknown-scope"
        assert await town.holds(chief["access_token"])

    in_town(work)


def test_membership__in_an_organisation__counts_once_confirmed_and_never_over_the_hub(plugins: Any) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        row = {"person_id": signed["person"]["id"], "organisation_id": "org_1", "role": "admin", "created_at": town.clock.now()}
        role = {"title": "Audits", "scopes": ["hub:audit"]}
        assert (await town.operator("PUT", "roles/auditor", role)).status == 200
        found = []
        for status in ("invited", "suspended", "confirmed"):

            def unit(session: Session, status: str = status) -> None:
                session.execute(delete(memberships).where(memberships.c.organisation_id == "org_1"))
                session.execute(insert(memberships), [row | {"status": status, "role": name} for name in ("admin", "auditor", "viewer")])
                session.execute(update(sessions).values(organisation_id="org_1"))

            await town.hub.hub.database.write(unit)
            town.clock.advance(5)
            state = (await town.ask("GET", "/api/auth/verify", token=signed["access_token"])).json()
            found.append((state["organisation"], state["scopes"]))
        plain = ["notes:write"]
        assert found == [("", plain), ("", plain), ("org_1", ["notes:read"])], "within it only the roles there count"

        in_hub = memberships.c.organisation_id == "hub"
        await town.hub.hub.database.write(lambda session: session.execute(update(memberships).where(in_hub).values(status="suspended")) and None)
        town.clock.advance(5)
        state = (await town.ask("GET", "/api/auth/verify", token=signed["access_token"])).json()
        assert state["scopes"] == ["notes:read"]

    notes = '[scopes]\n"notes:read" = "Read"\n"notes:write" = "Write"\n[roles]\nmember = ["notes:write"]\nviewer = ["notes:read"]'
    in_town(work, also=[plugins.make("notes", manifest=notes)])


def test_first_person__is_no_administrator() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        state = (await town.ask("GET", "/api/auth/verify", token=signed["access_token"])).json()
        assert not [scope for scope in state["scopes"] if scope == "*" or scope.startswith("hub:")]
        for path in ("people", "roles", "identity/keys", f"people/{signed['person']['id']}"):
            assert (await town.ask("GET", f"/api/admin/{path}", token=signed["access_token"])).status == 403

    in_town(work)


def test_people__are_paged_and_found_by_their_whole_address_alone() -> None:
    async def work(town: Town) -> None:
        for count in range(3):
            await town.register(f"p{count}@example.org", PASSWORD)
        first = (await town.operator("GET", "people?limit=2")).json()
        rest = (await town.operator("GET", f"people?limit=2&cursor={first['next_cursor']}")).json()
        assert [one["email"] for one in first["items"] + rest["items"]] == [f"p{count}@example.org" for count in (2, 1, 0)]
        assert rest["next_cursor"] is None
        found = (await town.operator("GET", "people?email=P1@EXAMPLE.org")).json()["items"]
        assert [one["email"] for one in found] == ["p1@example.org"]
        assert (await town.operator("GET", "people?email=p1")).json()["items"] == []
        assert (await town.operator("GET", "people?status=suspended")).json()["items"] == []
        assert (await town.operator("GET", f"people/usr_{'0' * 32}")).json()["code"] == "person-not-found"

    in_town(work)


def test_key__asked_for_what_only_people_have__says_so() -> None:
    async def work(town: Town) -> None:
        key = (await town.hub.client("*").request("POST", "/api/keys", json={"name": "k", "scopes": ["*"]})).json()["key"]
        assert (await town.ask("GET", "/api/auth/verify", token=key)).json()["session"] == ""
        for method, path in (("GET", "/api/users/profile"), ("GET", "/api/auth/sessions"), ("POST", "/api/auth/totp/enrol")):
            answer = await town.ask(method, path, token=key)
            assert (answer.status, answer.json()["code"]) == (403, "not-a-session")

    in_town(work)


@pytest.mark.shows("TL-128a")
def test_deeds_of_a_person__stand_in_the_audit_log__without_what_was_written() -> None:
    async def work(town: Town) -> None:
        signed, phone, other = await town.settle_in(ADA), await town.login(ADA), await town.login(ADA)
        person, token = signed["person"]["id"], signed["access_token"]
        await town.ask("PATCH", "/api/users/profile", {"name": "Canary", "preferences": {"theme": "dark"}}, token=token)
        for _ in range(2):
            assert (await town.ask("DELETE", f"/api/auth/sessions/{phone['session']}", token=token)).status == 204
            assert (await town.ask("DELETE", "/api/auth/sessions", token=token)).status == 204
        assert (await town.post("logout", {"refresh_token": signed["refresh_token"]}, token=token)).status == 204
        entries = (await town.hub.client("*").request("GET", "/api/admin/audit?limit=50")).json()["items"]
        here = signed["session"]
        assert [(one["action"], one["actor"], one["object"]) for one in entries] == [
            ("session.end", here, here),
            ("session.end-others", here, here),
            ("session.end", here, phone["session"]),
            ("person.profile", here, person),
            *(("session.open", one, one) for one in (other["session"], phone["session"], here)),
            ("person.register", "anonymous", person),
        ]
        assert {one["subject"] for one in entries} == {person}
        assert entries[3]["detail"] == {"changed": ["name", "preferences"]}
        assert "Canary" not in repr(entries)

    in_town(work)


def test_deeds__stand_in_the_audit_log_with_who_and_whom() -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        person = signed["person"]["id"]
        await town.operator("POST", f"people/{person}/suspend")
        await town.operator("POST", f"people/{person}/restore")
        await town.operator("PUT", f"people/{person}/roles", {"roles": ["viewer"]})
        await town.operator("POST", "identity/rotate-keys")
        entries = (await town.hub.client("*").request("GET", "/api/admin/audit?limit=50")).json()["items"]
        found = [(one["action"], one["subject"]) for one in entries if one["action"].partition(".")[0] in ("person", "session", "signing-key")]
        deeds = ["person.roles", "person.restore", "person.suspend", "session.open", "person.register"]
        assert found == [("signing-key.rotate", ""), *((deed, person) for deed in deeds)]

    in_town(work)


def test_tables__after_the_migration__are_those_of_the_code(database_url: str, data_dir: Path) -> None:
    async def work() -> None:
        database = await open_database(database_url, data_dir=data_dir, clock=FrozenClock())
        try:
            source = core_source()
            await upgrade(database, source)
            found = await database.migrate(lambda connection: (differences(connection, source), connection.rollback())[0])
        finally:
            await database.close()
        mine = [one.name for module in (tables_people, tables_organisations) for one in vars(module).values() if isinstance(one, Table)]
        assert len(mine) == 17
        assert [one for one in found if any(name in one for name in mine)] == []

    asyncio.run(work())


SCOPES = st.sampled_from(["*", "a:*", "a:read", "a:write", "b:*", "b:read"])
SINGLE = ("a:read", "a:write", "b:read", "c:read")


@given(st.frozensets(SCOPES), st.frozensets(SCOPES))
def test_key__may_what_both_it_and_its_owner_may(scopes: frozenset[str], rights: frozenset[str]) -> None:
    left = Actor("", "", within(scopes, rights))
    for scope in (*SINGLE, "a:*", "b:*", "*"):
        both = Actor("", "", scopes).may(scope) and Actor("", "", rights).may(scope)
        assert left.may(scope) == both, scope
