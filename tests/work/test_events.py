"""Events that are kept: delivered by jobs, in order, once, also to plugins that are off or come later; seen by those whom they concern."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from luminai import Event
from luminai.testing import FrozenClock, HubUnderTest, running_hub

POST = """
    from litestar import post
    from litestar.params import JSONBody
    from typing import Any
    from luminai import Event, EventType, Unavailable, hookimpl, policy
    from msgspec import Struct

    class Sent(Struct):
        n: int

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Sent", payload=Sent), EventType(name="Brief", payload=Sent, keep="short")]

        @hookimpl
        def routes(self, ctx):
            @post("/api/post/send", opt=policy("post:send"))
            async def send(data: JSONBody[dict[str, Any]]) -> dict[str, list[str]]:
                def unit(session):
                    names = {"type": "post.Sent", **{name: data[name] for name in ("type", "key", "subject") if name in data}}
                    ids = [ctx.db.publish(session, Event(payload={"n": n}, **names)) for n in data["n"]]
                    if data.get("fails"):
                        raise Unavailable("No.")
                    return ids
                return {"ids": await ctx.db.write(unit)}
            return [send]
"""
KEEPER = """
    import asyncio
    import os
    from luminai import Event, EventType, Subscription, Unavailable, hookimpl
    from msgspec import Struct
    from sqlalchemy import Column, Integer, MetaData, String, Table, insert

    metadata = MetaData()
    got = Table("{prefix}__got", metadata, Column("id", Integer, primary_key=True), Column("n", Integer), Column("event", String(40)))
    BROKEN = set()
    CALLS = []
    GATE = asyncio.Event()
    GATE.set()

    class Heard(Struct):
        n: int

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Heard", payload=Heard)]

        @hookimpl
        def subscriptions(self, ctx):
            async def handle(event, delivery):
                CALLS.append((event.payload["n"], delivery.attempt, event.owner))
                await GATE.wait()
                if event.payload["n"] in BROKEN:
                    raise Unavailable("Not now.")
                def unit(session):
                    session.execute(insert(got).values(n=event.payload["n"], event=delivery.id))
                    ctx.db.publish(session, Event(type="{id}.Heard", payload=event.payload, subject=event.subject))
                    delivery.finish(session)
                await ctx.db.write(unit)
            kept = [Subscription(event="post.Sent", handle=handle, durable=True, retries=1, backoff=60{options})]
            return [] if "{id}" in os.environ.get("GAVE_UP", "") else kept

        @hookimpl
        def models(self):
            return metadata
"""
STEP = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None
    def upgrade():
        op.create_table("{prefix}__got", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer), sa.Column("event", sa.String(40)))
    def downgrade():
        op.drop_table("{prefix}__got")
"""
SENDS = 'scopes = { "post:send" = "Send." }'


def keeper(plugins: Any, name: str, options: str = "") -> Any:
    files = {"migrations/versions/0001_first.py": STEP.format(prefix=name)}
    code = KEEPER.format(prefix=name, id=name, options=options)
    return plugins.make(name, code, provides='["event_types", "subscriptions", "models"]', manifest="tables = true", files=files)


class World:
    """A hub with a plugin that publishes and those that keep what they get."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        self.client = hub.client("post:send", subject="usr_a")
        self.operator = hub.client("hub:events", "hub:jobs", "hub:privacy", subject="operator")

    async def send(self, *numbers: int, by: Any = None, **more: Any) -> list[str]:
        """Publish in one unit; return the ids."""
        answer = await (by or self.client).request("POST", "/api/post/send", json={"n": numbers, **more})
        assert answer.status == 201, answer.body
        ids: list[str] = answer.json()["ids"]
        return ids

    async def got(self, name: str = "note") -> list[int]:
        """Run what is due; return what a plugin kept, in order."""
        from sqlalchemy import text

        await self.hub.hub.jobs.settle()
        query = text(f"SELECT n FROM {name}__got ORDER BY id")
        return [row.n for row in await self.hub.hub.database.read(lambda session: session.execute(query).all())]

    async def get(self, path: str, by: Any = None) -> Any:
        """Return what an operator reads."""
        answer = await (by or self.operator).request("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()

    def part(self, name: str = "note") -> Any:
        """Return a plugin's module."""
        return sys.modules[f"luminai_{name}.plugin"]


@pytest.fixture
def on_hub(plugins: Any) -> Callable[..., Any]:
    """Return what runs a test's coroutine on a hub with the plugins; ``also`` are further keepers, ``off`` those that are installed only."""

    def run(test: Callable[[World], Awaitable[None]], *, also: tuple[str, ...] = (), off: tuple[Any, ...] = (), **given: Any) -> None:
        made = [plugins.make("post", POST, provides='["routes", "event_types"]', manifest=SENDS), keeper(plugins, "note")]
        made += [keeper(plugins, name) for name in also]

        async def main() -> None:
            clock = FrozenClock()
            async with running_hub(*(one.id for one in made), installed=[*made, *off], clock=clock, **given) as hub:
                await test(World(hub, clock))

        asyncio.run(main())

    return run


@pytest.mark.shows("PX-71", "PX-40", "TL-131")
def test_event__reaches_every_durable_subscription_once_and_its_chain_can_be_followed(on_hub: Any) -> None:
    async def test(world: World) -> None:
        (event,) = await world.send(7, subject="usr_b")
        assert await world.got() == await world.got("more") == [7]
        assert world.part().CALLS == [(7, 1, "usr_a")], "it works in the name of the event's owner"
        shown = await world.get(f"/api/events/{event}")
        assert (shown["type"], shown["payload"], shown["subject"], shown["owner"]) == ("post.Sent", {"n": 7}, "usr_b", "usr_a")
        states = {one["subscription"]: (one["state"], one["attempts"]) for one in shown["deliveries"]}
        assert states == {"note.on-post-sent": ("succeeded", 1), "more.on-post-sent": ("succeeded", 1)}
        chain = (await world.get(f"/api/admin/events?correlation={shown['correlation']}"))["items"]
        assert sorted((one["type"], one["causation"]) for one in chain) == [("more.Heard", event), ("note.Heard", event), ("post.Sent", "")]
        await world.hub.hub.jobs.settle()
        assert await world.got() == [7]

    on_hub(test, also=("more",))


@pytest.mark.shows("TL-133")
def test_event__analytics_notification_legal_and_audit_each_react_for_themselves(on_hub: Any) -> None:
    subscribers = ("analytics", "notification", "legal", "trail")

    async def test(world: World) -> None:
        world.part("legal").BROKEN.add(1)
        await world.send(1, subject="inv_1")
        assert {name: await world.got(name) for name in subscribers} == {name: [1] * (name != "legal") for name in subscribers}
        world.part("legal").BROKEN.clear()
        world.clock.advance(70)
        await world.send(2, subject="inv_1")
        assert {name: sorted(await world.got(name)) for name in subscribers} == {name: [1, 2] for name in subscribers}

    on_hub(test, also=subscribers)


def test_event__of_a_unit_that_fails__leaves_nothing_to_deliver(on_hub: Any) -> None:
    async def test(world: World) -> None:
        assert (await world.client.request("POST", "/api/post/send", json={"n": [1], "fails": True})).status == 503
        assert (await world.client.request("POST", "/api/post/send", json={"n": ["one"]})).json()["code"] == "event-does-not-fit"
        assert (await world.client.request("POST", "/api/post/send", json={"n": [1], "key": "k" * 201})).json()["code"] == "event-does-not-fit"
        assert (await world.client.request("POST", "/api/post/send", json={"n": [1], "type": "post.Sant"})).json()["code"] == "unknown-event-type"
        assert await world.got() == []
        assert (await world.get("/api/admin/events"))["items"] == (await world.get("/api/admin/jobs"))["items"] == []

    on_hub(test)


def test_key__one_that_fails_holds_up_those_behind_it_and_nobody_else(on_hub: Any) -> None:
    async def test(world: World) -> None:
        note = world.part()
        note.BROKEN.add(1)
        await world.send(1, 2, 3, key="a")
        await world.send(11, 12, key="b")
        await world.send(20)
        assert sorted(await world.got()) == [11, 12, 20], "the key a waits for its first"
        note.BROKEN.clear()
        world.clock.advance(70)
        found = await world.got()
        assert [n for n in found if n < 10] == [1, 2, 3]
        assert [n for n in found if 10 < n < 20] == [11, 12]
        note.BROKEN.add(4)
        await world.send(4, 5, key="a")
        for _ in range(2):
            await world.got()
            world.clock.advance(70)
        assert (await world.got())[-1] == 5, "what failed for good lets the next one in"
        (dead,) = (await world.get("/api/admin/jobs?state=dead"))["items"]
        note.BROKEN.clear()
        assert (await world.operator.request("POST", f"/api/admin/jobs/{dead['id']}/retry")).status == 200
        assert (await world.got())[-1] == 4

    on_hub(test)


@pytest.mark.postgres
def test_keys__that_many_publish_under_at_once__keep_their_order_and_bring_each_once(on_hub: Any, own_postgres_url: str) -> None:
    async def test(world: World) -> None:
        async def sender(key: str, first: int) -> None:
            for n in range(first, first + 8):
                await world.send(n, key=key)

        shared, own = range(0, 300, 100), range(1000, 1500, 100)
        async with asyncio.TaskGroup() as group:
            for first in shared:
                group.create_task(sender("shared", first))
            for first in own:
                group.create_task(sender(f"key {first}", first))
            while len(await world.got()) < 20:
                pass  # deliveries run meanwhile
        async with asyncio.timeout(30):
            while (await world.get("/api/admin/jobs?action=note&state=waiting"))["items"]:
                await world.got()
        for name in ("note", "more"):
            found = await world.got(name)
            assert sorted(found) == sorted(n for first in (*shared, *own) for n in range(first, first + 8))
            for first in (*shared, *own):
                assert [n for n in found if first <= n < first + 8] == [*range(first, first + 8)], (
                    "one who publishes after another commit comes after it"
                )

    on_hub(test, also=("more",), database_url=own_postgres_url)


@pytest.mark.postgres
def test_units__that_publish_under_different_keys__do_not_make_each_other_run_again(on_hub: Any, own_postgres_url: str) -> None:
    async def test(world: World) -> None:
        from sqlalchemy import text

        database = world.hub.hub.generation.loaded("post").context.db.as_subject("usr_a")
        runs: list[str] = []
        is_published = asyncio.Event()

        def publish(session: Any, key: str) -> None:
            runs.append(key)
            database.publish(session, Event(type="post.Sent", payload={"n": len(runs)}, key=key))

        def long(session: Any) -> None:
            publish(session, "a")
            is_published.set()
            session.execute(text("SELECT pg_advisory_xact_lock(77)"))
            publish(session, "c")

        async with world.hub.hub.database._engine._engine.connect() as connection:  # holds one of them up in its middle
            await connection.execute(text("SELECT pg_advisory_lock(77)"))
            first = asyncio.create_task(database.write(long))
            await is_published.wait()
            await database.write(lambda session: publish(session, "b"))
            await connection.execute(text("SELECT pg_advisory_unlock(77)"))
            await first
        assert runs == ["a", "b", "c"]
        assert len(await world.got()) == 3

    on_hub(test, database_url=own_postgres_url)


@pytest.mark.shows("LW-69")
def test_plugin__that_is_off__gets_afterwards_what_happened_meanwhile(on_hub: Any) -> None:
    async def test(world: World) -> None:
        await world.send(1)
        assert await world.got() == [1]
        await world.hub.swap("note", enabled=False)
        await world.send(2, 3, key="k")
        await world.hub.hub.jobs.settle()
        states = [one["state"] for one in (await world.get("/api/admin/jobs?action=note"))["items"]]
        assert sorted(states) == ["parked", "succeeded", "waiting"]
        (listed,) = (await world.get("/api/admin/event-subscriptions"))["items"]
        assert listed == {"subscription": "note.on-post-sent", "event": "post.Sent", "running": False}
        await world.hub.swap("note", enabled=True)
        assert await world.got() == [1, 2, 3]

    on_hub(test)


@pytest.mark.parametrize("since", ["start", "now"])
def test_subscriber__that_comes_late__gets_what_it_asked_for_and_a_replay_brings_the_rest_once(on_hub: Any, plugins: Any, since: str) -> None:
    late = keeper(plugins, "late", f', since="{since}"')

    async def test(world: World) -> None:
        first = await world.send(1, 2, 3)
        await world.hub.swap("late", enabled=True)
        await world.send(4)
        assert await world.got("late") == [4]
        world.clock.advance(31)
        assert sorted(await world.got("late")) == ([1, 2, 3, 4] if since == "start" else [4])
        for _ in range(2):
            replay = {"subscription": "late.on-post-sent", "since": first[0]}
            answer = await world.operator.request("POST", "/api/admin/event-subscriptions/replay", json=replay)
            assert answer.status == 202, answer.body
            assert sorted(await world.got("late")) == ([1, 2, 3, 4] if since == "start" else [2, 3, 4])
        done = await world.get(f"/api/jobs/{answer.json()['id']}")
        assert (done["action"], done["state"], done["output"]) == ("hub.replay-events", "succeeded", {"seen": 3, "put": 0})
        missing = await world.operator.request("POST", "/api/admin/event-subscriptions/replay", json={"subscription": "late.on-post-sant"})
        assert (missing.status, missing.json()["code"]) == (404, "subscription-not-found")
        assert (await world.client.request("POST", "/api/admin/event-subscriptions/replay", json=replay)).status == 403
        refused = await world.operator.request("POST", "/api/actions/hub.replay-events", json=replay)
        assert (refused.status, refused.json()["code"]) == (404, "unknown-action")

    on_hub(test, off=(late,), settings={"plugins": {"late": {"approve": ["anonymous-routes"]}}})


def test_subscription__that_a_plugin_gives_up__gets_nothing_more(on_hub: Any, plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fickle = keeper(plugins, "fickle")

    async def subscribed(world: World) -> list[str]:
        return [one["subscription"] for one in (await world.get("/api/admin/event-subscriptions"))["items"]]

    async def test(world: World) -> None:
        await world.hub.swap("fickle", enabled=True)
        await world.send(1)
        assert await world.got("fickle") == [1]
        assert await subscribed(world) == ["fickle.on-post-sent", "note.on-post-sent"]
        monkeypatch.setenv("GAVE_UP", "fickle")
        await world.hub.swap("fickle")
        assert await subscribed(world) == ["note.on-post-sent"]
        await world.send(2)
        assert (await world.got("fickle"), await world.got()) == ([1], [1, 2])
        jobs = (await world.get("/api/admin/jobs?action=fickle.on-post-sent"))["items"]
        assert len(jobs) == 1

    on_hub(test, off=(fickle,), settings={"plugins": {"fickle": {"approve": ["anonymous-routes"]}}})


def test_events_of_others__are_as_little_there_as_those_that_never_were(on_hub: Any) -> None:
    async def test(world: World) -> None:
        (mine,), (about,) = await world.send(1), await world.send(2, subject="usr_b")
        stranger, concerned = (world.hub.client("post:send", subject=name) for name in ("usr_c", "usr_b"))
        narrow = world.hub.client("other:read", subject="usr_b")
        assert (await world.get("/api/events", narrow))["items"] == [], "a key for something else does not see the plugin's events"
        assert (await narrow.request("GET", f"/api/events/{about}")).status == 404
        assert [one["id"] for one in (await world.get("/api/events", world.client))["items"]] == [about, mine]
        assert [one["id"] for one in (await world.get("/api/events", concerned))["items"]] == [about]
        assert (await world.get("/api/events", stranger))["items"] == []
        assert (await world.get(f"/api/events/{about}", concerned))["deliveries"] == []
        foreign = await stranger.request("GET", f"/api/events/{mine}")
        never = await stranger.request("GET", f"/api/events/evt_{0:032x}")
        assert (foreign.status, foreign.json()["code"]) == (never.status, never.json()["code"]) == (404, "event-not-found")
        assert (await stranger.request("GET", "/api/admin/events")).status == 403
        page = await world.get("/api/admin/events?type=post.Sent&limit=1")
        assert (page["items"][0]["id"], page["next_cursor"]) == (about, about)
        assert [one["id"] for one in (await world.get(f"/api/admin/events?type=post.Sent&cursor={about}"))["items"]] == [mine]
        assert [one["id"] for one in (await world.get("/api/admin/events?type=post&subject=usr_b"))["items"]] == [about]

    on_hub(test)


@pytest.mark.shows("PX-69")
def test_counts__tell_what_happens_how_often(on_hub: Any) -> None:
    async def test(world: World) -> None:
        await world.send(1, 2, 3, subject="usr_b")
        await world.send(4)
        await world.send(5, type="post.Brief")
        counts = {one["type"]: (one["count"], one["subjects"]) for one in await world.get("/api/admin/event-counts?days=366")}
        assert counts["post.Sent"] == (4, 2)
        assert counts["post.Brief"] == (1, 1)
        types = (await world.get("/api/event-types?limit=2"))["items"]
        assert [(one["type"], one["keep"], sorted(one["payload"]["$defs"])) for one in types] == [
            ("note.Heard", "standard", ["Heard"]),
            ("post.Brief", "short", ["Sent"]),
        ]

    on_hub(test)


def test_log__forgets_by_class_and_keeps_what_is_waited_for(on_hub: Any) -> None:
    async def test(world: World) -> None:
        log, note = world.hub.hub.events, world.part()
        await world.send(1, 2, type="post.Brief")
        await world.send(3)
        note.BROKEN.add(4)
        (waited,) = await world.send(4)
        (after,) = await world.send(5)
        assert await world.got() == [3, 5]
        world.clock.advance(8 * 86_400)
        assert await log.prune() == 2
        world.clock.advance(400 * 86_400)
        note.GATE.clear()
        turn = asyncio.create_task(world.hub.hub.jobs.settle())
        while note.CALLS[-1][:2] != (4, 2):  # noqa: ASYNC110 - a turn of the loop, no time
            await asyncio.sleep(0)
        assert await log.prune() == 1, "the event that runs stays, and all behind it"
        left = {one["id"] for one in (await world.get("/api/admin/events?type=post"))["items"]}
        assert left == {waited, after}
        note.GATE.set()
        await turn
        (dead,) = (await world.get("/api/admin/jobs?state=dead"))["items"]
        assert await log.prune() == 4
        assert (await world.operator.request("POST", f"/api/admin/jobs/{dead['id']}/retry")).status == 200
        await world.hub.hub.jobs.settle()
        assert (await world.get(f"/api/jobs/{dead['id']}"))["error_code"] == "event-gone"

    on_hub(test)


def test_log__is_not_held_up_by_a_plugin_that_is_off_for_good(on_hub: Any) -> None:
    async def test(world: World) -> None:
        await world.hub.swap("note", enabled=False)
        await world.send(1)
        await world.hub.hub.jobs.settle()
        world.clock.advance(400 * 86_400)
        assert await world.hub.hub.events.prune() == 1
        (job,) = (await world.get("/api/admin/jobs"))["items"]
        assert job["state"] == "expired"

    on_hub(test)
