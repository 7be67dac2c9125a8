"""A service on loopback that answers as a test wrote down: word for word, byte for byte, and not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from luminai.http.outbound.client import Outbound
from luminai.telemetry.trace import Tracer

HANG = object()
"""Nothing comes any more."""
ABORT = object()
"""The connection is reset."""
Step = bytes | float | object
"""Bytes to send, seconds to wait, ``HANG`` or ``ABORT``. An answer ends with the connection."""


class Asked:
    """One request."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = json.loads(body) if body else None


class Service:
    """Answers each request by ``answer``; ``asked`` are the requests, ``left`` counts the readers that hung up before the end."""

    def __init__(self) -> None:
        self.answer: Callable[[Asked], Sequence[Step]] = lambda _: head(404)
        self.asked: list[Asked] = []
        self.left = 0
        self.port = 0
        self._gone = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def grant(self) -> str:
        return f"outbound:127.0.0.1:{self.port}"

    async def has_left(self) -> None:
        """Return when a reader hung up."""
        async with asyncio.timeout(5):
            await self._gone.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            method, path, _ = start.split(" ")
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(Asked(method, path, headers, body))
            gone = asyncio.ensure_future(reader.read(1))
            for step in self.answer(self.asked[-1]):
                if step is ABORT:
                    writer.transport.abort()
                    return
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                    if not gone.done():
                        continue
                await asyncio.wait([gone], timeout=step if isinstance(step, float) else None if step is HANG else 0)
                if gone.done():
                    self.left += 1
                    self._gone.set()
                    return
            gone.cancel()
        except (OSError, asyncio.IncompleteReadError):
            self.left += 1
            self._gone.set()
        finally:
            writer.close()


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """Run a service for the length of a block."""
    one = Service()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def client(*grants: str) -> AsyncIterator[Any]:
    """Give what ``ctx.http`` is."""
    outbound = Outbound(Tracer())
    try:
        yield outbound.client("caller", grants)
    finally:
        await outbound.close()


def run(work: Callable[[Service, Any], Awaitable[Any]]) -> Any:
    """Return what ``work`` makes of a service and a client that may call it."""

    async def main() -> Any:
        async with service() as there, client(there.grant) as http:
            return await work(there, http)

    return asyncio.run(main())


def head(status: int = 200, kind: str = "application/json", **headers: str) -> list[bytes]:
    """Return the beginning of an answer that ends with the connection."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return [f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Connection: close\r\n\r\n".encode()]


def whole(body: Any, status: int = 200, **headers: str) -> list[bytes]:
    """Return an answer in JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [*head(status, Content_Length=str(len(content)), **headers), content]


def sse(*data: Any, event: bool = False) -> list[bytes]:
    """Return server-sent events, one of each."""
    found = []
    for one in data:
        text = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        name = f"event: {one['type']}\n" if event else ""
        found.append(f"{name}data: {text}\n\n".encode())
    return found


def lines(*data: Any) -> list[bytes]:
    """Return JSON lines."""
    return [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in data]
