"""Outbound webhooks: signed as Standard Webhooks says, tried again, turned off when they fail for good, and never towards private addresses."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from luminai.testing import HubUnderTest, running_hub

PLUGIN = """
    from litestar import post
    from litestar.params import FromQuery
    from luminai import Event, EventType, hookimpl, policy
    from msgspec import Struct

    class Sent(Struct):
        n: int

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Sent", payload=Sent), EventType(name="Read", payload=Sent)]

        @hookimpl
        def routes(self, ctx):
            @post("/api/post/send", opt=policy("post:send"))
            async def send(n: FromQuery[int], about: FromQuery[str] = "", kind: FromQuery[str] = "Sent") -> str:
                event = Event(type=f"post.{kind}", payload={"n": n}, subject=about)
                return await ctx.db.write(lambda session: ctx.db.publish(session, event))
            return [send]
"""
SENDS = 'scopes = { "post:send" = "Send." }'


class TickingClock:
    """The real time, and as much later as a test wants: receivers compare signed times with their own."""

    def __init__(self) -> None:
        self.later = 0.0

    def now(self) -> datetime:
        """Return the time."""
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self.later, UTC)

    def monotonic(self) -> float:
        """Return seconds."""
        return asyncio.get_running_loop().time() + self.later


class Receiver:
    """A small HTTP server that keeps what it is sent, and answers what a test says."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.port = 0
        self._server: Any = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.answers.pop(0) if self.answers else 204
        body = f"answer {status} ".encode() * 100
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) if status != 204 else 0}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body if status != 204 else b"")
        await writer.drain()
        writer.close()


class World:
    """A hub with a plugin that publishes, a receiver, and people."""

    def __init__(self, hub: HubUnderTest, receiver: Receiver, clock: TickingClock) -> None:
        self.hub = hub
        self.receiver = receiver
        self.clock = clock
        self.client = hub.client("post:send", subject="usr_a")
        self.other = hub.client("post:send", subject="usr_b")
        self.operator = hub.client("hub:webhooks", "hub:jobs", "hub:plugins", subject="operator")

    async def make(self, *types: str, by: Any = None, **more: Any) -> Any:
        """Make an endpoint at the receiver."""
        answer = await self.try_make(*types, by=by, **more)
        assert answer.status == 201, answer.body
        return answer.json()

    async def try_make(self, *types: str, by: Any = None, **more: Any) -> Any:
        """Ask for an endpoint."""
        body = {"url": self.receiver.url, "types": list(types) or ["post.Sent"], **more}
        return await (by or self.client).request("POST", "/api/endpoints", json=body)

    async def send(self, n: int, *, by: Any = None, **more: Any) -> str:
        """Publish an event and send what is to be sent; return its id."""
        answer = await (by or self.client).request("POST", "/api/post/send", query={"n": n, **more})
        assert answer.status == 201, answer.body
        await self.settle()
        return str(answer.text.strip('"'))

    async def settle(self, later: float = 0.0) -> None:
        """Do what is due."""
        self.clock.later += later
        await self.hub.hub.jobs.settle()

    async def get(self, path: str, by: Any = None) -> Any:
        """Return what somebody reads."""
        answer = await (by or self.client).request("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture
def on_hub(plugins: Any) -> Callable[..., Any]:
    """Return what runs a test's coroutine on a hub with the plugin."""

    def run(test: Any, *, approve: bool = True) -> None:
        made = [plugins.make("post", PLUGIN, provides='["routes", "event_types"]', manifest=SENDS)]

        async def main() -> None:
            receiver, clock = Receiver(), TickingClock()
            await receiver.open()
            try:
                settings = {"endpoints": {"approve": [f"outbound:127.0.0.1:{receiver.port}"] if approve else []}}
                async with running_hub("post", installed=made, clock=clock, settings=settings) as hub:
                    await test(World(hub, receiver, clock))
            finally:
                await receiver.close()

        asyncio.run(main())

    return run


def test_event__is_sent_signed_to_those_whom_it_concerns(on_hub: Any) -> None:
    async def test(world: World) -> None:
        mine = await world.make()
        everyones = await world.make("*", by=world.operator, everyone=True)
        event = await world.send(1)
        assert len(world.receiver.got) == 2
        by_key = {}
        for headers, body in world.receiver.got:
            fits = []
            for one in (mine, everyones):
                try:
                    fits.append((one["id"], Webhook(one["secret"]).verify(body, headers)))
                except WebhookVerificationError:
                    continue
            ((endpoint, message),) = fits
            by_key[endpoint] = message
            assert (headers["webhook-id"], headers["content-type"]) == (event, "application/json")
        assert by_key.keys() == {mine["id"], everyones["id"]}
        message = by_key[mine["id"]]
        assert (message["id"], message["type"], message["data"], message["version"]) == (event, "post.Sent", {"n": 1}, 1)
        with pytest.raises(WebhookVerificationError):
            Webhook(mine["secret"]).verify(world.receiver.got[0][1] + b" ", world.receiver.got[0][0])

        await world.send(2, by=world.other)
        assert len(world.receiver.got) == 3, "somebody else's event is for operators only"
        await world.send(3, by=world.other, about="usr_a")
        await world.send(4, kind="Read")
        assert [Webhook(everyones["secret"]).verify(*reversed(one))["data"]["n"] for one in world.receiver.got[-1:]] == [4]
        assert len(world.receiver.got) == 6

        calls = (await world.get(f"/api/endpoints/{mine['id']}/calls"))["items"]
        assert [(one["status"], one["attempt"], one["type"]) for one in calls] == [(204, 1, "post.Sent")] * 2
        shown = await world.get(f"/api/endpoints/{mine['id']}")
        assert "secret" not in shown
        assert shown["worked_at"] is not None
        jobs = (await world.get("/api/admin/jobs?action=hub.send-event", world.operator))["items"]
        assert {one["state"] for one in jobs} == {"succeeded"}
        assert mine["secret"] not in str([shown, calls, jobs])

    on_hub(test)


def test_secret__changes_without_a_gap_and_is_sealed(on_hub: Any) -> None:
    from sqlalchemy import text

    async def test(world: World) -> None:
        made = await world.make()
        rotated = await world.client.request("POST", f"/api/endpoints/{made['id']}/rotate")
        assert rotated.status == 200, rotated.body
        secret = rotated.json()["secret"]
        assert secret != made["secret"]
        assert rotated.headers["cache-control"] == "no-store"
        await world.send(1)
        headers, body = world.receiver.got[-1]
        assert len(headers["webhook-signature"].split()) == 2
        for one in (made["secret"], secret):
            Webhook(one).verify(body, headers)
        world.clock.later += 25 * 3600
        await world.send(2)
        headers, body = world.receiver.got[-1]
        assert len(headers["webhook-signature"].split()) == 1
        headers["webhook-timestamp"], signed = headers["webhook-timestamp"], headers["webhook-signature"]
        stamp = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert Webhook(secret).sign(headers["webhook-id"], stamp, body.decode()) == signed
        rows = await world.hub.hub.database.read(lambda session: session.execute(text("SELECT secret, old_secret FROM core__endpoints")).all())
        assert secret.encode() not in b"".join(bytes(value) for row in rows for value in row)
        refused = await world.operator.request("POST", f"/api/endpoints/{made['id']}/rotate")
        assert (refused.status, refused.json()["code"]) == (404, "endpoint-not-found"), "not even an operator learns a secret"

    on_hub(test)


def test_failure__is_tried_again_and_one_that_stays_turns_the_endpoint_off(on_hub: Any) -> None:
    async def test(world: World) -> None:
        made = await world.make()
        path = f"/api/endpoints/{made['id']}"
        world.receiver.answers = [500, 302, 200]
        event = await world.send(1)
        await world.settle(15)
        await world.settle(30)
        assert [one[0]["webhook-id"] for one in world.receiver.got] == [event] * 3, "the same id, so that the receiver knows a repetition"
        calls = (await world.get(f"{path}/calls?limit=2"))["items"]
        assert [(one["status"], one["attempt"]) for one in calls] == [(200, 3), (302, 2)]
        assert calls[0]["answer"] == ("answer 200 " * 100)[:500]
        assert (await world.get(path))["failures"] == 0

        world.receiver.answers = [503] * 100
        await world.send(2)
        await world.send(3)
        for _ in range(12):
            await world.settle(4000)
        shown = await world.get(path)
        assert (shown["state"], shown["failures"]) == ("disabled", 20)
        assert shown["reason"] == "20 attempts in a row failed, the last with status 503."
        assert len(world.receiver.got) == 23
        repairs = (await world.get("/api/admin/repairs", world.operator))["items"]
        assert [one["severity"] for one in repairs if one["id"] == f"endpoint::{made['id']}"] == ["notice"]
        await world.send(4)
        assert len(world.receiver.got) == 23, "nothing more is sent"

        world.receiver.answers = []
        assert (await world.client.request("POST", f"{path}/ping")).status == 202
        await world.settle()
        assert b"hub.ping" in world.receiver.got[-1][1]
        assert (await world.client.request("POST", f"{path}/enable")).json()["state"] == "active"
        again = await world.client.request("POST", f"{path}/replay", json={"event": event})
        assert again.status == 202, again.body
        await world.settle()
        assert world.receiver.got[-1][0]["webhook-id"] == event
        unknown = await world.client.request("POST", f"{path}/replay", json={"event": f"evt_{0:032x}"})
        assert (unknown.status, unknown.json()["code"]) == (409, "event-not-for-endpoint")
        world.receiver.answers = [410]
        await world.send(5)
        assert (await world.get(path))["reason"] == "The endpoint says that it is gone (410)."

    on_hub(test)


def test_endpoint__that_must_not_be__is_refused_and_nothing_is_stored(on_hub: Any) -> None:
    private = ("https://127.0.0.1/hook", "https://10.1.2.3/", "https://[::1]:8443/x", "https://169.254.169.254/latest", "https://localhost/hook")
    bad = ("ftp://example.org/", "http://example.org/hook", "https://user:word@example.org/", "https://0x7f.1/", "nothing", "https://a b/")

    async def test(world: World) -> None:
        for url, code in [(url, "private-endpoint") for url in private] + [(url, "bad-endpoint-url") for url in bad]:
            answer = await world.try_make(url=url)
            assert (answer.status in (400, 422), answer.json()["code"]) == (True, code), url
        assert (await world.try_make("post.Sant")).json()["hint"] == "Did you mean post.Sent?"
        assert (await world.try_make("post.Sant")).json()["code"] == "unknown-event-type"
        for more in ({"everyone": True}, {"types": ["*"]}, {"types": ["other.Sent"]}):
            assert (await world.try_make(**more)).json()["code"] == "events-of-others"
        assert (await world.try_make(title="x" * 201)).status == 400
        assert (await world.try_make(*["post.Sent"] * 51)).status == 400
        for who in (world.client, world.operator):
            assert (await world.get("/api/endpoints", who))["items"] == []
        assert (await world.get("/api/admin/endpoints", world.operator))["items"] == []
        answer = await world.try_make()
        assert answer.json()["code"] == "bad-endpoint-url", "http at a private address that nobody approved"

    on_hub(test, approve=False)


def test_endpoints_of_others__are_as_little_there_as_those_that_never_were_and_each_owner_has_twenty(on_hub: Any) -> None:
    async def test(world: World) -> None:
        made = await world.make()
        for method, tail in (("GET", ""), ("GET", "/calls"), ("POST", "/rotate"), ("POST", "/enable"), ("POST", "/ping"), ("DELETE", "")):
            foreign = await world.other.request(method, f"/api/endpoints/{made['id']}{tail}")
            never = await world.other.request(method, f"/api/endpoints/end_{0:032x}{tail}")
            assert (foreign.status, foreign.json()["code"]) == (never.status, never.json()["code"]) == (404, "endpoint-not-found"), tail
        for _ in range(19):
            await world.make()
        many = await world.try_make()
        assert (many.status, many.json()["code"]) == (409, "too-many-endpoints")
        assert len((await world.get("/api/endpoints?limit=100"))["items"]) == 20
        page = await world.get("/api/admin/endpoints?limit=5", world.operator)
        assert len(page["items"]) == 5
        assert page["next_cursor"]
        turned_off = await world.operator.request("POST", f"/api/admin/endpoints/{made['id']}/disable")
        assert turned_off.json()["state"] == "disabled"
        assert (await world.client.request("POST", f"/api/admin/endpoints/{made['id']}/disable")).status == 403
        assert (await world.client.request("DELETE", f"/api/endpoints/{made['id']}")).status == 204
        assert len((await world.get("/api/endpoints?limit=100"))["items"]) == 19

    on_hub(test)
