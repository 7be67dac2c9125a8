"""Connections that stay open: event streams and sockets, which must hear why they end, and whose seats come back however they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from litestar.types import Message, Send
from msgspec import Struct

from luminai.contracts.errors import HubError
from luminai.contracts.identity import POLICY_KEY, RoutePolicy
from luminai.http.requests import RequestState
from luminai.http.server.exchange import DONE

LAST_WORD_SECONDS: Final = 5.0
"""How long the last word waits for a client that does not read."""
MAX_REASON: Final = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""


class Ending(Struct, frozen=True):
    """Why a stream ends: a socket's close code and reason, and the last event of an event stream."""

    code: int
    reason: str
    event: bytes


RECONNECT: Final = Ending(1012, "reconnect", b"event: reconnect\nretry: 500\ndata: {}\n\n")
"""Its plugin was replaced, or the hub stops: the client connects again and meets what is there then. 1012 is IANA's "service restart"."""


def ending_of(error: HubError) -> Ending:
    """Return how a stream ends that its client may not keep: with close code 4000 + status, or an event ``closed`` with the problem."""
    return Ending(4000 + error.status, error.code[:MAX_REASON], b"event: closed\ndata: %b\n\n" % msgspec.json.encode(error.problem()))


class OpenStream:
    """An event stream or socket, with the task that serves it and the right by which it is open.

    Attributes:
        ending: Why it is to end, None while it may stay.
        refusal: Why a socket's handshake is refused.
        is_shared: It runs no code of the generation that it began on, so no swap waits for it.
        is_gone: The client has left; ``left_at``: when a sweep first saw that, in seconds as ``due``.
        due: When its right is to be looked at next, in seconds of the clock that never goes back; ``checked``: when it last held.
    """

    __slots__ = (
        "_is_said",
        "_let_go",
        "_seat",
        "_seats",
        "_send",
        "_task",
        "checked",
        "due",
        "ending",
        "is_gone",
        "is_shared",
        "is_socket",
        "left_at",
        "policy",
        "refusal",
        "state",
    )

    def __init__(self, state: RequestState, *, is_socket: bool) -> None:
        self.state = state
        self.is_socket = is_socket
        self.policy: RoutePolicy | None = None
        self.ending: Ending | None = None
        self.refusal: HubError | None = None
        self.is_gone = False
        self.is_shared = False
        self.due = self.checked = self.left_at = 0.0
        self._is_said = False
        self._seat = ""
        self._seats: Counter[str] = Counter()
        self._send: Send | None = None
        self._let_go: Callable[[OpenStream], None] | None = None
        self._task: asyncio.Task[Any] | None = asyncio.current_task()

    @property
    def owner(self) -> str:
        """The plugin that serves it."""
        return self.state.owner

    def opens(self, send: Send, scope: Any, let_go: Callable[[OpenStream], None] | None = None) -> None:
        """It is open, or shaking hands: this is how its client is spoken to. ``let_go`` takes it off the generation that it began on."""
        self._send = send
        self._let_go = let_go
        handler = scope.get("route_handler")
        self.policy = handler.opt.get(POLICY_KEY) if handler is not None else None

    def share(self) -> None:
        """Run on, whatever generation serves."""
        if not self.is_shared and self._let_go is not None:
            self.is_shared = True
            self._let_go(self)

    def write(self, message: Any) -> Awaitable[None]:
        """Send a message of ASGI as it is, past the handler. ``DONE`` is returned when nothing had to wait."""
        if self._send is None or self._is_said or self.is_gone:
            return DONE
        return self._send(message)

    @property
    def has_seat(self) -> bool:
        """Whether it counts among those that one caller may have."""
        return bool(self._seat)

    def take_seat(self, seats: Counter[str], seat: str) -> None:
        """Count it among those of ``seat``."""
        seats[seat] += 1
        self._seats, self._seat = seats, seat

    def give_seat_back(self) -> None:
        """Count it out, once."""
        if self._seat:
            self._seats[self._seat] -= 1
            if self._seats[self._seat] <= 0:
                del self._seats[self._seat]
            self._seat = ""

    def client_left(self) -> None:
        """Its client is gone, whether or not its handler looks."""
        self.is_gone = True
        self.give_seat_back()

    def end(self, ending: Ending) -> None:
        """Interrupt the task that serves it; the edge then says the last word."""
        if self.ending is None:
            self.ending = ending
            self.interrupt()

    def interrupt(self) -> None:
        """Interrupt the task that serves it."""
        if self._task is not None:
            self._task.cancel()

    async def leave(self) -> None:
        """Take the interruption of the own task as handled, and say the last word."""
        if self._task is not None:
            self._task.uncancel()
        await self.say_last()

    async def say_last(self, seconds: float = LAST_WORD_SECONDS) -> None:
        """Tell the client why, if it is there and reads within ``seconds``. Nothing that the handler still does gets through."""
        ending = self.ending
        if ending is None or self._send is None or self._is_said or self.is_gone:
            return
        self._is_said = True
        self.give_seat_back()
        message: Any = {"type": "http.response.body", "body": ending.event, "more_body": False}
        if self.is_socket:
            message = {"type": "websocket.close", "code": ending.code, "reason": ending.reason}
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):  # it is gone, or its handler was first
            async with asyncio.timeout(seconds):
                await self._send(message)


def socket_sender(stream: OpenStream, send: Send, accepted: Callable[[], None], refuse: Callable[[HubError], Awaitable[None]]) -> Send:
    """Return a socket's ``send``: told when the socket is accepted, and a refused handshake is answered by ``refuse``, with its problem."""

    def sender(message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "websocket.accept":
            accepted()
        elif kind == "websocket.close" and stream.refusal is not None:
            refusal, stream.refusal = stream.refusal, None
            return refuse(refusal)
        return send(message)

    return sender
