"""Events in this process: told after the commit, in order, to each subscriber alone; checked before they are written."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from luminai import Event
from luminai.testing import FrozenClock, HubUnderTest, Records, running_hub
from luminai.testing.postgres import server

POST = """
    from typing import Any
    from litestar import post
    from litestar.params import FromQuery, JSONBody
    from luminai import Event, EventType, hookimpl, policy
    from msgspec import Struct

    class Sent(Struct):
        n: int

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Sent", payload=Sent, summary="A letter was sent."), EventType(name="Read", payload=Sent, version=2)]

        @hookimpl
        def routes(self, ctx):
            def publish(session, n, **more):
                ctx.db.publish(session, Event(**{"type": "post.Sent", "payload": {"n": n}, **more}))

            @post("/api/post/send", opt=policy(anonymous=True))
            async def send(first: FromQuery[int], count: FromQuery[int] = 1) -> None:
                await ctx.db.write(lambda session: [publish(session, n) for n in range(first, first + count)])

            @post("/api/post/wrong", opt=policy(anonymous=True))
            async def wrong(data: JSONBody[dict[str, Any]]) -> None:
                await ctx.db.write(lambda session: publish(session, 1, **data))

            @post("/api/post/change-mind", opt=policy(anonymous=True))
            async def change_mind(how: FromQuery[str]) -> None:
                def unit(session):
                    publish(session, 1)
                    if how == "part":
                        inner = session.begin_nested()
                        publish(session, 2)
                        inner.rollback()
                        publish(session, 3)
                    elif how == "rollback":
                        session.rollback()
                        publish(session, 4)
                    else:
                        raise ValueError("changed my mind")
                await ctx.db.write(unit)

            return [send, wrong, change_mind]
"""

LISTENER = """
    import asyncio
    from litestar import get, post
    from luminai import hookimpl, policy, Subscription

    class Plugin:
        def __init__(self):
            self.got = []
            self.begun = 0
            self.gate = asyncio.Event()
            self.stopped_with = None

        @hookimpl
        def subscriptions(self, ctx):
            async def handle(event):
                self.begun += 1
                {body}
                self.got.append(event.payload["n"])
            return [Subscription(event="post.Sent", handle=handle{options})]

        @hookimpl
        def routes(self, ctx):
            @get("/api/{name}/got", opt=policy(anonymous=True))
            async def got() -> dict[str, object]:
                return {{"got": self.got, "begun": self.begun}}

            @post("/api/{name}/open", opt=policy(anonymous=True))
            async def open_gate() -> None:
                self.gate.set()

            return [got, open_gate]
"""
PROVIDES = '["routes", "event_types"]'
GET, SEND = "GET", "/api/post/send"


def listener(plugins: Any, name: str, body: str = "pass", options: str = "") -> Any:
    code = LISTENER.format(name=name, body=body, options=options)
    return plugins.make(name, code, provides='["routes", "subscriptions"]')


def on_hub(made: list[Any], work: Any, **more: Any) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(30), running_hub(*(one.id for one in made), installed=made, **more) as hub:
            return await work(hub)

    return asyncio.run(main())


async def send(hub: HubUnderTest, first: int, count: int = 1) -> None:
    answer = await hub.client().request("POST", SEND, query={"first": first, "count": count})
    assert answer.status == 201, answer.text


async def until(hub: HubUnderTest, name: str, count: int, what: str = "got") -> list[int]:
    """Ask a listener until it got so many events; return them."""
    while True:
        said = (await hub.client().request("GET", f"/api/{name}/got")).json()
        if (said["begun"] if what == "begun" else len(said["got"])) >= count:
            found: list[int] = said["got"]
            return found


async def channel(hub: HubUnderTest, plugin: str) -> dict[str, Any]:
    costs = (await hub.client("*").request("GET", "/api/admin/plugins/perf")).json()
    return next(one for cost in costs if cost["id"] == plugin for one in cost["channels"] if one["name"] == "events")


async def until_counted(hub: HubUnderTest, plugin: str, what: str, count: int) -> None:
    while (await channel(hub, plugin))[what] < count:
        pass


TAKES_IT = """try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass"""
BROKEN = {
    "raises": "raise ValueError('boom')",
    "exits": "raise SystemExit(3)",
    "cancels": "raise asyncio.CancelledError",
    "generator-exit": "raise GeneratorExit",
    "hangs": "await self.gate.wait()",
    "takes-it": TAKES_IT,
    "spoils": "event.payload.clear()",
}


@pytest.mark.parametrize("animal", BROKEN)
def test_handler__that_misbehaves__disturbs_neither_publisher_nor_others_and_is_named(plugins: Any, records: Records, animal: str) -> None:
    bad = listener(plugins, "bad", BROKEN[animal], ", timeout=0.05")
    made = [plugins.make("post", POST, provides=PROVIDES), bad, listener(plugins, "good")]

    async def work(hub: HubUnderTest) -> None:
        for n in range(3):
            await send(hub, n)
        assert await until(hub, "good", 3) == [0, 1, 2]
        await until_counted(hub, "bad", "failures", 3)
        assert (await channel(hub, "good"))["failures"] == 0

    on_hub(made, work)
    line = records.logs("bad", event="event.handler.failed")[0]
    assert (line.plugin, line.levelname) == ("bad", "WARNING")  # type: ignore[attr-defined]


def test_events__of_one_unit_and_of_many__come_in_order(plugins: Any) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "good"), listener(plugins, "slow", "await asyncio.sleep(0)")]

    async def work(hub: HubUnderTest) -> None:
        for first in range(0, 200, 20):
            await send(hub, first, 20)
        assert await until(hub, "good", 200) == await until(hub, "slow", 200) == list(range(200))
        await asyncio.gather(*(send(hub, 1000 + n) for n in range(40)))
        both = [(await until(hub, name, 240))[200:] for name in ("good", "slow")]
        assert both[0] == both[1]
        assert sorted(both[0]) == [1000 + n for n in range(40)]

    on_hub(made, work)


@pytest.mark.parametrize(("how", "left"), [("all", []), ("part", [1, 3]), ("rollback", [4])])
def test_unit__rolled_back__tells_only_what_was_committed(plugins: Any, how: str, left: list[int]) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "good")]

    async def work(hub: HubUnderTest) -> None:
        changed = await hub.client().request("POST", "/api/post/change-mind", query={"how": how})
        assert changed.status == (500 if how == "all" else 201)
        await send(hub, 9)
        assert await until(hub, "good", len(left) + 1) == [*left, 9]
        assert [event.payload["n"] for event in await Records().events(hub)] == [*left, 9]

    on_hub(made, work)


@pytest.mark.skipif(bool(server()), reason="there the unit runs in the loop, and a cancelled one is rolled back")
def test_publisher__that_goes_away_while_its_unit_runs__is_heard_all_the_same(plugins: Any) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "good")]

    async def work(hub: HubUnderTest) -> None:
        post = hub.hub.generation.loaded("post")
        assert post is not None
        assert post.context is not None
        context = post.context
        loop, running, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def unit(session: Any) -> None:
            context.db.publish(session, Event(type="post.Sent", payload={"n": 5}))
            loop.call_soon_threadsafe(running.set)
            go_on.wait(10)

        writing = asyncio.create_task(context.db.write(unit))
        await running.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()
        assert await until(hub, "good", 1) == [5]

    on_hub(made, work)


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ({"type": "post.Sant"}, 422, "unknown-event-type"),
        ({"type": "elsewhere.Happened"}, 422, "unknown-event-type"),
        ({"payload": {"n": "one"}}, 422, "event-does-not-fit"),
        ({"payload": {}}, 422, "event-does-not-fit"),
        ({"type": "post.Read"}, 422, "event-does-not-fit"),
        ({"subject": "x" * 121}, 422, "event-does-not-fit"),
        ({"payload": {"n": 1, "more": "x" * 65_536}}, 413, "event-too-large"),
    ],
)
def test_publish__of_what_was_not_declared__is_refused_and_nothing_is_written(plugins: Any, event: dict[str, Any], status: int, code: str) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES)]

    async def work(hub: HubUnderTest) -> Any:
        answer = await hub.client().request("POST", "/api/post/wrong", json=event)
        assert await Records().events(hub) == []
        return answer

    answer = on_hub(made, work)
    assert (answer.status, answer.json()["code"], answer.json()["plugin"]) == (status, code, "post")
    assert code != "unknown-event-type" or answer.json()["hint"] == (
        "Did you mean post.Sent?" if event["type"] == "post.Sant" else "Declare it in the hook event_types of post."
    )


def test_queue__full__drops_counts_and_says_so(plugins: Any, records: Records) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "stuck", "await self.gate.wait()")]

    async def work(hub: HubUnderTest) -> None:
        await send(hub, 0)
        await until(hub, "stuck", 1, "begun")
        await send(hub, 1, 1010)
        assert (await channel(hub, "stuck"))["missed"] == 10
        await hub.client().request("POST", "/api/stuck/open")
        assert await until(hub, "stuck", 1001) == list(range(1001))

    on_hub(made, work)
    assert len(records.logs("stuck", event="event.dropped")) == 1


def test_plugin__turned_off__handles_what_waits_and_gets_no_more(plugins: Any, records: Records) -> None:
    body = "await asyncio.sleep(0); ctx.log.info('handled', extra={'n': event.payload['n']})"
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "leaver", body)]

    async def work(hub: HubUnderTest) -> None:
        await send(hub, 0, 50)
        await hub.swap("leaver", enabled=False)
        await send(hub, 100)
        await hub.swap("leaver", enabled=True)
        await send(hub, 200)
        assert await until(hub, "leaver", 1) == [200]

    on_hub(made, work)
    assert [line.n for line in records.logs("leaver", event="handled")] == [*range(50), 200]  # type: ignore[attr-defined]


def test_plugin__that_does_not_end_its_handler__is_stopped_all_the_same(plugins: Any, records: Records) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "stuck", "await self.gate.wait()")]

    async def work(hub: HubUnderTest) -> None:
        await send(hub, 0, 3)
        await until(hub, "stuck", 1, "begun")

    on_hub(made, work, settings={"server": {"drain-seconds": 0.1}})
    assert records.logs("stuck", event="event.drain.late")[0].left == 2  # type: ignore[attr-defined]


def test_breaker__opens_after_repeated_failures__skips_and_tries_again(plugins: Any) -> None:
    body = "if event.payload['n'] < 5: raise ValueError"
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "flaky", body), plugins.make("other")]
    clock = FrozenClock()

    async def work(hub: HubUnderTest) -> None:
        await send(hub, 0, 5)
        await until(hub, "flaky", 5, "begun")
        costs = (await hub.client("*").request("GET", "/api/admin/plugins/perf")).json()
        assert next(cost["resting"] for cost in costs if cost["id"] == "flaky") == ["events"]
        repairs = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
        assert "breaker:flaky:events" in [item["id"] for item in repairs]
        await hub.swap("other")
        assert (await channel(hub, "flaky"))["failures"] == 5, "a change of another plugin keeps the counts"
        await send(hub, 10, 2)
        await until_counted(hub, "flaky", "missed", 2)
        clock.advance(11)
        await send(hub, 20)
        assert await until(hub, "flaky", 1) == [20]
        assert (await channel(hub, "flaky"))["breaker"] == "closed"

    on_hub(made, work, clock=clock)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (", timeout=0", "bad-subscription"),
        (", durable=True, retries=51", "bad-subscription"),
        (", durable=True, name='Not Plain'", "bad-subscription"),
        (", timeout=301", "bad-subscription"),
        ("), Subscription(event='post.Sent', handle=handle", "bad-subscription"),
        ("), Subscription(event='Sent', handle=handle", "bad-subscription"),
    ],
)
def test_subscription__that_cannot_be_kept__fails_the_plugin_with_a_remedy(plugins: Any, options: str, code: str) -> None:
    async def work(hub: HubUnderTest) -> None:
        status = hub.status("odd")
        assert (status.code, status.phase) == (code, "collect")
        assert status.remedy

    on_hub([listener(plugins, "odd", options=options)], work)


@pytest.mark.parametrize(
    "bad", ["name='A b', payload=Sent", "name='Sent', payload=Sent", "name='Odd', payload=dict", "name='Odd', payload=Sent, version=0"]
)
def test_event_type__that_is_no_good__fails_the_plugin(plugins: Any, bad: str) -> None:
    code = POST.replace("version=2)]", f"version=2), EventType({bad})]")

    async def work(hub: HubUnderTest) -> None:
        assert hub.status("post").code == "bad-event-type"

    on_hub([plugins.make("post", code, provides=PROVIDES)], work)


def test_subscription__to_what_nobody_declares__is_a_notice_until_somebody_does(plugins: Any) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "good")]

    async def notices(hub: HubUnderTest) -> list[tuple[str, str]]:
        items = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
        return [(item["severity"], item["cause"]) for item in items if item["id"] == "event:good:post.Sent"]

    async def work(hub: HubUnderTest) -> None:
        assert await notices(hub) == []
        await hub.swap("post", enabled=False)
        assert hub.state("good") == "enabled"
        assert await notices(hub) == [("notice", "Plugin post does not run.")]
        await hub.swap("post", enabled=True)
        assert await notices(hub) == []
        await send(hub, 7)
        assert await until(hub, "good", 1) == [7]

    on_hub(made, work)


def test_trace__names_subscriber_and_event(plugins: Any) -> None:
    made = [plugins.make("post", POST, provides=PROVIDES), listener(plugins, "good")]

    async def work(hub: HubUnderTest) -> None:
        calls = hub.hub.tracer.listen(10)
        first = asyncio.ensure_future(anext(calls))
        await asyncio.sleep(0)
        assert hub.hub.tracer.is_on
        await send(hub, 1)
        found = await first
        while found.what != "event post.Sent":
            found = await anext(calls)
        assert (found.plugin, found.outcome) == ("good", "ok")
        await calls.aclose()  # type: ignore[attr-defined]

    on_hub(made, work)


def test_how_to__the_pages_two_plugins__work(plugins: Any, records: Records) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/extend/publish-and-listen-to-events.md").read_text()
    oracle, note = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    made = [plugins.make("quiet-oracle", oracle, provides='["event_types"]'), plugins.make("note", note, provides='["subscriptions"]')]

    async def work(hub: HubUnderTest) -> None:
        while not records.logs("note", event="oracle.asked"):  # noqa: ASYNC110 - a turn of the loop, no time
            await asyncio.sleep(0)

    on_hub(made, work)
    assert records.logs("note", event="oracle.asked")[0].question.startswith("que_")  # type: ignore[attr-defined]
