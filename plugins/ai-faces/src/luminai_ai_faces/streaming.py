"""A reply on the wire as it comes: its first event decides the status, silence is filled, and every end is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, Final, Protocol

import msgspec
from litestar import Request

from luminai import PluginContext, Problem, PushedStream, ReaderLeft, Unavailable, failure_of
from luminai_ai_faces.answering import Answer, Content
from luminai_ai_faces.failures import settled
from luminai_ai_faces.notes import Closing

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
COMMENT: Final = b": still here\n\n"
_encode: Final = msgspec.json.encode


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


async def streamed(ctx: PluginContext, request: Request[Any, Any, Any], answer: Answer, writer: Writer, heartbeat: float) -> PushedStream:
    """Return the response that streams an answer.

    A call that fails before its first event is raised, so that it gets its own status; after ``heartbeat`` seconds without one the stream begins
    all the same, for proxies close what stays silent.
    """
    stream = PushedStream(media_type=writer.media_type, headers=HEADERS, begin=writer.begin(), silence=writer.heartbeat, seconds=heartbeat)
    pump = Pump(request, answer.events(), writer, stream)
    task: Any = ctx.spawn(pump.run(), name="answer")  # of its own, for waiting for the first event may be given up
    stream.maker = task
    try:
        await asyncio.wait((pump.first, task), timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if pump.first.cancel():  # it is silent: from now on it tells everything itself
        return stream
    if (failed := pump.first.result()) is not None:
        raise failed
    return stream


class Pump:
    """Reads an answer and writes it, in one task.

    Attributes:
        first: Done when the answer begins, with why it does not. Who waits no longer cancels it.
    """

    def __init__(self, request: Request[Any, Any, Any], events: AsyncGenerator[Content, None], writer: Writer, stream: PushedStream) -> None:
        self._request = request
        self._events = events
        self._writer = writer
        self._stream = stream
        self.first: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Read to the end, which is always told. A client that takes nothing any more is left, and the provider hung up on."""
        try:
            async with aclosing(self._events) as events:
                await self._write(events)
        except ReaderLeft:
            return
        except asyncio.CancelledError:
            if self._stream.is_open:
                gone = Unavailable("The hub ends this stream.", code="ai-faces.interrupted", hint="What came is not the whole reply. Ask again.")
                await self._fail(gone)
            raise
        except Exception as error:  # noqa: BLE001 - whoever reads is told
            if self.first.done():
                await self._fail(error)
            else:
                self.first.set_result(error)

    async def _write(self, events: AsyncIterator[Content]) -> None:
        writer, write = self._writer, None
        async for one in events:
            if write is None:
                if not self.first.done():
                    self.first.set_result(None)
                write = await self._stream.opened()
            if isinstance(one, Closing):
                await write(writer.end(one))
                return
            await write(writer.write(one))

    async def _fail(self, error: Exception) -> None:
        with suppress(ReaderLeft):
            write = await self._stream.opened()
            await write(self._writer.fail(settled(failure_of(self._request, error)[0])))
