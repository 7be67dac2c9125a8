"""Traces in the hub itself: by W3C Trace Context in and out, spans only while somebody takes them."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from luminai.telemetry.spans import SpanPlace, read_header
from luminai.testing import running_hub

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLUGIN = """
    from litestar import get
    from luminai import SPAN_POINT, Action, Extension, hookimpl, policy
    from msgspec import Struct

    TAKEN = []

    class Sink:
        name = "sink"
        def sample(self):
            return True
        def take(self, span):
            TAKEN.append(span)
            raise RuntimeError("a sink that fails")

    class Plugin:
        @hookimpl
        def extensions(self, ctx):
            return [Extension(SPAN_POINT, Sink())]
"""
CALLER = """
    from litestar import get
    from litestar.params import FromQuery
    from luminai import Action, Unavailable, hookimpl, policy
    from msgspec import Struct

    class Nothing(Struct):
        pass

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/caller/call", opt=policy(anonymous=True))
            async def call(port: FromQuery[int]) -> int:
                return (await ctx.http.request("GET", f"http://127.0.0.1:{port}/x")).status
            @get("/api/caller/broken", opt=policy(anonymous=True))
            async def broken() -> None:
                raise RuntimeError("broken")
            return [call, broken]
        @hookimpl
        def actions(self, ctx):
            async def work(job, given):
                raise Unavailable("Not now.")
            return [Action(name="work", summary="Work.", run=work, scope="caller:run", input=Nothing, output=Nothing)]
"""
CHAIN = """
    from litestar import post
    from luminai import Action, Event, EventType, Subscription, hookimpl, policy
    from msgspec import Struct

    class Nothing(Struct):
        pass

    class Plugin:
        @hookimpl
        def event_types(self):
            return [EventType(name="Begun", payload=Nothing)]
        @hookimpl
        def subscriptions(self, ctx):
            async def hear(event, delivery):
                pass
            return [Subscription(event="chain.Begun", handle=hear, durable=True)]
        @hookimpl
        def routes(self, ctx):
            @post("/api/chain/begin", opt=policy(anonymous=True))
            async def begin() -> None:
                def unit(session):
                    ctx.actions.put(session, "chain.first", {})
                    ctx.db.publish(session, Event(type="chain.Begun", payload=Nothing()))
                await ctx.db.as_system().write(unit)
            return [begin]
        @hookimpl
        def actions(self, ctx):
            async def first(job, given):
                await ctx.db.as_system().write(lambda session: ctx.actions.put(session, "chain.second", {}))
                return given
            async def second(job, given):
                return given
            kinds = dict(scope="chain:run", input=Nothing, output=Nothing)
            return [Action(name="first", summary="First.", run=first, **kinds), Action(name="second", summary="Second.", run=second, **kinds)]
"""


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (f"00-{TRACE}-{PARENT}-01", SpanPlace(TRACE, PARENT, sampled=True)),
        (f"00-{TRACE}-{PARENT}-00", SpanPlace(TRACE, PARENT, sampled=False)),
        (f"cc-{TRACE}-{PARENT}-03-later", SpanPlace(TRACE, PARENT, sampled=True)),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        ("", None),
    ],
)
def test_traceparent__is_read_as_the_recommendation_says(header: str, place: SpanPlace | None) -> None:
    assert read_header(header.encode()) == place
    assert place is None or read_header(place.header.encode()) == place


def test_calls_carry_the_trace_on__and_so_do_jobs(plugins: Any) -> None:
    made = [
        plugins.make("sink", PLUGIN, provides='["extensions"]'),
        plugins.make("caller", CALLER, provides='["routes", "actions"]', manifest='scopes = { "caller:run" = "Run." }'),
    ]

    async def main() -> None:
        heads: list[str] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            allowed = {"plugins": {"caller": {"approve": ["anonymous-routes", f"outbound:127.0.0.1:{port}"]}}}
            async with running_hub("sink", "caller", installed=made, settings=allowed) as hub:
                assert hub.status("caller").running, hub.status("caller")
                taken = sys.modules["luminai_sink.plugin"].TAKEN
                given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
                assert (await hub.client().request("GET", f"/api/caller/call?port={port}", headers=given)).json() == 204
                (call,) = (span for span in taken if span.name == "http request")
                (request,) = (span for span in taken if span.kind == "server")
                assert f"traceparent: 00-{TRACE}-{call.id}-01" in heads[0].lower()
                assert (call.trace, call.parent, call.kind) == (TRACE, request.id, "client")
                assert (request.name, request.parent, request.error) == ("GET /api/caller/call", PARENT, "")
                taken.clear()
                assert (await hub.client().request("GET", "/api/caller/broken")).status == 500
                assert [span.error for span in taken if span.kind == "server"] == ["500"]
                taken.clear()
                runner = hub.client("caller:run", subject="usr_a")
                await runner.request("POST", "/api/actions/caller.work", json={}, headers={"prefer": "wait=20"})
                (job,) = (span for span in taken if span.name == "job work")
                (request,) = (span for span in taken if span.kind == "server" and span.name.startswith("POST"))
                assert (job.trace, job.parent, job.plugin) == (request.trace, request.id, "caller")
                await hub.swap("sink", enabled=False)
                taken.clear()
                await hub.client().request("GET", "/api/caller/broken")
                assert taken == []
                assert hub.hub.tracer.is_on is False

    asyncio.run(main())


def test_job_and_delivery__are_of_the_trace_of_whoever_caused_them(plugins: Any, caplog: pytest.LogCaptureFixture) -> None:
    provides = '["routes", "actions", "event_types", "subscriptions"]'
    made = [
        plugins.make("sink", PLUGIN, provides='["extensions"]'),
        plugins.make("chain", CHAIN, provides=provides, manifest='scopes = { "chain:run" = "Run." }'),
    ]

    async def main() -> None:
        async with running_hub("sink", "chain", installed=made, settings={"plugins": {"chain": {"approve": ["anonymous-routes"]}}}) as hub:
            assert hub.status("chain").running, hub.status("chain")
            taken = sys.modules["luminai_sink.plugin"].TAKEN
            begun = await hub.client().request("POST", "/api/chain/begin", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            assert begun.status == 201, begun.body
            await hub.hub.jobs.settle()
            (request,) = (span for span in taken if span.kind == "server")
            jobs = {span.name: span for span in taken if span.name.startswith("job ")}
            first = jobs.pop("job first")
            assert (first.trace, first.parent) == (TRACE, request.id)
            second = jobs.pop("job second")
            assert (second.trace, second.parent) == (TRACE, first.id)
            (delivery,) = jobs.values()
            assert (delivery.trace, delivery.parent) == (TRACE, request.id)
            lines = [record for record in caplog.records if record.name == "luminai.jobs" and record.msg == "job"]
            assert [record.__dict__["trace"] for record in lines] == [TRACE] * 3

            await hub.client("chain:run").request("POST", "/api/actions/chain.second", json={}, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
            taken.clear()
            await hub.hub.jobs.settle()
            assert taken == [], "its trace is recorded nowhere"

    with caplog.at_level("INFO", "luminai.jobs"):
        asyncio.run(main())
