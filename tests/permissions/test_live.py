"""What ends with time, or with the database, and tickets over several hubs: streams of hubs in this process, by a clock that moves when told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from engines import SERVER
from identity.lives import PASSWORD, Town
from permissions.asker import SETTINGS
from permissions.live_plugin import CODE, FOLLOW, HALL, MANIFEST, ROOM, Door

from luminai.testing import FrozenClock, running_hub

TICKET = "/api/auth/ticket"


@pytest.fixture
def live(plugins: Any) -> Any:
    return plugins.make("live", CODE, raw_manifest=MANIFEST)


def hub_of(live: Any, clock: FrozenClock, **more: Any) -> Any:
    return running_hub("live", installed=[live], settings=SETTINGS, clock=clock, **more)


async def listener(town: Town, email: str) -> str:
    """Return the access token of somebody who may listen."""
    assert (await town.operator("PUT", "roles/listener", {"title": "Listens", "scopes": ["live:listen"]})).status == 200
    tokens = await town.settle_in(email)
    person = (await town.hub.hub.identity.access.actor_of(tokens["access_token"]))[0].subject
    assert (await town.operator("PUT", f"people/{person}/roles", {"roles": ["listener"]})).status == 200
    return str((await town.login(email, PASSWORD))["access_token"])


def test_guard__asks_for_ticket_and_seat_before_anything_opens(live: Any) -> None:
    clock, one_each = FrozenClock(), {"connections": {"streams-per-person": 1, "anonymous-streams": 1}}

    async def main() -> None:
        async with running_hub("live", installed=[live], settings=SETTINGS | one_each, clock=clock) as hub:
            info, key = await hub.hub.keys.create("key", ("live:listen",), subject="bob")

            def door(path: str, credential: str = "", **more: str) -> Door:
                return Door(hub.hub.edge, path, credential, kind="http" if path in (FOLLOW, "/api/standing/plain") else "websocket", **more)

            async def by_ticket(path: str, page: str = "", **more: str) -> Door:
                headers = {"origin": page} if page else {}
                told = (await hub.with_key(key).request("POST", TICKET, json={"path": path}, headers=headers)).json()["ticket"]
                return door(path, query=f"ticket={told}", **more)

            room = await by_ticket(ROOM)
            assert await room.opened() == 101
            assert (await room.hear())["text"].startswith("bob")
            assert [await door(path, key).opened_or_refused() for path in (ROOM, FOLLOW)] == [429, 429]
            assert await door("/api/standing/plain", key).opened_or_refused() == 200
            await room.leave()

            assert await (await by_ticket("/api/standing/plain")).opened_or_refused() == 401, "it is no stream"
            page = "http://localhost"
            assert await (await by_ticket(ROOM, page)).opened_or_refused() == 401, "a browser names its page when it opens a socket"
            assert await (await by_ticket(ROOM, page, origin=page)).opened_or_refused() == 101
            follow = await by_ticket(FOLLOW, page)
            assert await follow.opened() == 200
            assert await door(ROOM, key).opened_or_refused() == 429
            assert (await hub.client("*").request("DELETE", f"/api/keys/{info.id}")).status in (200, 204)
            assert (await follow.end())["body"].startswith(b"event: closed")

            hall = door(HALL)
            assert await hall.opened() == 101
            assert await door(HALL).opened_or_refused() == 429
            await hall.leave()

    asyncio.run(main())


def test_expiry__of_key_and_access_token__ends_what_they_opened(live: Any, own_database: str) -> None:
    clock = FrozenClock()

    async def main() -> tuple[list[Any], Any]:
        async with hub_of(live, clock, database_url=own_database) as hub:
            town, keys = Town(hub, clock), hub.hub.keys
            token = await listener(town, "ann@example.org")
            _, short = await keys.create("short", ("live:listen",), subject="bob", expires_at=clock.now() + timedelta(minutes=5))
            _, lasting = await keys.create("lasting", ("live:listen",), subject="bob")
            doors = [Door(hub.hub.edge, ROOM, one) for one in (short, token, lasting)]
            doors.append(Door(hub.hub.edge, FOLLOW, short, kind="http"))
            assert [await one.opened() for one in doors] == [101, 101, 101, 200]
            clock.advance(299)
            await hub.hub.live.sweep()
            assert (await town.ask("GET", "/api/standing/plain", token=short)).status == 200
            clock.advance(1)
            ends = [await doors[0].end(), await doors[3].end()]
            clock.advance(600)
            ends.append(await doors[1].end())
            clock.advance(86400)
            await hub.hub.live.sweep()
            doors[2].say("still here")
            heard = [await doors[2].hear() for _ in range(2)]
            await doors[2].leave()
            return ends, heard[-1]

    (key, stream, session), lasting = asyncio.run(main())

    closed = {"type": "websocket.close", "code": 4401, "reason": "bad-credential"}
    assert [key, session] == [closed, closed]
    assert stream["more_body"] is False
    assert stream["body"].startswith(b"event: closed\ndata: {")
    assert b'"code":"bad-credential"' in stream["body"]
    assert lasting["text"] == "still here"


def test_revocation__in_the_same_process__ends_streams_before_time_goes_on(live: Any, own_database: str) -> None:
    """The clock stands still, so that nothing but the revocation itself can be the reason to look."""
    clock = FrozenClock()

    async def main() -> list[tuple[int, str]]:
        async with hub_of(live, clock, database_url=own_database) as hub:
            town, ends = Town(hub, clock), []
            token = await listener(town, "ann@example.org")
            person = (await hub.hub.identity.access.actor_of(token))[0].subject
            info, key = await hub.hub.keys.create("key", ("live:listen",), subject="bob")
            _, of_person = await hub.hub.keys.create("own", ("live:listen",), subject=person)
            for credential, method, path, body in (
                (key, "DELETE", f"/api/keys/{info.id}", None),
                (token, "PUT", "/api/admin/roles/listener", {"title": "Listens", "scopes": ["hub:people"]}),
                (of_person, "POST", f"/api/admin/people/{person}/suspend", None),
            ):
                assert (await town.operator("PUT", "roles/listener", {"title": "Listens", "scopes": ["live:listen"]})).status == 200
                door = Door(hub.hub.edge, ROOM, credential)
                assert await door.opened() == 101
                await hub.hub.live.sweep()
                answer = await hub.client("*").request(method, path, json=body)
                assert answer.status in (200, 204), answer.text
                ends.append(await door.end())
            return [(one["code"], one["reason"]) for one in ends]

    assert asyncio.run(main()) == [(4401, "bad-credential"), (4403, "missing-scope"), (4401, "bad-credential")]


def test_open_socket__is_no_use_of_its_session__so_that_it_is_locked_in_time(live: Any) -> None:
    clock = FrozenClock()
    settings = {"identity": SETTINGS["identity"] | {"lock-minutes": 5}}

    async def main() -> Any:
        async with running_hub("live", installed=[live], settings=settings, clock=clock) as hub:
            door = Door(hub.hub.edge, ROOM, await listener(Town(hub, clock), "ann@example.org"))
            assert await door.opened() == 101
            for _ in range(5):
                clock.advance(59)
                await hub.hub.live.sweep()
            clock.advance(6)
            return await door.end()

    assert asyncio.run(main()) == {"type": "websocket.close", "code": 4401, "reason": "session-locked"}


def test_ticket__holds_30_s_and_no_longer_than_its_credential__and_so_many_wait(live: Any, own_database: str) -> None:
    clock = FrozenClock()

    async def main() -> None:
        async with hub_of(live, clock, database_url=own_database) as hub:
            info, key = await hub.hub.keys.create("key", ("live:listen",), subject="bob")
            client = hub.with_key(key)

            async def ticket() -> str:
                answer = await client.request("POST", TICKET, json={"path": ROOM})
                return str(answer.json().get("ticket", answer.json().get("code")))

            async def opened(one: str) -> int:
                return await Door(hub.hub.edge, ROOM, query=f"ticket={one}").opened_or_refused()

            first, second = [await ticket() for _ in range(2)]
            clock.advance(29.9)
            assert await opened(first) == 101
            clock.advance(0.1)
            assert await opened(second) == 401
            many = [await ticket() for _ in range(21)]
            assert many[-1] == "too-many-tickets"
            assert len(set(many)) == 21
            clock.advance(30)
            await hub.hub.tickets.tidy()
            last = await ticket()
            assert last.startswith("lut_")
            await hub.hub.keys.revoke(info.id)
            hub.hub.verifier.forget(info.id)
            assert await opened(last) == 401
            own = await hub.client("live:listen").request("POST", TICKET, json={"path": ROOM})
            assert own.status == 401  # this process itself sends no credential that a ticket could stand for

    asyncio.run(main())


@pytest.mark.postgres
def test_ticket__over_two_hubs__opens_once(live: Any, own_postgres_url: str, tmp_path: Path) -> None:
    clock = FrozenClock()

    async def main() -> list[int]:
        hubs = [hub_of(live, clock, database_url=own_postgres_url, folder=tmp_path) for _ in range(2)]  # of one master key
        async with hubs[0] as one, hubs[1] as two:
            _, key = await one.hub.keys.create("key", ("live:listen",), subject="bob")
            told = (await one.with_key(key).request("POST", TICKET, json={"path": ROOM})).json()["ticket"]
            doors = [Door(hub.hub.edge, ROOM, query=f"ticket={told}") for _ in range(8) for hub in (one, two)]
            return sorted(await asyncio.gather(*(door.opened_or_refused() for door in doors)))

    assert asyncio.run(main()) == [101] + [401] * 15


@pytest.mark.postgres
def test_database__that_is_away__leaves_no_stream_open_unverified(live: Any, own_postgres_url: str) -> None:
    clock = FrozenClock()
    name = own_postgres_url.rpartition("/")[2]

    async def let_in(answer: str) -> None:
        connection = await asyncpg.connect(f"{SERVER}/postgres")
        await connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {answer}")
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await connection.close()

    async def main() -> Any:
        async with hub_of(live, clock, database_url=own_postgres_url) as hub:
            _, key = await hub.hub.keys.create("key", ("live:listen",), subject="bob")
            door = Door(hub.hub.edge, ROOM, key)
            assert await door.opened() == 101
            await hub.hub.live.sweep()
            await let_in("false")
            try:
                clock.advance(6)
                return await door.end()
            finally:
                await let_in("true")

    assert asyncio.run(main()) == {"type": "websocket.close", "code": 1012, "reason": "reconnect"}
