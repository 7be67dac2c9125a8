"""API keys that act for an organisation: with its rows, never beyond the member's roles there, and only while the membership lasts."""

from __future__ import annotations

from typing import Any

from identity.lives import Town
from permissions.test_organisations import ZEROS, Person, code, in_place, join, masked

READ, WRITE = "boards:read", "boards:write"


async def make_key(who: Person, *scopes: str) -> tuple[str, str]:
    """Return id and text of a key that somebody makes where they are now."""
    answer = await who.ask("POST", "users/keys", {"name": f"of {who.email}", "scopes": scopes})
    assert answer.status == 201, answer.text
    return answer.json()["id"], answer.json()["key"]


def test_key__made_in_an_organisation__reads_and_writes_there_and_nowhere_else(plugins: Any, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person) -> None:
        blue, red = await ann.found("Blue"), await ann.found("Red")
        await join(ann, bob, blue, "viewer")
        _, alone = await make_key(ann, READ)
        for place in (blue, red):
            await ann.enter(place)
            assert (await ann.ask("POST", "boards/cards", {"text": f"of {place}"})).status == 201
        await ann.enter(blue)
        blue_id, key = await make_key(ann, READ, WRITE)
        await ann.enter(red)

        async def ask(method: str, path: str, body: Any = None, *, by: str = key) -> Any:
            return await town.ask(method, f"/api/{path}", body, token=by)

        assert (await ask("GET", "boards/cards")).json() == [f"of {blue}"], "whatever its owner's session does meanwhile"
        assert code(await ask("GET", "boards/cards", by=alone)) == (403, "organisation-needed")
        assert (await ask("POST", "boards/cards", {"text": "by key"})).status == 201
        told = (await ask("POST", f"boards/run?other={red}")).json()
        assert set(told["within"].values()) == {"done"}, told
        assert {name: one for name, one in told["beyond"].items() if one != "owner-filter-missing"} == {}
        card = (await ann.ask("POST", "boards/cards", {"text": "red secret"})).json()["id"]
        missing = f"card_{ZEROS}"
        answers = [await ask("GET", f"boards/cards/{one}") for one in (card, missing)]
        assert masked(answers[0], card, missing) == masked(answers[1], card, missing)
        assert (await ask("GET", "auth/verify")).json()["organisation"] == blue
        listed = {one["id"]: one["organisation"] for one in (await ann.get("users/keys"))["items"]}
        assert listed[blue_id] == blue
        assert sorted(listed.values()) == ["", blue]

        await bob.enter(blue)
        beyond = await bob.ask("POST", "users/keys", {"name": "more", "scopes": [WRITE]})
        assert code(beyond) == (403, "scope-beyond-own"), "the role of a viewer reads"
        _, reader = await make_key(bob, READ)
        assert (await ask("GET", "boards/cards", by=reader)).status == 200
        assert code(await ask("POST", "boards/cards", {"text": "no"}, by=reader)) == (403, "missing-scope")

    in_place(plugins, own_database, work, ("ann", "bob"))


def test_key_of_a_member__follows_the_role_and_ends_with_the_membership(plugins: Any, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person) -> None:
        blue = await ann.found("Blue")
        await join(ann, bob, blue, "member")
        _, alone = await make_key(bob, READ)
        await bob.enter(blue)
        _, key = await make_key(bob, READ, WRITE)

        async def may(text: str = key) -> list[int]:
            answers = [await town.ask("GET", "/api/boards/cards", token=text)]
            answers.append(await town.ask("POST", "/api/boards/cards", {"text": "x"}, token=text))
            return [answer.status for answer in answers]

        assert await may() == [200, 201]
        assert (await ann.ask("PUT", f"organisations/{blue}/members/{bob.id}/roles", {"roles": ["viewer"]})).status == 200
        assert await may() == [200, 403], "less at once"
        assert (await ann.ask("PUT", f"organisations/{blue}/members/{bob.id}/roles", {"roles": ["member"]})).status == 200
        assert await may() == [200, 201]
        assert (await ann.ask("DELETE", f"organisations/{blue}/members/{bob.id}")).status == 204
        assert await may() == [401, 401]
        assert await town.holds(alone), "what bob made for bob alone holds on"
        await join(ann, bob, blue, "member")
        assert await may() == [401, 401], "coming back brings no key back"
        assert [one["state"] for one in (await bob.get("users/keys"))["items"]] == ["revoked", "active"]

        await bob.enter(blue)
        _, left = await make_key(bob, READ)
        assert (await bob.ask("POST", f"organisations/{blue}/leave")).status == 204
        await ann.enter(blue)
        _, last = await make_key(ann, READ)
        assert await town.holds(last)
        assert (await ann.ask("DELETE", f"organisations/{blue}?confirm=true")).status == 200
        assert [await town.holds(one) for one in (left, last)] == [False, False]

    in_place(plugins, own_database, work, ("ann", "bob"))


def test_key__is_rotated_where_it_acts__and_by_those_in_charge_of_members_revoked(plugins: Any, own_database: str) -> None:
    async def work(town: Town, ann: Person, bob: Person, dan: Person) -> None:
        blue = await ann.found("Blue")
        await join(ann, bob, blue, "member")
        await bob.enter(blue)
        key_id, key = await make_key(bob, READ)
        assert (await bob.ask("DELETE", "auth/organisation")).status == 204
        assert code(await bob.ask("POST", f"users/keys/{key_id}/rotate", {})) == (403, "other-organisation")
        await bob.enter(blue)
        new = (await bob.ask("POST", f"users/keys/{key_id}/rotate", {"overlap_seconds": 0})).json()
        assert new["organisation"] == blue
        assert not await town.holds(key)
        assert (await town.ask("GET", "/api/boards/cards", token=new["key"])).status == 200
        for method, path in (("POST", f"users/keys/{new['id']}/rotate"), ("GET", f"organisations/{blue}/keys")):
            assert code(await town.ask(method, f"/api/{path}", {} if method == "POST" else None, token=new["key"])) == (403, "not-a-session")

        path = f"organisations/{blue}/keys"
        assert code(await bob.ask("GET", path)) == (403, "missing-scope")
        page = await ann.get(f"{path}?limit=1")
        assert [(one["id"], one["subject"]) for one in page["items"]] == [(new["id"], bob.id)]
        assert [one["id"] for one in (await ann.get(f"{path}?cursor={page['next_cursor']}"))["items"]] == [key_id]
        elsewhere, _ = await make_key(ann, "boards:read")
        answers = [await ann.ask("DELETE", f"{path}/{one}") for one in (elsewhere, f"key_{ZEROS}")]
        assert masked(answers[0], elsewhere) == masked(answers[1], f"key_{ZEROS}")
        assert code(answers[0]) == (404, "key-not-found"), "what ann made for ann alone is no key of the organisation"
        red = await dan.found("Red")
        assert code(await dan.ask("DELETE", f"organisations/{red}/keys/{new['id']}")) == (404, "key-not-found")
        assert (await ann.ask("DELETE", f"{path}/{new['id']}")).status == 204
        assert not await town.holds(new["key"])
        found = (await town.operator("GET", f"audit?object={new['id']}")).json()["items"]
        assert (found[0]["action"], found[0]["subject"]) == ("key.revoke", bob.id)

    in_place(plugins, own_database, work, ("ann", "bob", "dan"))
