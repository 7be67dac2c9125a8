"""``ctx.http``: a plugin's calls under its grants, and the hub's pool that they share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from luminai.contracts.errors import Unavailable
from luminai.contracts.outbound import HttpClient, HttpReply, HttpStream
from luminai.http.outbound.failures import timed_out
from luminai.http.outbound.grants import Grant, outbound_grants
from luminai.telemetry.spans import current as spans
from luminai.telemetry.trace import Tracer

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

    from luminai.http.outbound.addresses import IPAddress
    from luminai.http.outbound.connections import Lookup

MAX_CALLS: Final = 8
MAX_STREAMS: Final = 32
LOOKUP_THREADS: Final = 8
MAX_TIMEOUT: Final = 300.0
MAX_TOTAL: Final = 3600.0
MAX_BYTES: Final = 67_108_864
MAX_REDIRECTS: Final = 3


class Outbound:
    """The hub's way out; it outlives generations. Nothing is loaded or opened before the first call.

    Args:
        lookup: Resolves names; the machine's resolver, in threads of its own so that a slow one holds up nothing else, when None.
    """

    def __init__(self, tracer: Tracer, *, lookup: Lookup | None = None) -> None:
        self.tracer = tracer
        self._lookup = lookup or self._ask_the_machine
        self._threads: ThreadPoolExecutor | None = None
        self._sessions: dict[bool, ClientSession] = {}
        self._opening = asyncio.Lock()
        self._closed = False
        self._slots: dict[tuple[str, str, int], asyncio.Semaphore] = {}

    def client(self, owner: str, approved: Iterable[str], *, calls: int = MAX_CALLS, streams: int = MAX_STREAMS) -> HttpClient:
        """Return the client of a plugin, or of a part of the core, with what its operator approved.

        Its slots stay the same over generations; when an operator gives it more or fewer, what runs under the old number ends under it.

        Args:
            calls: Whole answers at once.
            streams: Streams at once.

        Raises:
            ValueError: an outbound grant cannot be read.
        """
        slots = [self._slots.setdefault((owner, kind, most), asyncio.Semaphore(most)) for kind, most in (("calls", calls), ("streams", streams))]
        return PluginHttp(self, owner, outbound_grants(approved), *slots)

    async def session(self, private: bool = False) -> ClientSession:
        """Return the session that all share; ``private`` is that for private services which are granted by name.

        Raises:
            Unavailable: the hub stops.
        """
        async with self._opening:
            if self._closed:
                raise Unavailable("The hub is stopping.", code="stopping")
            if private not in self._sessions:
                await asyncio.to_thread(import_module, "luminai.http.outbound.stream")
                from luminai.http.outbound.connections import open_session, trusted_authorities

                self._sessions[private] = open_session(self._lookup, await asyncio.to_thread(trusted_authorities), private=private)
            return self._sessions[private]

    async def addresses(self, host: str, port: int) -> list[IPAddress]:
        """Return where a name leads now, [] when nobody knows."""
        from ipaddress import ip_address

        try:
            return [ip_address(one) for one in await self._lookup(host, port)]
        except (OSError, ValueError):
            return []

    async def close(self) -> None:
        """End all calls and close all connections."""
        async with self._opening:
            self._closed = True
            for session in self._sessions.values():
                await session.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask_the_machine(self, host: str, port: int) -> Sequence[str]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="luminai-lookup")
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host, port)
        return list(dict.fromkeys(found))


def _addresses(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PluginHttp:
    """Implements ``HttpClient`` for one owner."""

    def __init__(self, outbound: Outbound, owner: str, grants: tuple[Grant, ...], calls: asyncio.Semaphore, streams: asyncio.Semaphore) -> None:
        self._outbound = outbound
        self._owner = owner
        self._grants = grants
        self._calls = calls
        self._streams = streams

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        timeout: float = 10.0,
        max_bytes: int = 1_048_576,
        redirects: int = 0,
    ) -> HttpReply:
        """Return the answer."""
        _within(timeout=(timeout, MAX_TIMEOUT), max_bytes=(max_bytes, MAX_BYTES))
        with self._outbound.tracer.span(self._owner, "http request"):
            try:
                async with asyncio.timeout(timeout), self._calls:
                    response = await self._send(method, url, headers, body, json, redirects)
                    from luminai.http.outbound.exchange import plain_headers, read_pieces

                    try:
                        whole = b"".join([piece async for piece in read_pieces(response, max_bytes=max_bytes)])
                    finally:
                        response.close()
            except TimeoutError:
                raise timed_out(f"No whole answer within {timeout:g} s.") from None
        return HttpReply(status=response.status, headers=plain_headers(response), body=whole)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json: Any = None,
        timeout: float = 10.0,
        idle: float = 30.0,
        total: float = 600.0,
        max_bytes: int = 16_777_216,
        redirects: int = 0,
    ) -> AsyncIterator[HttpStream]:
        """Give the answer to the block."""
        _within(timeout=(timeout, MAX_TIMEOUT), idle=(idle, MAX_TIMEOUT), total=(total, MAX_TOTAL), max_bytes=(max_bytes, MAX_BYTES))
        end = asyncio.get_running_loop().time() + total
        with self._outbound.tracer.span(self._owner, "http stream"):
            slots = self._streams
            response = None
            try:
                async with asyncio.timeout(min(timeout, total)):
                    await slots.acquire()
                    try:
                        response = await self._send(method, url, headers, body, json, redirects)
                    except BaseException:
                        slots.release()
                        raise
            except TimeoutError:
                raise timed_out(f"No answer began within {timeout:g} s.") from None
            from luminai.http.outbound.stream import Stream

            stream = Stream(response, idle=idle, end=end, max_bytes=max_bytes)
            try:
                yield stream
            finally:
                stream.close()
                slots.release()

    async def _send(self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None, json: Any, redirects: int) -> ClientResponse:
        if not 0 <= redirects <= MAX_REDIRECTS:
            raise ValueError(f"redirects is 0 to {MAX_REDIRECTS}")
        await self._outbound.session()  # loads the library, off the loop
        from luminai.http.outbound.exchange import make_call, send

        place = spans.get() if self._outbound.tracer.sinks else None
        if place is not None and self._owner not in self._outbound.tracer.untraced:
            headers = {**(headers or {}), "traceparent": place.header}
        return await send(self._outbound.session, make_call(method, headers, body, json), url, self._grants, redirects=redirects)


def _within(**bounds: tuple[float, float]) -> None:
    for name, (value, most) in bounds.items():
        if not 0 < value <= most:
            raise ValueError(f"{name} is more than 0 and at most {most:g}")
