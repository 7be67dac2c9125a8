"""Rooms in Redis, for several processes: a stream for each room keeps its last messages, one channel tells every process of all.

Streams, not PostgreSQL's NOTIFY: that loses what is said while a listener is away, carries 8,000 bytes, and slows the commits of everybody down. Each
script is one atomic step, so that numbers have no holes whichever process counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from luminai.contracts.errors import Unavailable
from luminai.http.rooms.log import Kept, Look, look
from luminai.http.rooms.messages import Message, Position

_log = logging.getLogger("luminai.live")
MAX_WAITING: Final = 2000
"""Messages that wait for a Redis that does not answer; the oldest go first."""
AT_ONCE: Final = 100
RETRY_SECONDS: Final = 0.5
CALL_SECONDS: Final = 5.0
MAX_SILENT: Final = 3
"""Pings that may stay without an answer."""
RECHECK: Final = "!recheck"
OPENED: Final = "!opened"
_OPEN: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then
  local time = redis.call('TIME')
  local id = string.format('%.0f-0', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('XADD', KEYS[1], id, 'kind', '!opened', 'data', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  last = {id}
end
"""
_APPEND: Final = (
    _OPEN
    + """
local epoch, seq = string.match(last[1], '(%d+)-(%d+)')
local id = string.format('%s-%.0f', epoch, seq + 1)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], id, 'kind', ARGV[3], 'data', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[5], ARGV[6] .. '\\n' .. id .. '\\n' .. ARGV[3] .. '\\n' .. ARGV[4])
return id
"""
)
_AFTER: Final = (
    _OPEN
    + """
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local entries = {}
if ARGV[2] ~= '' then entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[2], '+') end
return {last[1], oldest[1], entries}
"""
)


class RedisLog:
    """Over one Redis.

    Args:
        url: Of the server.
        hub: Marks this hub's keys and channel: Redis tells a channel to all its databases, and another hub may live in the next one.
    """

    def __init__(self, url: str, hub: str) -> None:
        from redis.asyncio import Redis

        self._redis: Any = Redis.from_url(url, socket_connect_timeout=2, socket_timeout=CALL_SECONDS)
        self._append = self._redis.register_script(_APPEND)
        self._after = self._redis.register_script(_AFTER)
        self._prefix = f"luminai:live:{hub}:"
        self._channel = f"luminai:live:{hub}"
        self._waiting: deque[tuple[str, str, bytes, Kept]] = deque()
        self._has_news = asyncio.Event()
        self.is_away = False
        self.lost = 0
        self.heard: Callable[[Message], None] = lambda _: None
        self.rechecked: Callable[[str], None] = lambda _: None
        self.resumed: Callable[[], None] = lambda: None

    def append(self, room: str, kind: str, data: bytes, kept: Kept) -> None:
        """Put a message in the row of those that go to Redis."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append((room, kind, data, kept))
        self._has_news.set()

    def holds(self, room: str) -> bool:  # noqa: ARG002 - the protocol's shape
        """Always: readers of other processes are not known here."""
        return True

    def recheck(self, room: str) -> None:
        """Tell the others, and do it here at once."""
        self.rechecked(room)
        self.append(room, RECHECK, b"", Kept(1, 1))

    async def after(self, room: str, position: Position | None, kept: Kept) -> Look:
        """Look at what came after ``position``."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                now, oldest, entries = await self._after(keys=[self._prefix + room], args=[_ms(kept), str(position or "")])
        except Exception as error:
            self._note_away(error)
            hint = "Come again, or poll; plain requests work."
            raise Unavailable("Live messages are away.", code="live-away", hint=hint, retry_after=5) from error
        found = [Message(room, _position(raw), fields[1].decode(), fields[3]) for raw, fields in entries if fields[1] != OPENED.encode()]
        return look(found, _position(now), _position(oldest).seq, position)

    async def run(self) -> None:
        """Hear and tell until cancelled, connecting again as often as it takes."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            tasks.create_task(self._hear())

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _tell(self) -> None:
        while not _is_cancelled():
            await self._has_news.wait()
            self._has_news.clear()
            while self._waiting and not _is_cancelled():
                some = [self._waiting[index] for index in range(min(AT_ONCE, len(self._waiting)))]
                try:
                    async with asyncio.timeout(CALL_SECONDS), self._redis.pipeline(transaction=False) as pipe:
                        for one in some:
                            await self._send(pipe, *one)
                        await pipe.execute()
                except Exception as error:  # noqa: BLE001 - whatever Redis has, it is tried again; readers take a repeated message as one more
                    if not _is_cancelled():
                        self._note_away(error)
                        await asyncio.sleep(RETRY_SECONDS)
                    continue
                self.is_away = False
                for one in some:
                    if self._waiting and self._waiting[0] is one:  # or it was given up meanwhile
                        self._waiting.popleft()

    async def _send(self, pipe: Any, room: str, kind: str, data: bytes, kept: Kept) -> None:
        if kind == RECHECK:
            await pipe.publish(self._channel, f"{room}\n0-0\n{RECHECK}\n")
        else:
            await self._append(keys=[self._prefix + room], args=[_ms(kept), kept.history, kind, data, self._channel, room], client=pipe)

    async def _hear(self) -> None:
        while not _is_cancelled():
            try:
                async with self._redis.pubsub() as listening:
                    await listening.subscribe(self._channel)
                    silent = 0
                    while not _is_cancelled():
                        got = await listening.get_message(timeout=CALL_SECONDS / 2)
                        silent = silent + 1 if got is None else 0
                        if silent > MAX_SILENT:
                            raise ConnectionError("it answers no ping")
                        if got is None:
                            await listening.ping()
                        elif got["type"] == "subscribe":
                            self.resumed()  # what was said before was not heard here
                        elif got["type"] == "message":
                            self._take(got["data"])
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - connected again below
                if _is_cancelled():
                    return
                self._note_away(error)
                with contextlib.suppress(Exception):
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
                await asyncio.sleep(RETRY_SECONDS)

    def _take(self, raw: bytes) -> None:
        room, place, kind, data = raw.split(b"\n", 3)
        if kind.decode() == RECHECK:
            self.rechecked(room.decode())
        else:
            self.heard(Message(room.decode(), _position(place), kind.decode(), data))

    def _note_away(self, error: Exception) -> None:
        if not self.is_away:
            _log.warning("live.redis.away", extra={"reason": str(error)[:200]})
        self.is_away = True


def _is_cancelled() -> bool:
    """Tell whether this task is to end: a cancellation in the middle of a call may come out of the client as another error, or not at all."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _position(raw: bytes) -> Position:
    epoch, _, seq = raw.partition(b"-")
    return Position(int(epoch), int(seq))


def _ms(kept: Kept) -> int:
    return max(1, round(kept.seconds * 1000))
