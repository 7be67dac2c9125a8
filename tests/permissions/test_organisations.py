"""Two organisations and four people: who belongs where, what they may do there, and that nobody else sees it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from identity.lives import Town, in_town
from msgspec import Struct
from permissions import boards_plugin

ZEROS = "0" * 32
NAMES = ("ann", "bob", "cleo", "dan")


class Person(Struct):
    """Somebody who is signed in."""

    town: Town
    email: str
    id: str
    token: str

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return await self.town.ask(method, f"/api/{path}", body, token=self.token, **more)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.text
        return answer.json()

    async def enter(self, organisation: str) -> None:
        assert (await self.ask("PUT", "auth/organisation", {"organisation": organisation})).status == 204

    async def found(self, name: str) -> str:
        answer = await self.ask("POST", "organisations", {"name": name})
        assert answer.status == 201, answer.text
        made: str = answer.json()["id"]
        return made

    async def state(self) -> tuple[str, list[str]]:
        found = await self.get("auth/verify")
        return found["organisation"], found["scopes"]


async def settle(town: Town, name: str) -> Person:
    email = f"{name}@example.org"
    signed = await town.settle_in(email)
    return Person(town, email, signed["person"]["id"], signed["access_token"])


async def join(boss: Person, person: Person, organisation: str, *roles: str) -> None:
    """Invite somebody by letter and let them accept."""
    answer = await boss.ask("POST", f"organisations/{organisation}/invitations", {"email": person.email, "roles": list(roles)})
    assert answer.status == 201, answer.text
    accepted = await person.ask("POST", "invitations/accept", {"token": await person.town.link(person.email)})
    assert accepted.status == 200, accepted.text


def code(answer: Any) -> tuple[int, str]:
    return answer.status, (answer.json() or {}).get("code", "") if answer.status >= 400 else ""


def masked(answer: Any, *ids: str) -> tuple[int, list[str], str]:
    text = re.sub(r"req_[0-9a-f]+", "req", answer.text)
    for one in ids:
        text = text.replace(one, "id")
    return answer.status, sorted(name for name in answer.headers if name != "x-request-id"), text


def in_place(plugins: Any, database_url: str, work: Any, names: tuple[str, ...] = NAMES) -> Any:
    """Run ``work(town, *people)`` on a hub with the plugin and with letters."""

    async def run(town: Town) -> Any:
        return await work(town, *[await settle(town, name) for name in names])

    return in_town(run, plugins=plugins, also=[boards_plugin.make(plugins)], database_url=database_url)


@pytest.mark.shows("LR-127")
def test_rows_of_two_organisations__are_there_for_members_who_act_for_them_and_for_nobody_else(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person, cleo: Person, dan: Person) -> None:
        blue, red = await ann.found("Blue Whale"), await dan.found("Red")
        await join(ann, bob, blue, "viewer")
        await join(dan, cleo, red, "member")
        await join(dan, ann, red, "viewer")

        alone = await ann.ask("GET", "boards/cards")
        assert code(alone) == (403, "organisation-needed")
        assert "PUT /api/auth/organisation" in alone.json()["hint"]
        assert code(await ann.ask("POST", "boards/cards", {"text": "nowhere"})) == (403, "organisation-needed")
        assert (await ann.ask("POST", "boards/object?place=")).json() == {"refused": "organisation-needed"}

        for who, place in ((ann, blue), (bob, blue), (cleo, red), (dan, red)):
            await who.enter(place)
        assert await ann.state() == (blue, ["boards:*", "organisation:*"])
        assert await bob.state() == (blue, ["boards:read"]), "the roles of the hub do not count there"
        secret = (await ann.ask("POST", "boards/cards", {"text": "of blue"})).json()["id"]
        assert (await dan.ask("POST", "boards/cards", {"text": "of red"})).status == 201
        assert code(await bob.ask("POST", "boards/cards", {"text": "mine"})) == (403, "missing-scope")
        assert [await who.get("boards/cards") for who in (ann, bob, cleo, dan)] == [["of blue"]] * 2 + [["of red"]] * 2

        missing = f"card_{ZEROS}"
        for method in ("GET", "DELETE"):
            answers = [await cleo.ask(method, f"boards/cards/{one}") for one in (secret, missing)]
            assert masked(answers[0], secret, missing) == masked(answers[1], secret, missing)
            assert answers[0].status == 404
        assert await bob.get(f"boards/cards/{secret}") == {"text": "of blue"}

        told = (await ann.ask("POST", f"boards/run?other={red}")).json()
        assert set(told["within"].values()) == {"done"}, told
        assert {name: one for name, one in told["beyond"].items() if one != "owner-filter-missing"} == {}
        assert (await ann.ask("POST", f"boards/object?place={red}")).json() == {"refused": "owner-filter-missing"}
        assert (await ann.ask("POST", f"boards/object?place={blue}")).json() == {"done": ""}
        assert await cleo.get("boards/cards") == ["of red"]
        assert await ann.get(f"boards/work?place={blue}&subject={ann.id}") == {"named": ["changed", "mapped"], "all": ["changed", "mapped"]}

        await ann.enter(red)
        assert (await ann.state())[1] == ["boards:read"]
        assert await ann.get("boards/cards") == ["of red"]
        assert (await ann.ask("DELETE", "auth/organisation")).status == 204
        assert code(await ann.ask("GET", "boards/cards")) == (403, "organisation-needed")
        key = {"idempotency-key": "the-same"}
        for place in (blue, red):
            await dan.enter(red)
            await ann.enter(place)
            answer = await ann.ask("POST", "boards/cards", {"text": "once"}, headers=key)
            assert answer.headers.get("idempotency-replayed") is None, "an answer of one organisation is none of another"

    in_place(plugins, own_database, work)


def test_invitation__holds_once_for_its_address_and_tells_nothing(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person, dan: Person) -> None:
        blue = await ann.found("Blue http://evil.example Whale")
        path = f"organisations/{blue}/invitations"
        answers = [await ann.ask("POST", path, {"email": email}) for email in (bob.email, "new@example.org")]
        shapes = [masked(one, one.json()["invitation"]["id"], email) for one, email in zip(answers, (bob.email, "new@example.org"), strict=True)]
        assert shapes[0] == shapes[1]
        assert answers[0].json()["token"] is None
        letter = (await town.letters(bob.email))[-1]
        assert "“Blue http evil example Whale”" in letter.text
        assert "evil.example" not in letter.text
        first = await town.link(bob.email)

        stored = await everything(town)
        assert first not in stored
        assert bob.email not in stored
        waiting = await ann.get(f"{path}?limit=1")
        assert [one["email"] for one in waiting["items"]] == ["new@example.org"]
        rest = await ann.get(f"{path}?limit=1&cursor={waiting['next_cursor']}")
        assert [(one["email"], one["roles"]) for one in rest["items"]] == [(bob.email, ["member"])]
        assert rest["next_cursor"] is None

        foreign = await dan.ask("POST", "invitations/accept", {"token": first})
        assert code(foreign) == (422, "invitation-refused")
        assert masked(foreign) == masked(await dan.ask("POST", "invitations/accept", {"token": "x" * 43}))
        assert (await ann.ask("POST", path, {"email": "BOB@example.org", "roles": ["viewer"]})).status == 201
        assert code(await bob.ask("POST", "invitations/accept", {"token": first})) == (422, "invitation-refused"), "a newer one replaced it"
        second = await town.link("BOB@example.org")
        assert (await bob.ask("POST", "invitations/accept", {"token": second})).json()["roles"] == ["viewer"]
        assert code(await bob.ask("POST", "invitations/accept", {"token": second})) == (422, "invitation-refused")
        assert code(await ann.ask("POST", path, {"email": bob.email})) == (409, "already-member")

        new = await settle(town, "new")
        token = next(match[1] for mail in await town.letters(new.email) if (match := re.search(r"invitation#token=([\w-]+)", mail.text)))
        assert (await new.ask("POST", "invitations/accept", {"token": token})).json()["id"] == blue

        assert (await ann.ask("POST", path, {"email": dan.email})).status == 201
        assert (await town.ask("POST", "/api/invitations/decline", {"token": await town.link(dan.email)})).status == 204
        assert code(await dan.ask("POST", "invitations/accept", {"token": await town.link(dan.email)})) == (422, "invitation-refused")
        made = (await ann.ask("POST", path, {"email": dan.email})).json()["invitation"]["id"]
        assert code(await bob.ask("DELETE", f"{path}/{made}")) == (403, "missing-scope")
        assert (await ann.ask("DELETE", f"{path}/{made}")).status == 204
        assert code(await ann.ask("DELETE", f"{path}/{made}")) == (404, "invitation-not-found")
        assert code(await dan.ask("POST", "invitations/accept", {"token": await town.link(dan.email)})) == (422, "invitation-refused")
        assert (await ann.ask("POST", path, {"email": dan.email})).status == 201
        town.clock.advance(7 * 86_400)
        dan.token = (await town.login(dan.email))["access_token"]
        assert code(await dan.ask("POST", "invitations/accept", {"token": await town.link(dan.email)})) == (422, "invitation-refused")
        await town.hub.hub.identity.tidy()
        assert dan.id not in await everything(town, "core__invitations")

    in_place(plugins, own_database, work, ("ann", "bob", "dan"))


async def everything(town: Town, table: str = "") -> str:
    """Return every value of the invitations and letters, or of one table, as text."""
    from sqlalchemy import text

    names = [table] if table else ["core__invitations", "core__mail"]

    def unit(session: Any) -> str:
        return repr([tuple(row) for name in names for row in session.execute(text(f"SELECT * FROM {name}"))])

    found: str = await town.hub.hub.database.read(unit)
    return found


def test_roles__are_given_by_those_who_hold_them_and_somebody_always_owns_it(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person, cleo: Person, dan: Person) -> None:
        blue = await ann.found("Blue")
        members, of = f"organisations/{blue}/members", f"organisations/{blue}/members/{{}}/roles".format
        await join(ann, bob, blue, "member")
        await join(ann, cleo, blue, "viewer")

        assert code(await ann.ask("POST", f"organisations/{blue}/leave")) == (409, "last-owner")
        assert code(await ann.ask("PUT", of(ann.id), {"roles": ["member"]})) == (409, "last-owner")
        assert code(await ann.ask("DELETE", f"{members}/{ann.id}")) == (409, "last-owner")
        assert code(await bob.ask("PUT", of(bob.id), {"roles": ["owner"]})) == (403, "missing-scope")
        assert code(await bob.ask("DELETE", f"{members}/{cleo.id}")) == (403, "missing-scope")
        assert code(await bob.ask("PATCH", f"organisations/{blue}", {"name": "Bob's"})) == (403, "missing-scope")

        recruiter = {"title": "Recruits", "scopes": ["organisation:members", "boards:read"]}
        assert (await town.operator("PUT", "roles/recruiter", recruiter)).status == 200
        assert (await town.operator("PUT", "roles/editor", {"title": "Edits", "scopes": ["hub:people", "boards:*"]})).status == 200
        assert code(await ann.ask("PUT", of(bob.id), {"roles": ["editor"]})) == (403, "role-beyond-own")
        assert code(await ann.ask("PUT", of(bob.id), {"roles": ["admin"]})) == (403, "role-beyond-own")
        assert code(await ann.ask("PUT", of(bob.id), {"roles": ["nothing"]})) == (404, "role-not-found")
        assert code(await ann.ask("PUT", of(bob.id), {"roles": []})) == (400, "invalid-input")
        assert code(await ann.ask("PUT", of(dan.id), {"roles": ["member"]})) == (404, "member-not-found"), "members are invited, not taken"
        assert (await ann.ask("PUT", of(bob.id), {"roles": ["recruiter"]})).json()["roles"] == ["recruiter"]
        assert "recruiter" in (await town.letters(bob.email))[-1].text

        invite = f"organisations/{blue}/invitations"
        assert code(await bob.ask("POST", invite, {"email": dan.email, "roles": ["owner"]})) == (403, "role-beyond-own")
        assert code(await bob.ask("PUT", of(cleo.id), {"roles": ["member"]})) == (403, "role-beyond-own")
        assert code(await bob.ask("DELETE", f"{members}/{ann.id}")) == (403, "role-beyond-own")
        assert (await bob.ask("POST", invite, {"email": dan.email, "roles": ["viewer"]})).status == 201
        assert (await ann.ask("PUT", of(bob.id), {"roles": ["member"]})).status == 200
        sent = {"token": await town.link(dan.email)}
        assert code(await dan.ask("POST", "invitations/accept", sent)) == (422, "invitation-refused"), "its sender may invite nobody any more"

        first = await ann.get(f"{members}?limit=2")
        rest = await ann.get(f"{members}?limit=2&cursor={first['next_cursor']}")
        listed = {one["email"]: one["roles"] for one in first["items"] + rest["items"]}
        assert listed == {ann.email: ["member", "owner"], bob.email: ["member"], cleo.email: ["viewer"]}
        assert rest["next_cursor"] is None
        assert {one["email"] for one in (await cleo.get(members))["items"]} == {""}, "addresses are for those who invite"

        assert (await ann.ask("PUT", of(bob.id), {"roles": ["member", "owner"]})).status == 200
        assert (await town.operator("POST", f"people/{bob.id}/suspend")).status == 200
        assert code(await ann.ask("POST", f"organisations/{blue}/leave")) == (409, "last-owner"), "an owner who is shut out is none"
        assert (await town.operator("POST", f"people/{bob.id}/restore")).status == 200
        assert (await ann.ask("POST", f"organisations/{blue}/leave")).status == 204
        assert (await ann.get("organisations"))["items"] == []

    in_place(plugins, own_database, work)


def test_membership__ended__is_gone_from_running_sessions_at_once(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person) -> None:
        blue = await ann.found("Blue")
        await join(ann, bob, blue, "member")
        await bob.enter(blue)
        assert (await bob.ask("POST", "boards/cards", {"text": "shared"})).status == 201
        key = {"idempotency-key": "again"}
        assert (await bob.ask("POST", "boards/cards", {"text": "x"}, headers=key)).status == 201
        assert (await ann.ask("DELETE", f"organisations/{blue}/members/{bob.id}")).status == 204
        assert await bob.state() == ("", ["boards:*"])
        assert code(await bob.ask("GET", "boards/cards")) == (403, "organisation-needed")
        assert code(await bob.ask("POST", "boards/cards", {"text": "x"}, headers=key)) == (403, "organisation-needed"), "nor is an answer of before"
        for method, path, body in doors(blue):
            assert code(await bob.ask(method, path, body)) == (404, "organisation-not-found"), path
        await join(ann, bob, blue, "viewer")
        assert await bob.state() == ("", ["boards:*"]), "a session does not come back by itself"
        await bob.enter(blue)
        assert (await ann.ask("PUT", f"organisations/{blue}/members/{bob.id}/roles", {"roles": ["member"]})).status == 200
        assert await bob.state() == (blue, ["boards:*"])

    in_place(plugins, own_database, work, ("ann", "bob"))


def doors(organisation: str) -> list[tuple[str, str, Any]]:
    path, somebody = f"organisations/{organisation}", f"usr_{ZEROS}"
    return [
        ("GET", path, None),
        ("PATCH", path, {"name": "Taken"}),
        ("DELETE", f"{path}?confirm=true", None),
        ("POST", f"{path}/leave", None),
        ("GET", f"{path}/members", None),
        ("PUT", f"{path}/members/{somebody}/roles", {"roles": ["owner"]}),
        ("DELETE", f"{path}/members/{somebody}", None),
        ("GET", f"{path}/keys", None),
        ("DELETE", f"{path}/keys/key_{ZEROS}", None),
        ("POST", f"{path}/invitations", {"email": "friend@example.org"}),
        ("GET", f"{path}/invitations", None),
        ("DELETE", f"{path}/invitations/inv_{ZEROS}", None),
        ("PUT", "auth/organisation", {"organisation": organisation}),
    ]


def test_organisation__of_others_or_missing__looks_the_same(plugins, own_database: str) -> None:
    async def work(town: Town, ann: Person, dan: Person) -> None:
        blue, missing = await ann.found("Blue"), f"org_{ZEROS}"
        for foreign, none in zip(doors(blue), doors(missing), strict=True):
            answers = [await dan.ask(method, path, body) for method, path, body in (foreign, none)]
            assert masked(answers[0], blue, missing) == masked(answers[1], blue, missing), foreign
            assert code(answers[0]) == (404, "organisation-not-found")
        red = await dan.found("Red")
        made = (await ann.ask("POST", f"organisations/{blue}/invitations", {"email": "friend@example.org"})).json()["invitation"]["id"]
        for kind, one in (("invitations", made), ("members", ann.id)):
            none = one[: -len(ZEROS)] + ZEROS
            answers = [await dan.ask("DELETE", f"organisations/{red}/{kind}/{which}") for which in (one, none)]
            assert masked(answers[0], one) == masked(answers[1], none)
            assert answers[0].status == 404, kind
        _, key = await town.hub.hub.keys.create("of ann", ["*"], subject=ann.id)
        for method, path, body in doors(blue):
            assert code(await town.ask(method, f"/api/{path}", body, token=key)) == (403, "not-a-session"), path
        refresh = (await town.login(ann.email))["refresh_token"]
        town.clock.advance(11 * 60)
        ann.token = (await town.post("refresh", {"refresh_token": refresh})).json()["access_token"]
        stale = [path for method, path, body in doors(blue) if code(await ann.ask(method, path, body)) == (403, "step-up-required")]
        members = f"organisations/{blue}/members/usr_{ZEROS}"
        key = f"organisations/{blue}/keys/key_{ZEROS}"
        assert stale == [f"organisations/{blue}?confirm=true", f"{members}/roles", members, key, f"organisations/{blue}/invitations"]

    in_place(plugins, own_database, work, ("ann", "dan"))
