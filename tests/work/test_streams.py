"""States that follow from events: appended as expected, folded with and without snapshots, at any time; and gone with their person."""

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luminai.testing import FrozenClock, HubUnderTest, running_hub

PLUGIN = """
    from litestar import post
    from litestar.params import JSONBody
    from typing import Any
    from luminai import Aggregate, Event, EventType, hookimpl, policy
    from msgspec import Struct

    class Changed(Struct):
        by: int

    class Energy(Struct):
        left: int = 100
        changes: int = 0

    def apply(state, event):
        if event.payload["by"] == 13:
            raise ValueError("unlucky")
        return Energy(min(100, max(0, state.left + event.payload["by"])), state.changes + 1)

    class Plugin:
        ctx = None

        @hookimpl
        def event_types(self):
            return [EventType(name="Changed", payload=Changed)]

        @hookimpl
        def aggregates(self, ctx):
            return [Aggregate(name="energy", state=Energy, apply=apply, every=5{options})]

        @hookimpl
        def routes(self, ctx):
            Plugin.ctx = ctx
            return []
"""


class World:
    """A hub with a plugin that keeps energy as streams."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        self.operator = hub.client("hub:events", "hub:privacy", subject="operator")

    @property
    def ctx(self) -> Any:
        """Return the plugin's context."""
        return sys.modules["luminai_power.plugin"].Plugin.ctx

    async def append(self, key: str, *changes: int, expected: int | None = None, owner: str = "usr_a") -> int:
        """Append so many changes in one unit; return the stream's length."""
        from luminai import Event

        events = [Event(type="power.Changed", payload={"by": by}) for by in changes]
        found: int = await self.ctx.db.as_subject(owner).write(
            lambda session: self.ctx.events.append(session, "energy", key, events, expected=expected)
        )
        return found

    async def state(self, key: str, **more: Any) -> Any:
        """Return a state with how it was found."""
        return await self.ctx.db.as_system().read(lambda session: self.ctx.events.state(session, "energy", key, **more))

    async def show(self, key: str, **query: Any) -> Any:
        """Return what an operator is shown."""
        return await self.operator.request("GET", "/api/admin/event-state", query={"plugin": "power", "aggregate": "energy", "key": key, **query})

    async def rows(self, table: str, key: str) -> int:
        """Return how many rows a stream has in a table."""
        from sqlalchemy import text

        query = text(f"SELECT count(*) FROM core__{table} WHERE key = :key")
        found: int = await self.hub.hub.database.read(lambda session: session.execute(query, {"key": f"energy:{key}"}).scalar_one())
        return found


@pytest.fixture
def on_hub(plugins: Any) -> Callable[..., Any]:
    """Return what runs a test's coroutine on a hub with the plugin."""

    def run(test: Any, options: str = "") -> None:
        made = [plugins.make("power", PLUGIN.replace("{options}", options), provides='["event_types", "aggregates", "routes"]')]

        async def main() -> None:
            clock = FrozenClock()
            async with running_hub("power", installed=made, clock=clock) as hub:
                await test(World(hub, clock))

        asyncio.run(main())

    return run


@pytest.mark.shows("PX-67", "PX-68", "PX-41")
def test_state__of_any_time_follows_from_the_events(on_hub: Any) -> None:
    async def test(world: World) -> None:
        moments = []
        for change in (-10, -20, 5, -1, -1, -1, -70, 50):
            await world.append("usr_a", change)
            moments.append(world.clock.now())
            world.clock.advance(60)
        wanted = [90, 70, 75, 74, 73, 72, 2, 52]
        assert [(await world.state("usr_a", number=number)).state.left for number in range(9)] == [100, *wanted]
        assert [(await world.state("usr_a", at=at)).state.left for at in moments] == wanted
        assert (await world.state("usr_a", at=moments[0] - timedelta(seconds=1))).number == 0
        shown = (await world.show("usr_a")).json()
        assert (shown["state"], shown["number"], shown["replayed"]) == ({"left": 52, "changes": 8}, 8, 3), "from the snapshot at 5"
        full = (await world.show("usr_a", full="true")).json()
        assert (full["state"], full["replayed"]) == (shown["state"], 8)
        past = (await world.show("usr_a", at=moments[2].isoformat())).json()
        assert (past["state"]["left"], past["number"]) == (75, 3)
        history = await world.ctx.db.as_system().read(lambda session: world.ctx.events.history(session, "energy", "usr_a", after=6))
        assert [(event.number, event.payload["by"], event.owner) for event in history] == [(7, -70, "usr_a"), (8, 50, "usr_a")]
        listed = (await world.operator.request("GET", "/api/admin/events", query={"key": "energy:usr_a", "limit": 1})).json()["items"]
        assert listed[0]["number"] == 8

    on_hub(test)


@pytest.mark.shows("PX-D7")
def test_snapshots__never_change_what_a_replay_says(on_hub: Any) -> None:
    async def test(world: World) -> None:
        loop = asyncio.get_running_loop()
        batches = st.lists(st.lists(st.integers(-40, 40).filter(lambda by: by != 13), min_size=1, max_size=12), min_size=1, max_size=12)
        count = 0

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        @given(batches, st.integers(0, 150))
        def holds(changes: list[list[int]], number: int) -> None:
            nonlocal count
            count += 1
            key = f"thing-{count}"

            async def check() -> None:
                for batch in changes:
                    await world.append(key, *batch)
                quick, whole = await world.state(key, number=number), await world.state(key, number=number, full=True)
                assert (quick.state, quick.number, quick.at) == (whole.state, whole.number, whole.at)
                assert quick.number - quick.replayed <= number
                assert whole.replayed == whole.number == min(number, sum(map(len, changes)))

            asyncio.run_coroutine_threadsafe(check(), loop).result(60)

        await asyncio.to_thread(holds)
        before = await world.append("kept", 1, 2)
        assert await world.rows("event_snapshots", "kept") == 0
        made = await world.ctx.db.write(lambda session: world.ctx.events.snapshot(session, "energy", "kept"))
        assert (made, await world.rows("event_snapshots", "kept"), (await world.state("kept")).replayed) == (before, 1, 0)
        for _ in range(15):
            await world.append("kept", *range(5))
        assert await world.rows("event_snapshots", "kept") == 10

    on_hub(test)


@pytest.mark.shows("PX-03")
def test_append__is_refused_where_somebody_was_faster_or_the_stream_is_not_ones_own(on_hub: Any) -> None:
    from luminai import HubError

    async def test(world: World) -> None:
        async def code(work: Any) -> str:
            with pytest.raises(HubError) as refused:
                await work
            return refused.value.code

        assert await world.append("usr_a", -1, expected=0) == 1
        assert await code(world.append("usr_a", -1, expected=0)) == "stream-moved"
        assert await code(world.append("", -1)) == "bad-stream-key"
        assert await code(world.ctx.db.write(lambda session: world.ctx.events.append(session, "others", "k", []))) == "unknown-aggregate"
        done = await asyncio.gather(*(world.append("many", 1) for _ in range(20)))
        assert sorted(done) == list(range(1, 21))
        both = await asyncio.gather(*(world.append("many", 1, expected=20) for _ in range(2)), return_exceptions=True)
        assert [type(one).__name__ for one in sorted(both, key=str)] == ["int", "Conflict"]
        assert (await world.state("usr_a")).number == 1
        assert await world.append("bad", 1, 13) == 2
        failed = await world.show("bad")
        assert (failed.status, failed.json()["code"], failed.json()["plugin"]) == (409, "fold-failed", "power")
        assert (await world.show("bad", aggregate="others")).json()["code"] == "unknown-aggregate"
        stranger = world.hub.client("other:read", subject="usr_a")
        query = {"plugin": "power", "aggregate": "energy", "key": "usr_a"}
        assert (await stranger.request("GET", "/api/admin/event-state", query=query)).status == 403

    on_hub(test)


def test_snapshot__of_a_stream_with_an_erased_person__goes_whoever_was_the_last(on_hub: Any) -> None:
    from luminai.host.privacy_events import forget_snapshots

    async def test(world: World) -> None:
        await world.append("room", -1, owner="usr_a")
        await world.append("room", -2, -3, -4, -5, owner="usr_b")
        await world.append("other", -1, -2, -3, -4, -5, owner="usr_b")
        assert [await world.rows("event_snapshots", key) for key in ("room", "other")] == [1, 1]
        await world.hub.hub.database.write(lambda session: forget_snapshots(session, "usr_a"))
        assert [await world.rows("event_snapshots", key) for key in ("room", "other")] == [0, 1]
        assert (await world.state("room")).state.left == 85

    on_hub(test)


@pytest.mark.parametrize("options", ["), Aggregate(name='energy', state=Energy, apply=apply", "), Aggregate(name='A b', state=Energy, apply=apply"])
def test_aggregate__that_cannot_be_kept__fails_the_plugin(on_hub: Any, options: str) -> None:
    async def test(world: World) -> None:
        assert world.hub.status("power").code == "bad-aggregate"

    on_hub(test, options)
