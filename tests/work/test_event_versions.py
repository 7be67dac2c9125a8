"""An event of a version that a handler does not know never reaches it, and is not lost."""

import asyncio
from typing import Any

from luminai.testing import HubUnderTest, running_hub
from luminai.testing.records import only_recorded

PRESS = """
    from litestar import post
    from luminai import Event, EventType, hookimpl, policy
    from msgspec import Struct

    class Printed(Struct):
        title: str

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Printed", payload=Printed, version=2)]

        @hookimpl
        def routes(self, ctx):
            @post("/api/press/print", opt=policy("press:print"))
            async def print_it() -> dict[str, str]:
                event = Event(type="press.Printed", payload={"title": "News"}, version=2)
                return {"id": await ctx.db.write(lambda session: ctx.db.publish(session, event))}
            return [print_it]
"""
SHELF = """
    from luminai import Subscription, hookimpl
    from msgspec import Struct

    SEEN = []

    class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
        versions: tuple[int, ...] = (1,)

    class Plugin:
        config = Config

        @hookimpl
        def subscriptions(self, ctx):
            async def keep(event, delivery):
                SEEN.append(("durable", event.version))
            async def look(event):
                SEEN.append(("quick", event.version))
            versions = ctx.config.versions
            return [
                Subscription(event="press.Printed", handle=keep, durable=True, versions=versions),
                Subscription(event="press.Printed", handle=look, versions=versions),
            ]
"""
SCHEMA = (
    '{"type": "object", "properties": {"versions": {"type": "array", "items": {"type": "integer"}, "default": [1]}}, "additionalProperties": false}'
)


def test_subscription__event_of_an_unknown_version__waits_for_a_plugin_that_knows_it(plugins: Any) -> None:
    press = plugins.make("press", PRESS, provides='["event_types", "routes"]', manifest='scopes = { "press:print" = "Print." }')
    shelf = plugins.make("shelf", SHELF, provides='["subscriptions"]', schema=SCHEMA)

    async def main() -> None:
        async with running_hub("press", "shelf", installed=[press, shelf]) as hub:
            from luminai_shelf.plugin import SEEN

            assert (await hub.client("press:print").request("POST", "/api/press/print")).status == 201
            job = await delivery(hub, "dead")
            assert (job["error_code"], SEEN) == ("unknown-event-version", [])
            await hub.swap("shelf", config={"versions": [1, 2]})
            assert (await hub.client("hub:jobs").request("POST", f"/api/admin/jobs/{job['id']}/retry")).status == 200
            await delivery(hub, "succeeded")
            assert SEEN == [("durable", 2)]
            assert (await hub.client("press:print").request("POST", "/api/press/print")).status == 201
            await hub.hub.jobs.settle()
            await hub.swap("shelf", enabled=False)  # lets what waits be handled
            assert sorted(SEEN) == [("durable", 2), ("durable", 2), ("quick", 2)]

    with only_recorded() as records:
        asyncio.run(main())
    assert records.logs("shelf", event="event.handler.failed")


async def delivery(hub: HubUnderTest, state: str) -> Any:
    """Run what is due, and return the one job of the plugin, which must be in ``state``."""
    await hub.hub.jobs.settle()
    found = (await hub.client("hub:jobs").request("GET", "/api/admin/jobs?plugin=shelf")).json()["items"]
    assert [one["state"] for one in found] == [state], found
    return found[0]
