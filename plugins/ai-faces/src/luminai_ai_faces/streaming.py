"""A reply on the wire as it comes: its first event decides the status, silence is filled, and every end is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, Protocol

import msgspec
from litestar import Request
from litestar.response import Stream

from luminai import Deadlines, HubError, PluginContext, Problem, Unavailable, failure_of
from luminai_ai_faces.answering import Answer, Content
from luminai_ai_faces.failures import settled
from luminai_ai_faces.notes import Closing

MAX_QUEUED: Final = 256
"""Events that wait for a client that reads slowly."""
READER_SECONDS: Final = 60.0
"""How long a client may read nothing while the queue is full."""
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
COMMENT: Final = b": still here\n\n"
_encode: Final = msgspec.json.encode
_silences: Final = Deadlines()
"""Of all streams: a timer of its own for each event of each is a good part of what an event costs."""


class Writer(Protocol):
    """Writes one reply in a dialect. Each method returns bytes for the wire.

    Attributes:
        media_type: Of the stream.
        heartbeat: What is sent while nothing comes.
    """

    media_type: str
    heartbeat: bytes

    def begin(self) -> bytes: ...

    def write(self, event: Any) -> bytes: ...

    def end(self, closing: Closing) -> bytes: ...

    def fail(self, problem: Problem) -> bytes: ...


def event(data: Any, name: str = "") -> bytes:
    """Return a server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data)) if name else b"data: %b\n\n" % _encode(data)


async def streamed(ctx: PluginContext, request: Request[Any, Any, Any], answer: Answer, writer: Writer, heartbeat: float) -> Stream:
    """Return the response that streams an answer.

    A call that fails before its first event is raised, so that it gets its own status; after ``heartbeat`` seconds without one the stream begins
    all the same, for proxies close what stays silent.
    """
    pump = Pump(answer.events())
    task: Any = ctx.spawn(pump.run(), name="answer")
    try:
        first = await pump.next(heartbeat)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if isinstance(first, Exception):
        raise first
    return Stream(_lines(request, pump, task, first, writer, heartbeat), media_type=writer.media_type, headers=HEADERS)


class _ReaderGone(Exception):
    """Nobody takes what comes."""


class Pump:
    """Reads an answer in a task of its own, so that waiting for the next event can be given up and taken up again."""

    def __init__(self, events: AsyncGenerator[Content, None]) -> None:
        self._events = events
        self._queue: asyncio.Queue[Content | Exception] = asyncio.Queue(MAX_QUEUED)

    async def run(self) -> None:
        """Read to the end. A client that takes nothing any more is left, as is one that never came to read; the provider is then hung up on."""
        try:
            async with aclosing(self._events) as events:
                async for one in events:
                    await self._put(one)
        except _ReaderGone:
            return
        except Exception as error:  # noqa: BLE001 - whoever reads tells it
            await self._put(error)

    async def next(self, seconds: float) -> Content | Exception | None:
        """Return the next event, or why there is none; None when nothing came for so long."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            with _silences.within(seconds):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _put(self, one: Content | Exception) -> None:
        if self._queue.full():
            try:
                async with asyncio.timeout(READER_SECONDS):
                    await self._queue.put(one)
            except TimeoutError:
                raise _ReaderGone from None
        else:
            self._queue.put_nowait(one)


async def _lines(
    request: Request[Any, Any, Any], pump: Pump, task: Any, first: Content | None, writer: Writer, heartbeat: float
) -> AsyncIterator[bytes]:
    """Yield the reply. Interrupted from within, because the hub stops or the plugin is renewed, the client is told that this is no end."""
    try:
        yield writer.begin()
        one: Content | Exception | None = first
        while True:
            if one is None:
                yield writer.heartbeat
            elif isinstance(one, Closing):
                yield writer.end(one)
                return
            elif isinstance(one, Exception):
                yield writer.fail(_told(request, one))
                return
            else:
                try:
                    piece = writer.write(one)
                except HubError as error:  # it has no words for this piece
                    yield writer.fail(_told(request, error))
                    return
                yield piece
            one = await pump.next(heartbeat)
    except asyncio.CancelledError:
        gone = Unavailable("The hub ends this stream.", code="ai-faces.interrupted", hint="What came is not the whole reply. Ask again.")
        yield writer.fail(_told(request, gone))
        raise
    finally:
        task.cancel()


def _told(request: Request[Any, Any, Any], error: Exception) -> Problem:
    return settled(failure_of(request, error)[0])
