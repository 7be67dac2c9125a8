"""However an action is asked for, it goes one way: the same check of its input, the same guards, and a line in the audit log."""

import asyncio
import sys
from typing import Any

import pytest

from luminai.testing import FrozenClock, HubUnderTest, running_hub

WORD = """
    class Word(Struct, forbid_unknown_fields=True):
        word: str = "good"
"""
DOES = f"""
    from luminai import Action, EventType, Schedule, hookimpl
    from msgspec import Struct

    DONE = []
{WORD}
    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                DONE.append((job.trigger.partition(":")[0], job.actor.subject, given.word))
                return given
            return [Action(name="say", summary="Says a word.", run=run, scope="does:say", input=Word, output=Word)]
        @hookimpl
        def schedules(self, ctx):
            return [Schedule(name=word, action="say", trigger="every: 1h", input={{"word": word}}) for word in ("good", "bad")]
"""
ASKS = f"""
    from litestar import post
    from litestar.params import FromQuery
    from luminai import Event, EventType, Subscription, hookimpl, policy
    from msgspec import Struct
{WORD}
    HEARD = []

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Asked", payload=Word)]
        @hookimpl
        def subscriptions(self, ctx):
            async def handle(event, delivery):
                HEARD.append(event.payload["word"])
            return [Subscription(event="asks.Asked", handle=handle, durable=True)]
        @hookimpl
        def routes(self, ctx):
            @post("/api/asks/put", opt=policy("asks:put"))
            async def put(word: FromQuery[str]) -> str:
                return await ctx.db.write(lambda session: ctx.actions.put(session, "does.say", {{"word": word}}))
            @post("/api/asks/publish", opt=policy("asks:put"))
            async def publish(word: FromQuery[str]) -> str:
                return await ctx.db.write(lambda session: ctx.db.publish(session, Event(type="asks.Asked", payload={{"word": word}})))
            return [put, publish]
"""
GUARDS = """
    from luminai import Decision, Denied, hookimpl

    class Plugin:
        @hookimpl
        def decisions(self, ctx):
            async def decide(subject):
                given = subject["input"]
                word = given.word if hasattr(given, "word") else given.payload["word"]
                return Denied("guards.bad-word", "Not that word.") if word == "bad" else None
            return [Decision(point="guard.action", decide=decide)]
"""


class Paths:
    """A hub with a plugin that does, one that asks it to, and one that guards."""

    def __init__(self, hub: HubUnderTest) -> None:
        self.hub = hub
        self.client = hub.client("does:say", "asks:put", subject="usr_a")
        self.operator = hub.client("hub:audit", "hub:jobs")

    async def ask(self, word: str) -> None:
        """Have it done by each way but the clock's."""
        for path, body in ((f"asks/put?word={word}", None), (f"asks/publish?word={word}", None), ("actions/does.say", {"word": word})):
            answer = await self.client.request("POST", f"/api/{path}", json=body)
            assert answer.status in (201, 202), answer.body

    async def entries(self, action: str) -> set[tuple[str, str, str, str, str]]:
        """Return the audit log's entries: by what, in whose name, what, how it ended and why."""
        await self.hub.hub.audit.record_noted()
        items = (await self.operator.request("GET", f"/api/admin/audit?action={action}&limit=100")).json()["items"]
        return {(one["actor"], one["actor_subject"], one["object"], one["outcome"], one["detail"].get("code", "")) for one in items}


@pytest.mark.parametrize("every", [False, True])
def test_action__by_whatever_way__is_guarded_and_in_the_audit_log(plugins: Any, every: bool) -> None:
    made = [
        plugins.make("does", DOES, provides='["actions", "schedules"]', manifest='scopes = { "does:say" = "Say." }'),
        plugins.make(
            "asks",
            ASKS,
            provides='["routes", "event_types", "subscriptions"]',
            manifest='requires = { does = ">=0.1" }\nscopes = { "asks:put" = "Put." }',
        ),
        plugins.make("guards", GUARDS, provides='["decisions"]'),
    ]

    async def main() -> None:
        settings = {"audit": {"every-request": every}}
        async with running_hub("does", "asks", "guards", installed=made, clock=FrozenClock(), settings=settings) as hub:
            paths = Paths(hub)
            for word in ("good", "bad"):
                await paths.ask(word)
            await hub.advance(3600)
            done, heard = sys.modules["luminai_does.plugin"].DONE, sys.modules["luminai_asks.plugin"].HEARD
            assert sorted(done) == [("http", "usr_a", "good"), ("plugin", "usr_a", "good"), ("schedule", "hub", "good")]
            assert heard == ["good"]
            dead = (await paths.operator.request("GET", "/api/admin/jobs?state=dead")).json()["items"]
            assert {(one["trigger"].partition(":")[0], one["error_code"], one["attempts"]) for one in dead} == {
                (trigger, "guards.bad-word", 1) for trigger in ("http", "plugin", "event", "schedule")
            }
            asked, delivered = "does.say", "asks.on-asks-asked"
            no = ("denied", "guards.bad-word")
            refused = {
                ("http", "usr_a", asked, *no),
                ("plugin:asks", "usr_a", asked, *no),
                ("schedule", "hub", asked, *no),
                ("event", "usr_a", delivered, *no),
            }
            ran = {("plugin:asks", "usr_a", asked, "ok", "succeeded"), ("schedule", "hub", asked, "ok", "succeeded")}
            also = {("event", "usr_a", delivered, "ok", "succeeded")} if every else set()
            assert await paths.entries("action.ran") == refused | ran | also
            assert len(await paths.entries("action.run")) == 2, "who asks by a request is there from the asking on"

    asyncio.run(main())
