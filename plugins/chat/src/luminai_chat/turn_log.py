"""What happens in a turn, kept in memory while it runs: any number of readers follow it from any event on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from msgspec import Struct

MAX_EVENTS: Final = 20_000


class LogEvent(Struct, frozen=True):
    """One event: its number (from 1), its kind (turn, text, source, end, problem) and its data."""

    id: int
    kind: str
    data: Any


class TurnLog:
    """Append-only. A reader that leaves loses nothing but its own place; the turn does not notice."""

    def __init__(self) -> None:
        self._events: list[LogEvent] = []
        self._more = asyncio.Event()
        self.is_closed = False

    def add(self, kind: str, data: Any) -> None:
        """Append an event; a runaway turn is cut off at ``MAX_EVENTS``."""
        if not self.is_closed and len(self._events) < MAX_EVENTS:
            self._events.append(LogEvent(len(self._events) + 1, kind, data))
            self._wake()

    def close(self, kind: str, data: Any) -> None:
        """Append the last event."""
        if not self.is_closed:
            self._events.append(LogEvent(len(self._events) + 1, kind, data))
            self.is_closed = True
            self._wake()

    async def follow(self, after: int = 0, *, heartbeat: float = 15.0) -> AsyncIterator[LogEvent | None]:
        """Yield events behind number ``after`` as they come; None now and then while nothing happens."""
        position = after
        while True:
            while position < len(self._events):
                yield self._events[position]
                position += 1
            if self.is_closed:
                return
            more = self._more
            try:
                async with asyncio.timeout(heartbeat):
                    await more.wait()
            except TimeoutError:
                yield None

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()
