"""Traces on their way: read by OpenTelemetry's own messages, from a request through a turn to a provider and out to other services."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from luminai import HealthState
from luminai.testing import running_hub
from luminai_otel.sender import MAX_BATCH

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat", "otel")


class Collector:
    """Takes exports, and answers what a test wants."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.answers: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status = self.answers.pop(0) if self.answers else 200
                self.headers.append({":path": head.split(" ")[1], **headers})
                if status == 200 and "/v1/traces" in head.split("\r\n", 1)[0]:
                    self.read(body)
                writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}" % status)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def read(self, body: bytes) -> None:
        """Read a body by OpenTelemetry's messages. OTLP's JSON has ids in hexadecimal where that of Protocol Buffers has base64."""
        given = json.loads(body)
        for resource in given["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in span:
                            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        request = json_format.Parse(json.dumps(given), ExportTraceServiceRequest(), ignore_unknown_fields=False)
        for resource in request.resource_spans:
            self.services |= {one.value.string_value for one in resource.resource.attributes if one.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Serve a collector."""
    collector = Collector()
    async with await asyncio.start_server(collector.serve, "127.0.0.1", 0) as server:
        collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield collector
        server.close()


def settings(collector: Collector, **config: Any) -> dict[str, Any]:
    """Return what enables the plugin towards the collector."""
    host = collector.url.removeprefix("http://")
    return {
        "plugins": {"otel": {"enabled": True, "approve": [f"outbound:{host}"], "config": {"endpoint": collector.url, "send-seconds": 0.1, **config}}}
    }


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.mark.shows("TL-171")
def test_request__continues_the_callers_trace_down_to_the_provider() -> None:
    async def main() -> None:
        async with collecting() as collector:
            async with running_hub(*CHAT, config={"chat": {"playground": True}}, settings=settings(collector)) as hub:
                headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
                answer = await hub.client().request("POST", "/api/chat", json={"message": "What is light?"}, headers=headers)
                assert answer.status == 200, answer.body
                await hub.client().request("GET", "/api/nowhere/secret-path")
            (request,) = (span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER and span.trace_id.hex() == TRACE)
            assert request.parent_span_id.hex() == PARENT
            assert (attributes(request)["http.response.status_code"], attributes(request)["luminai.plugin"]) == (200, "chat")
            assert request.name == f"POST {attributes(request)['http.route']}"
            assert request.end_time_unix_nano > request.start_time_unix_nano > 1_700_000_000 * 10**9
            mine = {span.span_id: span for span in collector.spans if span.trace_id.hex() == TRACE}
            (turn,) = collector.named("chat turn")
            assert turn.parent_span_id == request.span_id
            (stream,) = (span for span in collector.named("ai stream") if span.span_id in mine)
            assert (stream.parent_span_id, stream.kind) == (turn.span_id, Span.SPAN_KIND_CLIENT)
            assert all(span.parent_span_id in mine for span in mine.values() if span is not request)
            (lost,) = (span for span in collector.spans if attributes(span).get("http.response.status_code") == 404)
            assert lost.trace_id.hex() != TRACE
            assert lost.parent_span_id == b""
            assert collector.services == {"luminai-hub"}
            assert not any("secret" in str(attributes(span)) or "light" in str(attributes(span)) for span in collector.spans)
            assert not any(attributes(span)["luminai.plugin"] == "otel" for span in collector.spans), "sending makes no spans"

    asyncio.run(main())


def test_collector__that_is_busy_gets_them_later_and_one_that_refuses_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_KEY", "Bearer abc")

    async def main() -> None:
        async with collecting() as collector:
            collector.answers = [503]
            async with running_hub("otel", settings=settings(collector, **{"authorization": "env:OTEL_KEY", "send-seconds": 60})) as hub:
                sender = hub.hub.tracer.sinks[0]
                await hub.client().request("GET", "/health/live")
                await sender.flush()
                assert collector.spans == []
                detailed = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()
                (check,) = (one for one in detailed["checks"] if one["plugin"] == "otel")
                assert (check["state"], check["reason"]) == ("degraded", "The collector answered 503.")
                await sender.flush()
                assert len(collector.named("GET /health/live")) == 1
                assert collector.headers[-1]["authorization"] == "bearer abc"
                collector.answers = [400]
                await hub.client().request("GET", "/health/live")
                await sender.flush()
                text = (await hub.client("hub:monitor").request("GET", "/metrics")).text
                assert 'luminai_plugin_otel_spans_dropped_total{reason="refused"}' in text
            assert len(collector.named("GET /health/live")) == 1
            assert collector.named("GET /metrics"), "a stop sends what is left"

    asyncio.run(main())


def test_collector__that_is_away__is_not_tried_with_every_span_though_a_batch_is_full() -> None:
    async def main() -> None:
        async with collecting() as collector:
            collector.answers = [503] * 50
            async with running_hub("otel", settings=settings(collector, **{"send-seconds": 60})) as hub:
                sender, client = hub.hub.tracer.sinks[0], hub.client()
                for _ in range(MAX_BATCH):
                    await client.request("GET", "/health/live")
                async with asyncio.timeout(30):
                    while (await sender.health()).state is HealthState.OK:  # noqa: ASYNC110 - the sender tells nobody
                        await asyncio.sleep(0.01)
                for _ in range(50):
                    await client.request("GET", "/health/live")
                assert len(collector.headers) == 1
                collector.answers = []
                await sender.flush()
                assert len(collector.named("GET /health/live")) >= MAX_BATCH + 50, "nothing was lost"

    asyncio.run(main())


def test_share__none_records_nothing_but_what_others_decided() -> None:
    async def main() -> None:
        async with collecting() as collector:
            async with running_hub("otel", settings=settings(collector, share=0.0)) as hub:
                await hub.client().request("GET", "/api/status")
                await hub.client().request("GET", "/api/status", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
                await hub.client().request("GET", "/api/status", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
                for wrong in ("00-" + "0" * 32 + f"-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more", "x" * 5000):
                    assert (await hub.client().request("GET", "/api/status", headers={"traceparent": wrong})).status == 200
            assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
            assert len(collector.named("GET /api/status")) == 1

    asyncio.run(main())
