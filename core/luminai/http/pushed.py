"""A stream that whoever makes it writes itself, from the task that makes it: an event costs no queue, no generator and no second task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from luminai.http.requests import state_of
from luminai.http.server.exchange import DONE

READER_SECONDS: Final = 60.0
"""How long a client may read nothing while more is written than its connection takes."""
LAST_WORD_SECONDS: Final = 5.0
Write = Callable[[bytes], Awaitable[None]]
"""Writes a part of the stream. What is returned waits for a client that does not read; it raises ``ReaderLeft`` once that takes too long."""


class ReaderLeft(Exception):
    """Nobody takes what is written."""


class PushedStream(Response[None]):
    """The response. It ends when its maker does.

    Args:
        begin: What is sent first, when it opens.
        silence: What is sent when nothing was written for ``seconds``.

    Attributes:
        maker: The task that writes. It is cancelled when the client leaves, and when the hub ends the stream: what it still writes then is sent.
    """

    def __init__(self, *, media_type: str, headers: Mapping[str, str], begin: bytes, silence: bytes, seconds: float) -> None:
        super().__init__(None, media_type=media_type, headers=headers)
        self.maker: asyncio.Future[None]
        self.begin = begin
        self.silence = silence
        self.seconds = seconds
        self._opened: asyncio.Future[Write] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Whether the response has begun."""
        return self._opened.done()

    async def opened(self) -> Write:
        """Wait for the response to begin, and return what the maker writes with.

        Raises:
            ReaderLeft: it was never sent.
        """
        await asyncio.wait((self._opened,), timeout=READER_SECONDS)
        if not self._opened.done():
            raise ReaderLeft
        return self._opened.result()

    def open(self, write: Write) -> None:
        """Let the maker write."""
        self._opened.set_result(write)

    def to_asgi_response(self, *_: Any, headers: Any = None, cookies: Any = None, status_code: int | None = None, **__: Any) -> ASGIResponse:
        """Return it as the server takes it."""
        given = {"headers": {**(headers or {}), **self.headers}, "cookies": cookies or self.cookies, "media_type": self.media_type}
        return _Pushed(self, status_code=self.status_code or status_code, **given)


class _Pushed(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, stream: PushedStream, **given: Any) -> None:
        super().__init__(**given)
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._written_at = 0.0
        self._sends: Callable[[Any], Awaitable[None]]
        self._beat: asyncio.TimerHandle
        self._beating: asyncio.Future[None] | None = None
        self._is_left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.start_response(send)
        state = state_of(scope)
        # past what stands around the handler: that waits for beginnings, and would make a coroutine of each event; an answer that is kept goes by it
        self._sends = state.stream.write if state.stream is not None and state.keyed is None else send
        maker, leaving = self._stream.maker, asyncio.ensure_future(_left(receive))
        self._beat = self._loop.call_later(self._stream.seconds, self._look)
        try:
            await self._write(self._stream.begin)
            self._stream.open(self._write)
            await asyncio.wait((maker, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._beat.cancel()
            leaving.cancel()
            if not maker.done():
                maker.cancel()
                await asyncio.wait((maker,), timeout=LAST_WORD_SECONDS)
        if maker.done() and not maker.cancelled() and not self._is_left:
            maker.result()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _write(self, data: bytes) -> Awaitable[None]:
        self._written_at = self._loop.time()
        sent = self._sends({"type": "http.response.body", "body": data, "more_body": True})
        return sent if sent is DONE else self._taken(sent)

    async def _taken(self, sent: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(READER_SECONDS):
                await sent
        except TimeoutError:
            self._is_left = True
            raise ReaderLeft from None

    def _look(self) -> None:
        """Break a silence. One timer a stream looks when it may have become too long; one for each event is a good part of what an event costs."""
        now = self._loop.time()
        if now >= self._written_at + self._stream.seconds:
            if self._beating is None or self._beating.done():
                self._beating = asyncio.ensure_future(_broken(self._write(self._stream.silence)))
            self._written_at = now  # a client that does not read is no silence
        self._beat = self._loop.call_at(self._written_at + self._stream.seconds, self._look)


async def _broken(sent: Awaitable[None]) -> None:
    try:
        await sent
    except ReaderLeft:
        return  # whoever writes next is told


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
