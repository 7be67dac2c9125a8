"""Sockets and streams: everybody is let in or not as the policy says, and each message is confined to whoever opened the channel."""

from __future__ import annotations

from typing import Any

import pytest
from permissions import notes_plugin
from permissions.asker import Asker, Place, converse, run
from permissions.live_plugin import Door


async def seeded(place: Place) -> tuple[Asker, Asker]:
    """Add rows of ann and bob; return keys of both that may read."""
    writer = Asker(name="writer", credential=(await place.key("notes:write", subject="operator"))[1])
    assert (await place.ask(writer, "POST", "/api/notes/seed")).status == 201
    return place.exact["notes:read", "ann"], place.exact["notes:read", "bob"]


@pytest.fixture
def notes(plugins, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LUMINAI_SAMPLE", "x" * 32)
    return notes_plugin.make(plugins)


def test_socket__everybody__is_let_in_as_its_policy_says(notes) -> None:
    async def work(place: Place) -> list[str]:
        wrong = []
        sockets = [route for route in place.routes if route.method == "WS"]
        assert sockets
        for route in sockets:
            for asker in place.everybody(route.policy):
                found, _ = await converse(place.hub.edge, route.path, credential=asker.credential)
                refused = asker.expected(route.policy)
                if found != (4000 + refused if refused else True):
                    wrong.append(f"{route.path} by {asker.name}: {found}, expected {refused or 'to be let in'}")
        return wrong

    assert run(work, notes) == []


def test_handshake__of_everybody__is_answered_as_the_policy_says__by_header_and_by_ticket(notes) -> None:
    """A ticket is given to whoever has a credential that holds, and opens what that credential opens."""

    async def work(place: Place) -> tuple[list[str], int]:
        wrong, asked = [], 0
        channels = [route for route in place.routes if route.method == "WS" or (route.method == "GET" and route.policy.stream)]
        assert {route.method for route in channels} == {"WS", "GET"}
        for route in channels:
            kind, opened = (
                ("websocket", 101) if route.method == "WS" else ("http", 404 if "{" in route.path else 200)
            )  # nothing is there by that name
            query = "" if kind == "websocket" else "room=notes.lobby" if route.path == "/api/live" else "subject=ann"
            for asker in place.everybody(route.policy):
                expected = asker.expected(route.policy) or opened
                door = Door(place.hub.edge, route.path, asker.credential, query=query, kind=kind)
                found = await door.opened_or_refused()
                given = await place.ask(asker, "POST", "/api/auth/ticket", body={"path": route.path})
                ticket = given.json()["ticket"] if given.status == 201 else ""
                by_ticket = opened
                if ticket:
                    door = Door(place.hub.edge, route.path, query=f"{query}&ticket={ticket}".lstrip("&"), kind=kind)
                    by_ticket = await door.opened_or_refused()
                asked += 1
                may_have = asker.holds and asker.actor is not None
                if found != expected or bool(ticket) != may_have or (ticket and by_ticket != expected):
                    wrong.append(f"{route.path} by {asker.name}: {found}, ticket {given.status}, by it {by_ticket}, expected {expected}")
        return wrong, asked

    wrong, asked = run(work, notes)

    assert wrong == []
    assert asked > 20


def test_channel__each_message__reaches_rows_of_its_owner_only(notes, own_database: str) -> None:
    async def work(place: Place) -> Any:
        ann, bob = await seeded(place)
        heard = [await converse(place.hub.edge, "/api/notes/live", "ann", "bob", "ann", "nobody", credential=who.credential) for who in (ann, bob)]
        streams = []
        for who in (ann, bob):
            client = place.town.hub.with_key(who.credential)
            streams += [(await client.request("GET", "/api/notes/follow", query={"subject": whose})).text for whose in ("ann", "bob")]
        return heard, streams

    heard, streams = run(work, notes, database_url=own_database)

    no = "owner-filter-missing"
    assert heard == [(True, ["a", no, "a", no]), (True, [no, "secret of bob", no, no])]
    assert [no in streams[0], no in streams[1], no in streams[2], no in streams[3]] == [False, True, True, False]
    assert ["data: a" in streams[0], "secret of bob" in streams[1], "secret of bob" in streams[3]] == [True, False, True]


def test_room__may_join__is_asked_in_the_name_of_whoever_knocks(notes) -> None:
    """It reads rows of a subject: those of another are not there for it, so neither is the room."""

    async def work(place: Place) -> Any:
        await seeded(place)
        wrong, opened = [], 0
        everybody = [*place.askers, *(one for (scope, _), one in place.exact.items() if scope.startswith("notes:")), place.without["notes:read"]]
        for room, owner in (("notes.of.ann", "ann"), ("notes.of.bob", "bob"), ("notes.of.nobody", ""), ("notes.attic", "")):
            for asker in everybody:
                known = asker.holds and asker.actor is not None
                may = known and asker.actor.subject == owner and asker.actor.may("notes:read")
                found = await Door(place.hub.edge, "/api/live", asker.credential, query=f"room={room}", kind="http").opened_or_refused()
                polled = await place.ask(asker, "GET", f"/api/live/poll?room={room}")
                expected = 200 if may else 404 if known else 401
                opened += may
                if (found, polled.status) != (expected, expected):
                    wrong.append(f"{room} by {asker.name}: {found}, {polled.status}, expected {expected}")
        return wrong, opened

    wrong, opened = run(work, notes)

    assert wrong == []
    assert opened == 2
