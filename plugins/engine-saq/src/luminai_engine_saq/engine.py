"""Word of due jobs as messages in a queue of SAQ. Its own worker is not used: it takes over the process's signals, and goes on without a word when
Redis is away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from luminai import JobWork, Unavailable

if TYPE_CHECKING:
    from saq.queue.redis import RedisQueue

NAME: Final = "saq"
FUNCTION: Final = "job"
MOST: Final = 50
SWEEP_SECONDS: Final = 30
DEQUEUE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 5.0
LYING_SECONDS: Final = 60.0
"""A message that waits longer is not taken by anybody: workers bring them within a second, and those that find no room are told anew."""


class SaqEngine:
    """Implements ``JobEngine``."""

    name = NAME

    def __init__(self, url: str, queue: str) -> None:
        self._url = url
        self._name = queue
        self._queue: RedisQueue | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Let go of the connections."""
        self._is_closed = True
        queue, self._queue = self._queue, None
        if queue is not None:
            await queue.disconnect()

    async def look(self) -> None:
        """See that Redis answers and that its messages are taken.

        Raises:
            Unavailable: it does not (code ``engine-saq.unreachable``), or they are not (code ``engine-saq.not-taken``).
        """
        from redis.exceptions import RedisError

        queue = self._open()
        redis: Any = queue.redis
        try:
            first = await redis.lindex(queue.namespace("queued"), 0)
            oldest = queue.deserialize(await redis.get(first)) if first is not None else None
        except (OSError, RedisError) as error:
            raise _unreachable(error) from None
        waited = time.time() - oldest.queued / 1000 if oldest is not None else 0.0
        if waited > LYING_SECONDS:
            detail = f"The oldest message has waited for {waited:.0f} s."
            raise Unavailable(detail, code="engine-saq.not-taken", hint="Is there a process with the role worker and this engine?")

    async def dispatch(self, work: JobWork, /) -> int:
        """Put a message for each due job; the queue has no priorities, the order of telling is all there is."""
        queue = self._open()
        async with work.told(MOST) as jobs:
            for job in jobs:
                # a key of its own for each telling: that of a message which a dead worker holds would keep the next one out
                await queue.enqueue(FUNCTION, key=f"{job.id}:{uuid4().hex}", job=job.id, ttl=-1)
        return len(jobs)

    async def serve(self, work: JobWork, /) -> None:
        """Take messages until cancelled, or until Redis is gone."""
        queue = self._open()
        places = asyncio.Semaphore(work.at_once)

        async def bring(message: Any) -> None:
            from saq import Status

            try:
                await work.run(message.kwargs["job"])
                await message.finish(Status.COMPLETE)
            finally:
                places.release()

        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep(queue))
            while True:
                await places.acquire()
                message = await queue.dequeue(timeout=DEQUEUE_SECONDS)
                if message is None:
                    places.release()
                else:
                    group.create_task(bring(message))

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the queue's keys look like."""
        return (f"saq:{self._name}:*", f"saq:job:{self._name}:*")

    async def purge(self) -> None:
        """Delete the queue's keys.

        Raises:
            Unavailable: Redis does not answer (code ``engine-saq.unreachable``).
        """
        from redis.exceptions import RedisError

        redis: Any = self._open().redis
        try:
            for pattern in self.patterns:
                async for key in redis.scan_iter(match=pattern, count=500):
                    await redis.delete(key)
        except (OSError, RedisError) as error:
            raise _unreachable(error) from None

    async def _sweep(self, queue: RedisQueue) -> None:
        """Take out what workers hold that are gone."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await queue.sweep(lock=SWEEP_SECONDS, abort=0.1)

    def _open(self) -> RedisQueue:
        """Return the queue; its connections are made at their first use, so a hub starts while Redis is away, and goes on once it is back.

        Raises:
            Unavailable: the address is none (code ``engine-saq.unreachable``).
        """
        from redis.asyncio import Redis
        from saq.queue.redis import RedisQueue

        if self._queue is None:
            if self._is_closed:
                raise Unavailable("The engine was stopped.", code="engine-saq.unreachable")
            try:
                client: Any = Redis.from_url(self._url, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=DEQUEUE_SECONDS + ANSWER_SECONDS)
            except ValueError as error:
                raise _unreachable(error) from None  # its words may hold the address, and with it the password
            self._queue = RedisQueue(client, name=self._name)
        return self._queue


def _unreachable(error: Exception) -> Unavailable:
    hint = "Check `url` and the server."
    return Unavailable(f"Redis does not serve SAQ: {type(error).__name__}.", code="engine-saq.unreachable", hint=hint, retry_after=5)
