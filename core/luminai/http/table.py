"""Which app answers a path: a copy-on-write table of claimed prefixes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from litestar.types import ASGIApp

from luminai.contracts.errors import HubError


class AppEntry:
    """An app with the count of its requests, so that a replaced one can be drained before it is let go."""

    __slots__ = ("_idle", "app", "inflight", "owner")

    def __init__(self, owner: str, app: ASGIApp) -> None:
        self.owner = owner
        self.app = app
        self.inflight = 0
        self._idle: asyncio.Event | None = None

    def leave(self) -> None:
        """Count a request as done."""
        self.inflight -= 1
        if self.inflight == 0 and self._idle is not None:
            self._idle.set()

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


class OffEntry:
    """Stands where a plugin's routes would be: answers with the plugin's id, state and remedy."""

    __slots__ = ("error", "owner")

    def __init__(self, owner: str, error: HubError) -> None:
        self.owner = owner
        self.error = error


Entry = AppEntry | OffEntry


class PrefixTable:
    """Immutable. The longest prefix that ends at a segment boundary wins; ``root`` takes the rest."""

    __slots__ = ("_depth", "_entries", "_root")

    def __init__(self, entries: Mapping[str, Entry], root: Entry) -> None:
        self._entries: dict[str, Entry] = {prefix: entry for prefix, entry in entries.items() if prefix != "/"}
        self._root = entries.get("/", root)
        self._depth = max((prefix.count("/") for prefix in self._entries), default=0)

    def find(self, path: str) -> Entry:
        """Return the entry that answers ``path``."""
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

    def apps(self) -> dict[str, AppEntry]:
        """Return the running apps by owner."""
        every: list[Any] = [*self._entries.values(), self._root]
        return {entry.owner: entry for entry in every if isinstance(entry, AppEntry)}
