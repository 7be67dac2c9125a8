"""Where rooms keep their last messages: here in the memory of the one process, in ``redis_log`` for several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from luminai.contracts.context import Clock
from luminai.http.rooms.messages import GAP, Message, Position

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_ROOMS: Final = 20_000
ROOM_COST: Final = 500
MESSAGE_COST: Final = 300
"""Bytes that a room, and a message beside its data, cost about."""


class Kept(Struct, frozen=True):
    """How much of a room is kept: messages, and seconds after the last one."""

    history: int
    seconds: float


class Look(Struct, frozen=True):
    """What came after a position: the messages, where the room is now, and whether none is missing."""

    messages: tuple[Message, ...]
    now: Position
    is_whole: bool


class RoomLog(Protocol):
    """Keeps messages and tells every process of them.

    Attributes:
        heard: Told each message, in the order of its room.
        rechecked: Told each room whose readers are to be asked again.
        resumed: Told when word from other processes may have been missed.
        lost: How many messages were given up.
        is_away: Whether messages wait because nothing takes them.
    """

    heard: Callable[[Message], None]
    rechecked: Callable[[str], None]
    resumed: Callable[[], None]
    lost: int
    is_away: bool

    def append(self, room: str, kind: str, data: bytes, kept: Kept) -> None:
        """Keep a message and have everybody hear of it; does not wait, and does not raise."""
        ...

    def holds(self, room: str) -> bool:
        """Tell whether what is said in ``room`` continues something that somebody may have a position in; in any thread."""
        ...

    def recheck(self, room: str) -> None:
        """Have every process ask again who may be in ``room``."""
        ...

    async def after(self, room: str, position: Position | None, kept: Kept) -> Look:
        """Look at what came after ``position``, None for nothing but where the room is.

        Raises:
            Unavailable: the log does not answer (code ``live-away``).
        """
        ...

    async def run(self) -> None:
        """Hear and tell, for as long as the hub lives."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def look(entries: list[Message], now: Position, oldest: int, position: Position | None) -> Look:
    """Judge what is kept of a room; ``oldest`` is the number of its first message that is still there."""
    if position is None:
        return Look((), now, True)
    if position.epoch != now.epoch or not oldest - 1 <= position.seq <= now.seq:
        return Look((), now, False)
    found = [entry for entry in entries if entry.at.seq > position.seq]
    if any(entry.kind == GAP for entry in found):
        return Look((), now, False)
    return Look(tuple(found), now, True)


class _Room:
    __slots__ = ("entries", "epoch", "forgotten_at", "seq", "size")

    def __init__(self, epoch: int, history: int) -> None:
        self.epoch = epoch
        self.seq = 0
        self.entries: deque[Message] = deque(maxlen=history)
        self.size = ROOM_COST
        self.forgotten_at = 0.0


class MemoryLog:
    """For one process. Rooms that were quiet longest are forgotten first when all together grow too large."""

    lost = 0
    is_away = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rooms: dict[str, _Room] = {}  # in the order of their last messages
        self._size = 0
        self._epoch = 0
        self.heard: Callable[[Message], None] = lambda _: None
        self.rechecked: Callable[[str], None] = lambda _: None
        self.resumed: Callable[[], None] = lambda: None

    def append(self, room: str, kind: str, data: bytes, kept: Kept) -> None:
        """Keep a message."""
        found = self._open(room, kept)
        found.seq += 1
        message = Message(room, Position(found.epoch, found.seq), kind, data)
        entries = found.entries
        grown = len(data) + MESSAGE_COST
        if len(entries) == entries.maxlen:
            grown -= len(entries[0].data) + MESSAGE_COST
        entries.append(message)
        found.size += grown
        self._size += grown
        found.forgotten_at = self._clock.monotonic() + kept.seconds
        self._rooms[room] = self._rooms.pop(room)
        self._forget()
        self.heard(message)

    def holds(self, room: str) -> bool:
        """Tell whether the room was not forgotten."""
        found = self._rooms.get(room)
        return found is not None and found.forgotten_at > self._clock.monotonic()

    def recheck(self, room: str) -> None:
        """Ask again."""
        self.rechecked(room)

    async def after(self, room: str, position: Position | None, kept: Kept) -> Look:
        """Look."""
        found = self._open(room, kept)
        oldest = found.entries[0].at.seq if found.entries else found.seq + 1
        return look(list(found.entries), Position(found.epoch, found.seq), oldest, position)

    async def run(self) -> None:
        """Nothing to hear."""

    async def close(self) -> None:
        """Nothing to close."""

    def _open(self, room: str, kept: Kept) -> _Room:
        found = self._rooms.get(room)
        now = self._clock.monotonic()
        if found is not None and found.forgotten_at > now:
            return found
        if found is not None:
            self._size -= self._rooms.pop(room).size
        self._epoch = max(self._epoch + 1, int(self._clock.now().timestamp() * 1000))
        found = self._rooms[room] = _Room(self._epoch, kept.history)
        found.forgotten_at = now + kept.seconds
        self._size += found.size
        self._forget()
        return found

    def _forget(self) -> None:
        now = self._clock.monotonic()
        while len(self._rooms) > 1:
            name, oldest = next(iter(self._rooms.items()))
            if oldest.forgotten_at > now and self._size <= MAX_BYTES and len(self._rooms) <= MAX_ROOMS:
                return
            del self._rooms[name]
            self._size -= oldest.size
