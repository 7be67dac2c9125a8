"""A model for reading that one plugin builds from the history of others: whole although it came late, was off, and gets all of it twice."""

import asyncio
from typing import Any

import pytest

from luminai.testing import FrozenClock, HubUnderTest, running_hub

CAREER = """
    from typing import Annotated
    from litestar import post
    from litestar.params import FromPath, JSONBody
    from luminai import Event, EventType, hookimpl, policy
    from msgspec import Meta, Struct

    class Happened(Struct):
        what: Annotated[str, Meta(max_length=40)]

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="LetterGenerated", payload=Happened), EventType(name="CvAnalyzed", payload=Happened)]

        @hookimpl
        def routes(self, ctx):
            @post("/api/career/do/{name:str}", opt=policy("career:use"))
            async def do(name: FromPath[str], data: JSONBody[Happened]) -> dict[str, str]:
                event = Event(type=f"career.{name}", payload={"what": data.what})
                return {"id": await ctx.db.write(lambda session: ctx.db.publish(session, event))}
            return [do]
"""
STORY = """
    from typing import Any
    from litestar import Request, get
    from litestar.params import FromQuery
    from luminai import Aggregate, Event, EventType, Subscription, actor_of, hookimpl, policy
    from msgspec import Struct

    class Chapter(Struct):
        source: str
        kind: str
        text: str

    class Story(Struct):
        chapters: list[Chapter] = []

    def apply(state, event):
        chapters = [*state.chapters, Chapter(**event.payload)]
        return Story(sorted(chapters, key=lambda chapter: chapter.source))

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Told", payload=Chapter, keep="lasting")]

        @hookimpl
        def aggregates(self, ctx):
            return [Aggregate(name="story", state=Story, apply=apply, every=2)]

        @hookimpl
        def subscriptions(self, ctx):
            async def tell(event, delivery):
                told = Event(type="story.Told", payload={"source": event.id, "kind": event.type, "text": event.payload["what"]})
                def unit(session):
                    ctx.events.append(session, "story", event.owner, [told])
                    delivery.finish(session)
                await ctx.db.write(unit)
            names = ("LetterGenerated", "CvAnalyzed")
            return [Subscription(event=f"career.{name}", handle=tell, durable=True, since="start") for name in names]

        @hookimpl
        def routes(self, ctx):
            @get("/api/story", opt=policy("story:read"))
            async def read(request: Request[Any, Any, Any], full: FromQuery[bool] = False) -> list[str]:
                who = actor_of(request).subject
                found = await ctx.db.read(lambda session: ctx.events.state(session, "story", who, full=full))
                return [f"{one.kind.partition('.')[2]}: {one.text}" for one in found.state.chapters]
            return [read]
"""


@pytest.mark.shows("TL-10")
def test_story_of_a_person__is_built_from_the_events_of_another_plugin(plugins: Any) -> None:
    career = plugins.make("career", CAREER, provides='["event_types", "routes"]', manifest='scopes = { "career:use" = "Use." }')
    story = plugins.make(
        "story", STORY, provides='["event_types", "aggregates", "subscriptions", "routes"]', manifest='scopes = { "story:read" = "Read." }'
    )

    async def do(hub: HubUnderTest, who: str, name: str, what: str) -> None:
        client = hub.client("career:use", subject=who)
        assert (await client.request("POST", f"/api/career/do/{name}", json={"what": what})).status == 201

    async def told(hub: HubUnderTest, who: str) -> Any:
        await hub.hub.jobs.settle()
        client = hub.client("story:read", subject=who)
        found = (await client.request("GET", "/api/story")).json()
        assert found == (await client.request("GET", "/api/story?full=true")).json(), "snapshots change nothing"
        return found

    async def main() -> None:
        later = {"plugins": {"story": {"approve": ["anonymous-routes"]}}}
        async with running_hub("career", installed=[career, story], settings=later, clock=FrozenClock()) as hub:
            await do(hub, "ann", "CvAnalyzed", "first look")
            await do(hub, "bob", "CvAnalyzed", "his own")
            await do(hub, "ann", "LetterGenerated", "to a baker")
            await hub.swap("story", enabled=True)
            await hub.advance(31)
            assert await told(hub, "ann") == ["CvAnalyzed: first look", "LetterGenerated: to a baker"]
            await hub.swap("story", enabled=False)
            await do(hub, "ann", "LetterGenerated", "to a smith")
            await hub.swap("story", enabled=True)
            whole = ["CvAnalyzed: first look", "LetterGenerated: to a baker", "LetterGenerated: to a smith"]
            assert await told(hub, "ann") == whole
            for name in ("letter-generated", "cv-analyzed"):
                replay = {"subscription": f"story.on-career-{name}"}
                answer = await hub.client("hub:events").request("POST", "/api/admin/event-subscriptions/replay", json=replay)
                assert answer.status == 202, answer.text
            assert (await told(hub, "ann"), await told(hub, "bob")) == (whole, ["CvAnalyzed: his own"])

    asyncio.run(main())
