"""A room's messages, their places in it, and their two forms on the wire, each made once for all readers."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from luminai.contracts.errors import InvalidInput

GAP: Final = ""
"""Kind of a mark in a room's history: here something may be missing."""
_POSITION: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class Position(NamedTuple):
    """A place in a room: the number of a message, counted without holes from 1 in an ``epoch``, which begins in milliseconds of Unix time.

    A room whose messages were forgotten begins another epoch, so a position of before is never mistaken for one of now.
    """

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


def position(text: str) -> Position | None:
    """Return the position that an event id names, None for "".

    Raises:
        InvalidInput: it is no event id (code ``bad-event-id``).
    """
    if not text:
        return None
    found = _POSITION.fullmatch(text)
    if found is None:
        raise InvalidInput("This is no id of an event.", code="bad-event-id", hint="Send the id of the last event that you got, as it was.")
    return Position(int(found[1]), int(found[2]))


class Frames(Protocol):
    """What can be sent by both transports: messages of ASGI, made when first asked for."""

    @property
    def sse(self) -> Any: ...

    @property
    def text(self) -> Any: ...


class Message:
    """A message with its place; ``data`` is JSON on one line, ``seen`` what ``may_see`` looks at."""

    __slots__ = ("_sse", "_text", "at", "data", "kind", "room", "seen")

    def __init__(self, room: str, at: Position, kind: str, data: bytes) -> None:
        self.room = room
        self.at = at
        self.kind = kind
        self.data = data
        self.seen: Any = None
        self._sse: Any = None
        self._text: Any = None

    @property
    def sse(self) -> Any:
        """The event of a stream."""
        if self._sse is None:
            self._sse = event(self.kind or "gap", self.data, at=self.at)
        return self._sse

    @property
    def text(self) -> Any:
        """The message of a socket."""
        if self._text is None:
            kind = {"type": "event", "kind": self.kind, "data": msgspec.Raw(self.data)} if self.kind else {"type": "gap"}
            self._text = frame({"room": self.room, "id": str(self.at), **kind})
        return self._text


class Word:
    """What the hub itself says to one reader, or to all."""

    __slots__ = ("sse", "text")

    def __init__(self, sse: Any, text: Any) -> None:
        self.sse = sse
        self.text = text


def event(name: str, data: bytes, *, at: Position | None = None, retry: int = 0) -> dict[str, Any]:
    """Return an event of a stream; ``retry`` is milliseconds."""
    head = b"id: %b\n" % str(at).encode() if at is not None else b""
    head += b"retry: %d\n" % retry if retry else b""
    return {"type": "http.response.body", "body": b"%bevent: %b\ndata: %b\n\n" % (head, name.encode(), data), "more_body": True}


def frame(said: dict[str, Any]) -> dict[str, Any]:
    """Return a message of a socket."""
    return {"type": "websocket.send", "text": msgspec.json.encode(said).decode()}


BEAT: Final = {"type": "http.response.body", "body": b":\n\n", "more_body": True}
"""Shows that a stream stands."""
