"""An answer that is read as it comes, with a clock of its own.

One timer serves a whole stream: it looks when the silence may have become too long, not once a piece (``asyncio.timeout`` sets and cancels a timer
each time, which for a token a piece is a third of all that a token costs).
"""

from __future__ import annotations

from asyncio import TimerHandle, get_running_loop
from collections.abc import AsyncIterator
from typing import Final, Protocol

from aiohttp import ClientResponse

from luminai.contracts.errors import DeadlineExceeded
from luminai.http.outbound.exchange import plain_headers, told
from luminai.http.outbound.failures import timed_out, too_large
from luminai.http.outbound.framing import Events, Lines

_NEVER: Final = float("inf")


class _Framing(Protocol):
    def feed(self, piece: bytes) -> list[bytes]: ...


class Stream:
    """Implements ``HttpStream``.

    Args:
        idle: Bounds each silence in seconds.
        end: The loop's time when all is over.
        max_bytes: Of the whole body, unpacked.
    """

    def __init__(self, response: ClientResponse, *, idle: float, end: float, max_bytes: int) -> None:
        self.idle = idle
        self.status = response.status
        self.headers = plain_headers(response)
        self._response = response
        self._host = response.url.host or ""
        self._end = end
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._loop = get_running_loop()
        self._timer: TimerHandle | None = None
        self._waits_since = _NEVER
        self._silent = self._silent_before = 0.0
        self._is_late = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        while piece := await self._next():
            self._heard()
            yield piece

    def events(self, *, max_event: int = 1_048_576) -> AsyncIterator[bytes]:
        """Yield the data of each server-sent event."""
        return self._framed(Events(max_event))

    def lines(self, *, max_line: int = 1_048_576) -> AsyncIterator[bytes]:
        """Yield each line that is not empty."""
        return self._framed(Lines(max_line))

    def still_silent(self) -> None:
        """Let the silence go on as if the last piece had not come."""
        self._silent = self._silent_before

    def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._response.close()

    async def _framed(self, framing: _Framing) -> AsyncIterator[bytes]:
        feed = framing.feed
        while piece := await self._next():
            for whole in feed(piece):
                self._heard()
                yield whole

    def _heard(self) -> None:
        self._silent_before = self._silent
        self._silent = 0.0

    async def _next(self) -> bytes:
        """Return the next piece, b"" at the end."""
        content = self._response.content
        now = self._loop.time()
        self._waits_since = now
        self._watch(now)
        try:
            piece = await content.readany()
        except Exception:
            if self._is_late:
                raise self._late() from None
            with told(self._host):
                raise
        finally:
            self._silent += self._loop.time() - now
            self._waits_since = _NEVER
        self._left -= len(piece)
        if self._left < 0:
            raise too_large(f"{self._host} answers with more than {self._max_bytes} bytes.")
        return piece

    def _watch(self, now: float) -> None:
        """See to it that the timer looks in time; one that is set looks early enough, unless ``idle`` became shorter.

        Raises:
            DeadlineExceeded: the time is over.
        """
        due = min(now + self.idle - self._silent, self._end)
        if self._is_late or due <= now:
            raise self._late()
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waits_since == _NEVER:  # nobody waits: the next one who does sets the timer anew
            return
        due = min(self._waits_since + self.idle - self._silent, self._end)
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
            return
        self._is_late = True
        self._response.close()  # who waits is told that the connection is gone

    def _late(self) -> DeadlineExceeded:
        return timed_out(f"{self._host} fell silent, or goes on for too long.")
