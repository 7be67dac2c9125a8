"""Where calls of plugins end up: a canary on loopback, names with scripted addresses, and a list of every connection that was tried."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from luminai import HubError
from luminai.http.outbound.client import Outbound
from luminai.telemetry.trace import Tracer

PUBLIC = "93.184.216.34"


class World:
    """A canary on loopback, names with scripted addresses, and a list of every address that a connection was tried to."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.hits = 0
        self.tried: list[tuple[str, int]] = []
        self.names: dict[str, list[list[str]]] = {}
        self.elsewhere = "127.0.0.1"
        self.asked: list[str] = []
        self.routes: dict[tuple[str, int], tuple[str, int]] = {}
        self.answer: Callable[[str], bytes] = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"

    async def open(self) -> None:
        self.canary = await asyncio.start_server(self._count, "127.0.0.1", 0)
        self.port: int = self.canary.sockets[0].getsockname()[1]
        self.six = await asyncio.start_server(self._count, "::1", self.port) if socket.has_dualstack_ipv6() else None
        self.hop = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.hop_port: int = self.hop.sockets[0].getsockname()[1]
        self.outbound = Outbound(Tracer(), lookup=self.lookup)

    async def close(self) -> None:
        await self.outbound.close()
        for server in filter(None, (self.canary, self.six, self.hop)):
            server.close()
            await server.wait_closed()

    async def lookup(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.names.get(host, [[self.elsewhere]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def call(self, url: str, *, approved: tuple[str, ...] | None = None, **options: Any) -> Any:
        """Return the answer to a plugin that may call every public host, at the canary's port too."""
        everything = ("outbound:*", f"outbound:*:{self.port}", f"outbound:*.example.org:{self.port}", f"outbound:127.0.0.1:{self.hop_port}")
        client = self.outbound.client("caller", everything if approved is None else approved)
        return self.run(client.request("GET", url, timeout=2.0, **options))

    def refusal(self, url: str, **options: Any) -> str:
        with pytest.raises(HubError) as caught:
            self.call(url, **options)
        return caught.value.code

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(self.answer(head))
        await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def world(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(runner)
    runner.run(world.open())
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            world.tried.append(address[:2])
            address = world.routes.get(address[:2], address)
            if not ip_address(address[0]).is_loopback:
                raise ConnectionRefusedError("the test has no way there")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield world
    runner.run(world.close())
