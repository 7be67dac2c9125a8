"""What happens in a turn, as it happens: any number of readers follow it from any event on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

MAX_EVENTS: Final = 20_000
"""Events of one turn; a turn with more ends as ``length``."""
MAX_AHEAD: Final = 1000
"""Events that readers may have seen and that are not kept yet."""
HEARTBEAT: Final = 15.0
_PIECE: Final = 4096
"""Bytes up to which texts that wait for a reader are told as one."""
_TEXT: Final = (b'{"text":"', b'"}')


class LogEvent(Struct, frozen=True, array_like=True):
    """One event: its number (from 1, rising), its kind (turn, seam, text, source, tool, approval, end, problem) and its data as JSON."""

    id: int
    kind: str
    data: msgspec.Raw


Batch = Sequence[LogEvent]
"""Events that follow each other; an empty one is a sign of life."""


class Log(Protocol):
    """A turn's log, wherever it is kept."""

    def follow(self, after: int = 0, *, heartbeat: float = HEARTBEAT) -> AsyncIterator[Batch]:
        """Yield what lies behind event ``after``, and what comes, to the log's end."""
        ...


class TurnLog:
    """The log of a turn that runs in this process. Append-only and shared: a reader has nothing but a place in it, so a slow one costs no memory.

    Args:
        start: Number of the last event before the first.

    Attributes:
        kept: Number of the last event that is stored; the runner lets at most ``MAX_AHEAD`` events get ahead of it.
        unkept_bytes: How much lies behind it.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._events: list[LogEvent] = []
        self._more = asyncio.Event()
        self.kept = start
        self.unkept_bytes = 0
        self.is_closed = False

    @property
    def last(self) -> int:
        """Number of the last event."""
        return self._start + len(self._events)

    @property
    def is_full(self) -> bool:
        """Whether only the last event has room."""
        return self.last >= MAX_EVENTS

    def since(self, after: int) -> list[LogEvent]:
        """Return events behind number ``after``, at most ``MAX_AHEAD``."""
        first = max(0, after - self._start)
        return self._events[first : first + MAX_AHEAD]

    def has_kept(self, last: int) -> None:
        """Take note that the events up to ``last`` are stored."""
        self.kept = last
        self.unkept_bytes = sum(len(event.data) for event in self.since(last))

    def make(self, kind: str, data: Any) -> LogEvent:
        """Return the next event, not yet told."""
        return LogEvent(self.last + 1, kind, msgspec.Raw(msgspec.json.encode(data)))

    def add(self, kind: str, data: Any) -> None:
        """Append an event."""
        if not self.is_closed:
            event = self.make(kind, data)
            self._events.append(event)
            self.unkept_bytes += len(event.data)
            self._wake()

    def close(self, last: LogEvent) -> None:
        """Append the last event."""
        if not self.is_closed:
            self._events.append(last)
            self.is_closed = True
            self._wake()

    async def follow(self, after: int = 0, *, heartbeat: float = HEARTBEAT) -> AsyncIterator[Batch]:
        """Yield what lies behind event ``after``, and what comes, to the log's end."""
        position = after
        while True:
            if found := self.since(position):
                position = found[-1].id
                yield found
                continue
            if self.is_closed:
                return
            more = self._more
            try:
                async with asyncio.timeout(heartbeat):
                    await more.wait()
            except TimeoutError:
                yield ()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


def merged(batch: Batch) -> list[LogEvent]:
    """Return the same with texts that follow each other as one, under the number of the last: a reader that is behind catches up in few steps."""
    found: list[LogEvent] = []
    texts: list[bytes] = []
    number = size = 0

    def join() -> None:
        nonlocal size
        if texts:
            found.append(LogEvent(number, "text", msgspec.Raw(_TEXT[0] + b"".join(texts) + _TEXT[1])))
        texts.clear()
        size = 0

    for event in batch:
        if event.kind == "text":
            raw = bytes(event.data)
            if size + len(raw) > _PIECE:
                join()
            texts.append(raw[len(_TEXT[0]) : -len(_TEXT[1])])
            number, size = event.id, size + len(raw)
        else:
            join()
            found.append(event)
    join()
    return found
