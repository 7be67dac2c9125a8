"""The rooms that this process has readers in: who sits where, what each is told, who may stay."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from luminai.config.settings import LiveSettings
from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, HubError, NotFound, RateLimited
from luminai.contracts.identity import Actor
from luminai.http.rooms.channels import Place
from luminai.http.rooms.log import Look, RoomLog
from luminai.http.rooms.messages import GAP, Message, Position, Word, event, frame
from luminai.http.rooms.outlet import RETRY_MS, Figures, Outlet

_log = logging.getLogger("luminai.live")
MAX_WAITING: Final = 10_000
"""Messages that wait to be handed out; beyond it their rooms hear of a gap."""
SLICE: Final = 200
"""Readers that are served before others get their turn."""
RECHECK_SECONDS: Final = 60.0
ASKS_AT_ONCE: Final = 8
MAX_HELD: Final = 1000
START: Final = Position(0, 0)
ALLOWED, REFUSED, UNSAID = range(3)
"""What ``may_join`` said; ``UNSAID``: it raised or was late."""
Ask = Callable[[Place, Actor], Awaitable[int]]


class Seat:
    """A reader's place in a room.

    Attributes:
        at: Place of the last message that passed by.
        held: What came while the reader was told what it had missed; None since.
        due: When the right to be here is to be looked at, in seconds of the clock that never goes back; ``right``: whose it was when it was.
    """

    __slots__ = ("at", "due", "held", "outlet", "right", "room")

    def __init__(self, room: Room, outlet: Outlet) -> None:
        self.room = room
        self.outlet = outlet
        self.at = START
        self.held: list[Message] | None = []
        self.due = 0.0
        self.right = outlet.actor


class Room:
    """A room with readers."""

    __slots__ = ("at", "is_torn", "name", "place", "seats")

    def __init__(self, place: Place) -> None:
        self.name = place.room
        self.place = place
        self.seats: dict[Outlet, Seat] = {}
        self.at: Position | None = None
        self.is_torn = False


class Rooms:
    """The rooms of this process.

    Args:
        log: Keeps messages, and hears those of other processes.
        ask: Asks a channel whether somebody may join, within bounded time.

    Attributes:
        find: Tells the place of a room in the serving generation.
        figures: Counts, for whoever measures; ``readers`` and ``rooms`` tell how many there are.
    """

    def __init__(self, settings: LiveSettings, log: RoomLog, clock: Clock, ask: Ask) -> None:
        self.settings = settings
        self.log = log
        self.figures = Figures()
        self.find: Callable[[str], Place | None] = lambda _: None
        self._clock = clock
        self._ask = ask
        self._rooms: dict[str, Room] = {}
        self._outlets: list[dict[Outlet, None]] = [{} for _ in range(settings.heartbeat_seconds)]
        self._waiting: deque[Message] = deque()
        self._has_news = asyncio.Event()
        self._rechecks = 0
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        log.heard, log.rechecked, log.resumed = self._hear, self._recheck, self._resume

    @property
    def readers(self) -> int:
        """Streams and sockets."""
        return sum(len(outlets) for outlets in self._outlets)

    @property
    def rooms(self) -> int:
        """Rooms with readers."""
        return len(self._rooms)

    def is_followed(self, room: str) -> bool:
        """Tell whether anybody may hear what is told to a room: sits in it, or left so lately that it is caught up with. In any thread."""
        return room in self._rooms or self.log.holds(room)

    def publish(self, place: Place, kind: str, data: bytes) -> None:
        """Tell a room something, from any thread; ``data`` is JSON."""
        self._here(lambda: self.log.append(place.room, kind, data, place.declared.kept))

    def recheck(self, room: str) -> None:
        """Ask again who may be in ``room``, in every process; from any thread."""
        self._here(lambda: self.log.recheck(room))

    async def admit(self, room: str, actor: Actor) -> Place:
        """Return the place of ``room`` if ``actor`` may read there.

        Raises:
            NotFound: there is no such room, or none for this actor (code ``unknown-room``).
        """
        while True:
            place = self.find(room)
            scope = place.declared.channel.scope if place is not None else None
            if place is None or (scope is not None and not actor.may(scope)) or await self._ask(place, actor) != ALLOWED:
                raise unknown(room)
            again = self.find(room)
            if again is not None and again.declared is place.declared:  # or its plugin was replaced meanwhile
                return place

    def enter(self, outlet: Outlet) -> None:
        """Count a reader in, who gets heartbeats from now on."""
        min(self._outlets, key=len)[outlet] = None

    async def join(self, outlet: Outlet, name: str, after: Position | None) -> tuple[Seat, Look]:
        """Give a reader a seat in a room, and return what it missed since ``after``. It hears no more before ``begin``.

        Raises:
            NotFound: there is no such room for it (code ``unknown-room``).
            Conflict: it is there already (code ``already-there``).
            RateLimited: the room is full (code ``room-full``).
            Unavailable: what was said cannot be looked up (code ``live-away``).
        """
        rechecks = self._rechecks
        place = await self.admit(name, outlet.actor)
        if name in outlet.seats:
            raise Conflict("This socket is in the room already.", code="already-there")
        room = self._rooms.get(name) or self._rooms.setdefault(name, Room(place))
        if len(room.seats) >= self.settings.readers_per_room:
            raise RateLimited("The room is full.", code="room-full", hint="Poll, or come again later.", retry_after=30)
        seat = room.seats[outlet] = outlet.seats[name] = Seat(room, outlet)
        if rechecks == self._rechecks:  # or what was said may be over
            seat.due = self._clock.monotonic() + RECHECK_SECONDS
        try:
            return seat, await self.log.after(name, after, place.declared.kept)
        except BaseException:
            self.leave(seat)
            raise

    def begin(self, seat: Seat, found: Look) -> None:
        """Tell a reader where the room is, what it missed, and from now on all that comes."""
        room, now = seat.room, found.now
        if seat.outlet.seats.get(room.name) is not seat:  # it was sent off meanwhile
            seat.outlet.left(room.name, None)
            return
        start = found.messages[0].at if found.messages else now
        start = start._replace(seq=start.seq - 1) if found.messages else now
        data = b'{"room":"%b"}' % room.name.encode()
        seat.outlet.put(Word(event("joined", data, at=start, retry=RETRY_MS), frame({"type": "joined", "room": room.name, "id": str(start)})))
        if not found.is_whole:
            self._tell_gap(seat, now)
        for message in found.messages:
            self._tell(seat, message, is_owed=True)
        seat.at = now
        room.at = room.at or now
        held, seat.held = seat.held, None
        for message in held or ():
            self._give(seat, message)

    def leave(self, seat: Seat) -> None:
        """Give a seat up."""
        room = seat.room
        room.seats.pop(seat.outlet, None)
        if seat.outlet.seats.get(room.name) is seat:
            del seat.outlet.seats[room.name]
        if not room.seats and self._rooms.get(room.name) is room:
            del self._rooms[room.name]

    def exit(self, outlet: Outlet) -> None:
        """Count a reader out of everything."""
        for seat in tuple(outlet.seats.values()):
            self.leave(seat)
        for outlets in self._outlets:
            outlets.pop(outlet, None)
        outlet.close()

    def may_see(self, place: Place, actor: Actor, message: Message) -> bool:
        """Tell whether a message is for ``actor``."""
        judge = place.declared.channel.may_see
        if judge is None or message.kind == GAP:
            return True
        try:
            if message.seen is None:
                message.seen = place.declared.seen(place, message)
            return judge(actor, message.seen) is True
        except Exception as error:  # noqa: BLE001 - plugin code may raise anything; what cannot be judged is not shown
            if message.seen is not False:
                extra = {"plugin": place.declared.owner, "room": place.room, "kind": message.kind}
                _log.error("live.may-see.failed", extra=extra, exc_info=error)
            message.seen = False  # said once a message
            return False

    def follow(self, find: Callable[[str], Place | None]) -> None:
        """Serve another generation: readers of rooms whose plugin was replaced or turned off are told to come again."""
        self.find = find
        for room in tuple(self._rooms.values()):
            place = find(room.name)
            if place is None or place.declared is not room.place.declared:
                for seat in tuple(room.seats.values()):
                    self._send_off(seat, None)

    async def keep(self) -> None:
        """Hand out messages, show that streams stand, ask again who may stay; for as long as the hub lives."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.log.run())
            tasks.create_task(self._hand_out())
            tasks.create_task(self._look_after())

    def _here(self, call: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            call()
        else:
            self._loop.call_soon_threadsafe(call)

    def _hear(self, message: Message) -> None:
        room = self._rooms.get(message.room)
        if room is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            room.is_torn = True
            self.figures.dropped += len(room.seats)
            return
        self._waiting.append(message)
        self._has_news.set()

    async def _hand_out(self) -> None:
        served = 0
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            while self._waiting:
                message = self._waiting.popleft()
                room = self._rooms.get(message.room)
                if room is None:
                    continue
                self._mind_gap(room, message)
                for seat in tuple(room.seats.values()):
                    self._give(seat, message)
                    served += 1
                    if served % SLICE == 0:
                        await asyncio.sleep(0)

    def _mind_gap(self, room: Room, message: Message) -> None:
        """Numbers have no holes: where there is one, this process missed something."""
        before, at = room.at, message.at
        room.at = at
        follows = before is None or (at.seq <= before.seq + 1 if at.epoch == before.epoch else at.seq == 1)
        if not follows or room.is_torn:
            room.is_torn = False
            for seat in room.seats.values():
                if seat.held is None:
                    self._tell_gap(seat, at._replace(seq=at.seq - 1))

    def _give(self, seat: Seat, message: Message) -> None:
        """Hand a message to a reader, once, or keep it until the reader was told what it missed."""
        if seat.held is not None:
            if len(seat.held) >= MAX_HELD:
                seat.held[:] = [Message(message.room, message.at, GAP, b"{}")]
            else:
                seat.held.append(message)
        elif message.at > seat.at and seat.outlet.seats.get(message.room) is seat:
            seat.at = message.at
            self._tell(seat, message)

    def _tell(self, seat: Seat, message: Message, *, is_owed: bool = False) -> None:
        if message.kind == GAP:
            self.figures.gaps += 1
        if self.may_see(seat.room.place, seat.outlet.actor, message):
            seat.outlet.put(message, is_owed=is_owed)

    def _tell_gap(self, seat: Seat, at: Position) -> None:
        self._tell(seat, Message(seat.room.name, at, GAP, b"{}"))

    def _resume(self) -> None:
        """Word from other processes may have been missed: everybody looks anew."""
        for room in self._rooms.values():
            for seat in room.seats.values():
                if seat.held is None and room.at is not None:
                    self._tell_gap(seat, room.at)

    def _recheck(self, name: str) -> None:
        self._rechecks += 1
        room = self._rooms.get(name)
        for seat in room.seats.values() if room is not None else ():
            seat.due = 0.0

    async def _look_after(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(1)
            count += 1
            try:
                for number, outlet in enumerate(tuple(self._outlets[count % len(self._outlets)])):
                    outlet.beat()
                    if number % SLICE == SLICE - 1:
                        await asyncio.sleep(0)
                await self._ask_again()
            except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
                _log.exception("live.upkeep.failed")

    async def _ask_again(self) -> None:
        """Ask about seats whose time has come, or whose reader's rights have changed; once for all seats of a room with the same rights."""
        now = self._clock.monotonic()
        waiting: dict[tuple[str, Actor], list[Seat]] = {}
        for room in self._rooms.values():
            for seat in room.seats.values():
                actor = seat.outlet.actor
                if seat.due <= now or (actor is not seat.right and _rights(actor) != _rights(seat.right)):
                    waiting.setdefault((room.name, actor), []).append(seat)
                seat.right = actor
        groups = iter(waiting.values())
        await asyncio.gather(*(self._ask_each(groups) for _ in range(min(ASKS_AT_ONCE, len(waiting)))))

    async def _ask_each(self, groups: Any) -> None:
        for seats in groups:
            place, actor = seats[0].room.place, seats[0].outlet.actor
            scope = place.declared.channel.scope
            said = REFUSED if scope is not None and not actor.may(scope) else await self._ask(place, actor)
            for seat in seats:
                seat.due = self._clock.monotonic() + RECHECK_SECONDS
                if said != ALLOWED:
                    self._send_off(seat, unknown(place.room) if said == REFUSED else None)

    def _send_off(self, seat: Seat, why: HubError | None) -> None:
        if seat.outlet.seats.get(seat.room.name) is seat:
            self.leave(seat)
            if seat.held is None:  # else ``begin`` tells it
                seat.outlet.left(seat.room.name, why)


def unknown(room: str) -> NotFound:
    """Return the answer to a room that is not there, which is also the one to a room of others."""
    return NotFound(f"There is no room {room[:80]!r} for you.", code="unknown-room", hint="Its plugin may be off, or you may not be in it.")


def _rights(actor: Actor) -> Any:
    return actor.subject, actor.organisation, actor.scopes
