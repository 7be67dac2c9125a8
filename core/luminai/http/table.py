"""Which app answers a path: an immutable table of claimed prefixes, and the count of the requests that began on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from litestar import Litestar
from litestar.types import ASGIApp

from luminai.contracts.errors import HubError, NotFound
from luminai.http.streams import RECONNECT, OpenStream
from luminai.telemetry.breaker import Breaker

_COMMON: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
MAX_REMEMBERED: Final = 4096
"""Paths whose entry a table remembers."""
_HTTPS: Final = [(b"strict-transport-security", b"max-age=31536000; includeSubDomains")]
_STRICT: Final = [(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")]


def head_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header lines ready to be written, with the request id's name last."""
    return b"".join([b"%b: %b\r\n" % header for header in headers]) + b"x-request-id: "


class AppEntry:
    """A plugin's app with its breaker and its figures: requests, those that ended with status 500, seconds in all.

    ``answer`` is what is called: of a Litestar app what stands behind its own entrance, which only names the app in the scope; the edge does that.
    """

    __slots__ = ("answer", "app", "breaker", "failures", "owner", "requests", "seconds")

    def __init__(self, owner: str, app: ASGIApp, breaker: Breaker | None = None) -> None:
        self.owner = owner
        self.app = app
        self.answer: ASGIApp = app.asgi_handler if isinstance(app, Litestar) else app
        self.breaker = breaker or Breaker()
        self.requests = 0
        self.failures = 0
        self.seconds = 0.0

    def note(self, status: int, seconds: float) -> None:
        """Count a request that ended; 500 is the plugin's own fault, any other status is an answer."""
        self.requests += 1
        self.seconds += seconds
        if status == 500:
            self.failures += 1
            self.breaker.failed()
        elif self.breaker.watching:
            if status:
                self.breaker.succeeded()
            else:
                self.breaker.abandoned()


class OffEntry:
    """Stands where a plugin's routes would be: answers with the plugin's id, state and remedy."""

    __slots__ = ("error", "owner")

    def __init__(self, owner: str, error: HubError) -> None:
        self.owner = owner
        self.error = error


Entry = AppEntry | OffEntry


_ODD: Final = re.compile(r"//|[\x00\\\ufffd]")
"""In no path: two readers could read it two ways."""
NOWHERE: Final = OffEntry("core", NotFound("There is nothing at this path.", code="unknown-route"))


class PrefixTable:
    """The longest prefix that ends at a segment boundary wins; ``root`` takes the rest.

    Entries never change. ``inflight`` counts the requests that began on this table, so that what it led to can be drained before it is let go.

    Args:
        entries: What answers by prefix.
        root: What answers where no prefix fits.
        is_https: Whether browsers are told to come back by HTTPS only.
        generation: Number shown as ``Luminai-Generation`` in every response of a request that began on this table.
    """

    def __init__(self, entries: Mapping[str, Entry], root: Entry, *, generation: int, is_https: bool = False) -> None:
        self._entries: dict[str, Entry] = {prefix: entry for prefix, entry in entries.items() if prefix != "/"}
        self._root = entries.get("/", root)
        self._depth = max((prefix.count("/") for prefix in self._entries), default=0)
        self._found: dict[str, Entry] = {}
        self._idle: asyncio.Event | None = None
        self.generation = generation
        self.headers = [*_COMMON, *(_HTTPS if is_https else ()), (b"luminai-generation", b"%d" % generation)]
        self.strict_headers = [*self.headers, *_STRICT]
        self.head, self.strict_head = head_of(self.headers), head_of(self.strict_headers)
        self.inflight = 0
        self.streams: set[OpenStream] = set()

    def find(self, path: str) -> Entry:
        """Return the entry that answers ``path``."""
        entry = self._found.get(path)
        if entry is None:
            entry = NOWHERE if _ODD.search(path) else self._look_up(path)
            if len(self._found) < MAX_REMEMBERED:
                self._found[path] = entry
        return entry

    def _look_up(self, path: str) -> Entry:
        ends: list[int] = []
        end = 0
        for _ in range(self._depth):
            end = path.find("/", end + 1)
            if end < 0:
                ends.append(len(path))
                break
            ends.append(end)
        for end in reversed(ends):
            entry = self._entries.get(path[:end])
            if entry is not None:
                return entry
        return self._root

    def leave(self) -> None:
        """Count a request as done."""
        self.inflight -= 1
        if self.inflight == 0 and self._idle is not None:
            self._idle.set()

    def forget(self) -> None:
        """Let go of the apps: what still runs on this table asks for none."""
        self._entries, self._found = {}, {}

    def let_go(self, stream: OpenStream) -> None:
        """Have no swap wait for a stream that began on this table."""
        self.streams.discard(stream)
        self.leave()

    async def drained(self, seconds: float) -> bool:
        """Wait until no request is inside; tell whether that was so within ``seconds``."""
        if self.inflight:
            self._idle = asyncio.Event()
            try:
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True

    def tell_to_reconnect(self, owners: frozenset[str]) -> int:
        """End the event streams and sockets of these plugins with a word to reconnect; return how many."""
        told = [stream for stream in self.streams if stream.owner in owners]
        for stream in told:
            stream.end(RECONNECT)
        return len(told)

    def apps(self) -> dict[str, AppEntry]:
        """Return the running apps by owner."""
        every: list[Any] = [*self._entries.values(), self._root]
        return {entry.owner: entry for entry in every if isinstance(entry, AppEntry)}
