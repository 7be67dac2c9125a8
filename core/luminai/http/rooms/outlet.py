"""The way to one reader: written to at once while the reader reads, with a bounded row of what waits while it does not.

A reader who keeps up costs no task and no queue. When the row is full, what comes is counted and not kept; the reader then gets what waits, hears
how much was dropped, and is sent away to come back with the id of the last event that it got.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from luminai.contracts.errors import HubError
from luminai.contracts.identity import Actor
from luminai.http.rooms.messages import BEAT, Frames, Word, event, frame
from luminai.http.server.exchange import DONE
from luminai.http.streams import Ending, OpenStream, ending_of

if TYPE_CHECKING:
    from luminai.http.rooms.rooms import Seat

RETRY_MS: Final = 2000
SPREAD_MS: Final = 2500
"""Readers who are sent away together come back spread over so long."""
TRY_AGAIN: Final = 1013
"""Close code: the reader was too slow (IANA's registry, "try again later")."""


class Figures:
    """Counts of this process since its start: messages ``sent`` to readers and ``dropped``, readers sent away as too ``slow``, ``gaps`` told."""

    __slots__ = ("dropped", "gaps", "sent", "slow")

    def __init__(self) -> None:
        self.sent = self.dropped = self.slow = self.gaps = 0


class Outlet:
    """An event stream or a socket.

    Args:
        stream: What is written to; its actor is who reads.
        room: For messages that may wait.
    """

    __slots__ = ("_dropped", "_figures", "_most", "_owed", "_pump", "_waiting", "seats", "stream")

    def __init__(self, stream: OpenStream, figures: Figures, most: int) -> None:
        self.stream = stream
        self.seats: dict[str, Seat] = {}
        self._figures = figures
        self._most = most
        self._waiting: deque[Any] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._dropped = self._owed = 0

    @property
    def actor(self) -> Actor:
        """Who reads, with the rights of now."""
        actor = self.stream.state.actor
        assert actor is not None  # noqa: S101 - nobody unknown is let in
        return actor

    def put(self, said: Frames, *, is_owed: bool = False) -> None:
        """Send a message, or keep or count it while the reader does not read. What ``is_owed``, since it was kept for those who come back, takes no
        room from what follows.
        """
        self._owed += is_owed
        made = self._form(said)
        if self._waiting is None:
            self._figures.sent += 1
            self._owed = 0
            try:
                answer = self.stream.write(made)
            except (OSError, RuntimeError):  # the client is gone; whoever waits for that hears it
                return
            if answer is not DONE:
                self._waiting = deque()
                self._pump = asyncio.get_running_loop().create_task(self._drain(answer), name="luminai:live")
        elif self._dropped or len(self._waiting) >= self._most + self._owed:
            self._dropped += 1
            self._figures.dropped += 1
        else:
            self._figures.sent += 1
            self._waiting.append(made)

    def beat(self) -> None:
        """Show a reader to whom nothing is sent that the stream stands."""

    def left(self, room: str, why: HubError | None) -> None:
        """Tell that a room is over for this reader: because of ``why``, or None to come again."""
        raise NotImplementedError

    def close(self) -> None:
        """The reader is gone, or being sent away: nothing more is written."""
        if self._pump is not None:
            self._pump.cancel()

    def _form(self, said: Frames) -> Any:
        raise NotImplementedError

    async def _drain(self, answer: Any) -> None:
        try:
            await answer
            while self._waiting:
                await self.stream.write(self._waiting.popleft())
            if self._dropped:  # the row stays, so that what comes now is counted too
                await self._say_dropped()
            else:
                self._waiting = self._pump = None
                self._owed = 0
        except (OSError, RuntimeError):
            pass  # as above

    async def _say_dropped(self) -> None:
        data = b'{"dropped":%d}' % self._dropped
        self._figures.slow += 1
        await self.stream.write(self._form(Word(event("dropped", data), frame({"type": "dropped", "dropped": self._dropped}))))
        self.stream.end(Ending(TRY_AGAIN, "too-slow", come_again()))


class StreamOutlet(Outlet):
    """An event stream, which is of one room."""

    __slots__ = ()

    def beat(self) -> None:
        """Send a comment."""
        if self._waiting is None:
            self.put(Word(BEAT, None))

    def left(self, _: str, why: HubError | None) -> None:
        """End the stream."""
        self.stream.end(ending_of(why) if why is not None else Ending(1012, "reconnect", come_again()))

    def _form(self, said: Frames) -> Any:
        return said.sse


class SocketOutlet(Outlet):
    """A socket, which may be in several rooms; the server itself pings it."""

    __slots__ = ()

    def left(self, room: str, why: HubError | None) -> None:
        """Tell which room; the socket stays."""
        more = {"type": "reconnect"} if why is None else {"type": "closed", "problem": why.problem()}
        self.put(Word(None, frame({"room": room, **more})))

    def _form(self, said: Frames) -> Any:
        return said.text


def come_again() -> bytes:
    """Return the last event of a stream whose client is to connect again, each a little later than others."""
    body: bytes = event("reconnect", b"{}", retry=500 + random.randrange(SPREAD_MS))["body"]
    return body
