"""How calls to other services end: answers within bounds, redirects, slots, streams. The services are real sockets on loopback."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from luminai import HubError, Upstream
from luminai.http.outbound.client import Outbound
from luminai.telemetry.trace import Tracer

Serve = Callable[[str, asyncio.StreamWriter, asyncio.StreamReader], Awaitable[None]]
AT_ONCE = 3
"""What the operator of these tests allows of each kind."""
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


class Service:
    """A socket on loopback that answers as told, and a client that may call it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.arrived = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.tracer = Tracer()
        self.outbound = Outbound(self.tracer)

    def approve(self, *ports: int) -> Any:
        return self.outbound.client("caller", [f"outbound:127.0.0.1:{port}" for port in ports], calls=AT_ONCE, streams=AT_ONCE)

    async def failure(self, call: Awaitable[Any]) -> str:
        with pytest.raises(HubError) as caught:
            await call
        return caught.value.code


@asynccontextmanager
async def serving(service: Service, serve: Serve) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length:")), 0)
            service.heard.append(head + (await reader.readexactly(length)).decode())
            service.arrived.set()
            await serve(head, writer, reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            service.hung_up.set()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def with_service(work: Callable[[Service, Any, str], Awaitable[Any]], serve: Serve | bytes) -> Any:
    """Run ``work(service, client, base URL)`` against a service that answers with ``serve``."""

    async def answer(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        if " /ok " in head:
            writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
        elif isinstance(serve, bytes):
            writer.write(serve)
            await writer.drain()
        else:
            await serve(head, writer, reader)

    async def main() -> Any:
        service = Service()
        await service.outbound.session()  # the library is loaded before a short deadline runs
        try:
            async with serving(service, answer) as port:
                return await work(service, service.approve(port), f"http://127.0.0.1:{port}")
        finally:
            await service.outbound.close()

    return asyncio.run(main())


async def silence(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    """Say nothing until the caller goes."""
    await reader.read()
    raise ConnectionResetError


async def endless(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    writer.write(HEAD + b"\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_header(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_headers(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: yes\r\n" * 1000)
        await writer.drain()


async def drip(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    writer.write(HEAD + b"\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def informational(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)
        await writer.drain()
        await asyncio.sleep(0.01)


def packed(encoding: str, body: bytes) -> bytes:
    return HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


BOMB = gzip.compress(bytes(64 * 1024 * 1024), 9)
DEFLATE_BOMB = zlib.compress(bytes(64 * 1024 * 1024), 9)


@pytest.mark.parametrize(
    ("serve", "code"),
    [
        pytest.param(HEAD + b"Content-Length: 1025\r\n\r\n" + b"x" * 1025, "outbound-too-large", id="one byte more"),
        pytest.param(endless, "outbound-too-large", id="endless body"),
        pytest.param(packed("gzip", BOMB), "outbound-too-large", id="gzip bomb"),
        pytest.param(packed("deflate", DEFLATE_BOMB), "outbound-too-large", id="deflate bomb"),
        pytest.param(endless_header, "outbound-failed", id="endless header"),
        pytest.param(HEAD + b"X-Long: " + b"x" * 9000 + b"\r\n\r\n", "outbound-failed", id="long header"),
        pytest.param(endless_headers, "outbound-failed", id="endless headers"),
        pytest.param(HEAD + b"X-Many: yes\r\n" * 200 + b"\r\n", "outbound-failed", id="many headers"),
        pytest.param(silence, "outbound-timeout", id="no answer"),
        pytest.param(drip, "outbound-timeout", id="slow body"),
        pytest.param(informational, "outbound-timeout", id="only early hints"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "outbound-failed", id="no HTTP"),
        pytest.param(b"", "outbound-failed", id="hangs up"),
        pytest.param(HEAD + b"Content-Length: 10\r\n\r\nhalf", "outbound-failed", id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "outbound-failed", id="bad chunk"),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "outbound-failed", id="two lengths"),
        pytest.param(packed("gzip", b"not packed"), "outbound-failed", id="not gzip"),
        pytest.param(packed("br", b"\x0b\x02\x80hello\x03"), "outbound-failed", id="packed as nobody asked"),
    ],
)
def test_answer__beyond_its_bounds__ends_the_call_and_frees_its_slot(serve: Any, code: str) -> None:
    async def work(service: Service, client: Any, base: str) -> list[str]:
        seconds = 0.2 if code == "outbound-timeout" else 5.0
        codes = [await service.failure(client.request("GET", base, timeout=seconds, max_bytes=1024)) for _ in range(AT_ONCE)]
        assert (await client.request("GET", f"{base}/ok")).status == 200
        return codes

    assert with_service(work, serve) == [code] * AT_ONCE


def test_answer__bomb__never_lies_unpacked_in_memory() -> None:
    async def work(service: Service, client: Any, base: str) -> int:
        await service.failure(client.request("GET", base))  # loads the library
        tracemalloc.start()
        try:
            assert await service.failure(client.request("GET", base, max_bytes=65536)) == "outbound-too-large"
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert with_service(work, packed("gzip", BOMB)) < 8 * 1024 * 1024


def test_answer__whole__has_status_headers_and_unpacked_body() -> None:
    body = gzip.compress(b'{"n": 1}')

    async def work(service: Service, client: Any, base: str) -> Any:
        return await client.request("POST", f"{base}/a?b=c", json={"q": "ä"}, headers={"X-Api-Key": "k"}, max_bytes=8)

    status = b"HTTP/1.1 418 No\r\nConnection: close\r\nX-Two: a\r\nx-two: b\r\n"
    reply = with_service(work, status + f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    assert (reply.status, reply.body, reply.headers["x-two"], reply.json()) == (418, b'{"n": 1}', "a, b", {"n": 1})
    with pytest.raises(Upstream):
        reply.json(list[int])


def test_request__sends_what_was_given_and_nothing_of_the_hub() -> None:
    async def work(service: Service, client: Any, base: str) -> str:
        await client.request("put", f"{base}/ä?q=1#part", body=b"raw", headers={"Content-Type": "text/plain", "Authorization": "Bearer t"})
        return service.heard[0]

    head, _, body = with_service(work, HEAD + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n").partition("\r\n\r\n")
    lines = head.split("\r\n")

    assert lines[0] == "PUT /%C3%A4?q=1 HTTP/1.1"
    assert body == "raw"
    names = {line.split(":")[0].lower() for line in lines[1:]}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "authorization"}
    assert "User-Agent: luminai" in lines


@pytest.mark.parametrize(
    "options",
    [
        {"method": "CONNECT"},
        {"method": "TRACE"},
        {"method": "GET / HTTP/1.1\r\nX: "},
        *(
            {"headers": {name: "x"}}
            for name in ("Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "Proxy-Authorization", "Expect")
        ),
        *({"headers": {name: "x"}} for name in ("", "a b", "a:b", "a\r\nb", "ä")),
        *({"headers": {"X": value}} for value in ("a\r\nHost: b", "a\nb", "a\x00b", "ä", "x" * 9000)),
        {"headers": {f"X-{number}": "x" for number in range(65)}},
        {"body": bytes(33_554_433)},
    ],
)
def test_request__may_not_be_sent__is_refused_before_it_leaves(options: dict[str, Any]) -> None:
    async def work(service: Service, client: Any, base: str) -> tuple[str, list[str]]:
        return await service.failure(client.request(**{"method": "GET", "url": base} | options)), service.heard

    assert with_service(work, HEAD + b"Content-Length: 0\r\n\r\n") == ("outbound-refused", [])


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": 301}, {"max_bytes": 2**30}, {"redirects": 4}, {"redirects": -1}, {"body": b"", "json": 1}]
)
def test_request__number_out_of_bounds__is_the_authors_error(options: dict[str, Any]) -> None:
    async def work(service: Service, client: Any, base: str) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            await client.request("GET", base, **options)

    with_service(work, b"")


@pytest.mark.parametrize(
    ("status", "method", "goes_on_as"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (303, "HEAD", "HEAD"),
    ],
)
def test_redirect__same_origin__keeps_headers_and_changes_method_as_the_standard_says(status: int, method: str, goes_on_as: str) -> None:
    async def serve(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        there = " /there " in head
        start = HEAD if there else f"HTTP/1.1 {status} Go\r\nLocation: there\r\nConnection: close\r\n".encode()
        writer.write(start + b"Content-Length: 0\r\n\r\n")

    async def work(service: Service, client: Any, base: str) -> str:
        sent = {} if method == "HEAD" else {"body": b"body"}
        await client.request(method, f"{base}/here", headers={"Authorization": "t"}, redirects=1, **sent)
        return service.heard[1]

    second = with_service(work, serve)

    assert second.startswith(f"{goes_on_as} /there ")
    assert "Authorization: t" in second
    assert second.endswith("\r\n\r\nbody") == (goes_on_as in ("POST", "PUT"))


def test_redirect__other_origin__carries_no_secret() -> None:
    secrets = {"Authorization": "s1", "Cookie": "s2", "X-Api-Key": "s3", "Accept": "text/html"}

    async def main() -> str:
        service = Service()

        async def here(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
            writer.write(f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

        async def there(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
            writer.write(HEAD + b"Content-Length: 0\r\n\r\n")

        try:
            async with serving(service, there) as other, serving(service, here) as port:
                await service.approve(port, other).request("GET", f"http://127.0.0.1:{port}/", headers=secrets, redirects=1)
                return service.heard[1]
        finally:
            await service.outbound.close()

    second = asyncio.run(main())

    assert "Accept: text/html" in second
    assert not any(secret in second for secret in ("s1", "s2", "s3"))


def test_redirect__not_asked_for__is_the_answer() -> None:
    async def work(service: Service, client: Any, base: str) -> Any:
        return await client.request("GET", base)

    reply = with_service(work, b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    assert (reply.status, reply.headers["location"]) == (302, "http://169.254.169.254/")


def test_calls__more_than_slots__wait_within_their_own_deadline_and_take_no_slot_of_another_plugin() -> None:
    async def work(service: Service, client: Any, base: str) -> tuple[list[str], int, int, int]:
        busy = [asyncio.ensure_future(service.failure(client.request("GET", base, timeout=60))) for _ in range(AT_ONCE)]
        busy += [asyncio.ensure_future(service.failure(opening(client, base, timeout=60))) for _ in range(AT_ONCE)]
        while len(service.heard) < 2 * AT_ONCE:
            await service.arrived.wait()
            service.arrived.clear()
        waiting = [await service.failure(call) for call in (client.request("GET", base, timeout=0.1), opening(client, base, timeout=0.1))]
        arrived = len(service.heard)
        other = service.outbound.client("other", [f"outbound:127.0.0.1:{base.rpartition(':')[2]}"])
        status = (await other.request("GET", f"{base}/ok")).status
        busy[0].cancel()
        freed = (await client.request("GET", f"{base}/ok")).status
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        return waiting, arrived, status, freed

    async def opening(client: Any, base: str, *, timeout: float) -> None:
        async with client.stream("GET", base, timeout=timeout):
            pass

    assert with_service(work, silence) == (["outbound-timeout"] * 2, 2 * AT_ONCE, 200, 200), "streams take no slot of short calls"


def test_stream__gives_pieces_as_they_come() -> None:
    go_on = asyncio.Event()

    async def serve(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        writer.write(HEAD + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await writer.drain()
        await go_on.wait()
        writer.write(b"data: 2\n\n")

    async def work(service: Service, client: Any, base: str) -> Any:
        async with client.stream("POST", base, json={}) as answer:
            pieces = answer.chunks()
            first = await anext(pieces)
            go_on.set()
            return answer.status, answer.headers["content-type"], first, b"".join([piece async for piece in pieces])

    assert with_service(work, serve) == (200, "text/event-stream", b"data: 1\n\n", b"data: 2\n\n")


@pytest.mark.parametrize(
    ("serve", "options", "code"),
    [
        pytest.param(silence, {"timeout": 0.2}, "outbound-timeout", id="does not begin"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nx", {}, "outbound-failed", id="breaks off"),
        pytest.param(drip, {"total": 0.3}, "outbound-timeout", id="too long in all"),
        pytest.param(endless, {"max_bytes": 100_000}, "outbound-too-large", id="too much"),
    ],
)
def test_stream__beyond_its_bounds__ends_and_frees_its_slot(serve: Any, options: dict[str, Any], code: str) -> None:
    async def gather(client: Any, base: str) -> None:
        async with client.stream("GET", base, **options) as answer:
            async for _ in answer.chunks():
                pass

    async def work(service: Service, client: Any, base: str) -> list[str]:
        codes = [await service.failure(gather(client, base)) for _ in range(AT_ONCE)]
        assert (await client.request("GET", f"{base}/ok")).status == 200
        return codes

    assert with_service(work, serve) == [code] * AT_ONCE


def test_stream__falls_silent__is_cut_after_idle_seconds() -> None:
    async def serve(head: str, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        writer.write(HEAD + b"\r\nfirst")
        await writer.drain()
        await silence(head, writer, reader)

    async def work(service: Service, client: Any, base: str) -> tuple[list[bytes], str]:
        heard = []

        async def listen() -> None:
            async with client.stream("GET", base, idle=0.2) as answer:
                async for piece in answer.chunks():
                    heard.append(piece)  # noqa: PERF401 - what came before the silence counts

        return heard, await service.failure(listen())

    assert with_service(work, serve) == ([b"first"], "outbound-timeout")


def test_stream__left_early__hangs_up() -> None:
    async def work(service: Service, client: Any, base: str) -> None:
        async with client.stream("GET", base) as answer:
            await anext(answer.chunks())
        await asyncio.wait_for(service.hung_up.wait(), 5)

    with_service(work, endless)


def test_call__cancelled__hangs_up_and_frees_its_slot() -> None:
    async def work(service: Service, client: Any, base: str) -> None:
        for _ in range(AT_ONCE + 1):
            task = asyncio.ensure_future(client.request("GET", base, timeout=5))
            await service.arrived.wait()
            service.arrived.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(service.hung_up.wait(), 5)

    with_service(work, silence)


def test_calls__are_told_by_the_tracer_with_their_plugin() -> None:
    async def work(service: Service, client: Any, base: str) -> list[Any]:
        calls: list[Any] = []

        async def listen() -> None:
            async for call in service.tracer.listen(5):
                calls.append((call.plugin, call.what, call.outcome))
                if len(calls) == 2:
                    return

        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0)  # its first step: it listens
        await client.request("GET", base)
        await service.failure(client.request("GET", "http://other.example.org/?key=secret"))
        await listening
        return calls

    assert with_service(work, HEAD + b"Content-Length: 0\r\n\r\n") == [("caller", "http request", "ok"), ("caller", "http request", "Upstream")]


def test_outbound__closed__calls_nobody_anymore() -> None:
    async def work(service: Service, client: Any, base: str) -> tuple[str, list[str]]:
        await service.outbound.close()
        return await service.failure(client.request("GET", base)), service.heard

    assert with_service(work, b"") == ("stopping", [])


def test_failure__names_no_path_query_or_address() -> None:
    async def work(service: Service, client: Any, base: str) -> str:
        port = int(base.rsplit(":", 1)[1])
        with pytest.raises(HubError) as caught:
            await client.request("GET", f"{base}/private/path?key=hunter2")
        assert str(port) not in caught.value.detail
        return f"{caught.value.detail} {caught.value.hint} {caught.value.__suppress_context__}"

    said = with_service(work, b"")

    assert "hunter2" not in said
    assert "private" not in said
    assert said.endswith("True"), "the library's error, which names the URL, is not shown with ours"
