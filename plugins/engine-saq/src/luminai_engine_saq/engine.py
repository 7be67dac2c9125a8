"""Word of due jobs as messages in a queue of SAQ. Its own worker is not used: it takes over the process's signals, and goes on without a word when
Redis is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from luminai import JobWork, NotReady

if TYPE_CHECKING:
    from saq.queue.redis import RedisQueue

NAME: Final = "saq"
FUNCTION: Final = "job"
MOST: Final = 50
SWEEP_SECONDS: Final = 30
DEQUEUE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 5.0


class SaqEngine:
    """Implements ``JobEngine``."""

    name = NAME

    def __init__(self, url: str, queue: str) -> None:
        self._url = url
        self._name = queue
        self._queue: RedisQueue | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            NotReady: Redis does not answer.
        """
        from redis.asyncio import Redis
        from redis.exceptions import RedisError
        from saq.queue.redis import RedisQueue

        client: Any = Redis.from_url(self._url, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=DEQUEUE_SECONDS + ANSWER_SECONDS)
        try:
            await client.ping()
        except (OSError, RedisError) as error:
            await client.aclose()
            raise NotReady(f"Redis does not answer: {type(error).__name__}.") from error
        self._queue = RedisQueue(client, name=self._name)

    async def close(self) -> None:
        """Let go of the connections."""
        queue, self._queue = self._queue, None
        if queue is not None:
            await queue.disconnect()

    async def dispatch(self, work: JobWork, /) -> int:
        """Put a message for each due job; the queue has no priorities, the order of telling is all there is."""
        async with work.told(MOST) as jobs:
            for job in jobs:
                # a key of its own for each telling: that of a message which a dead worker holds would keep the next one out
                await self._open_queue().enqueue(FUNCTION, key=f"{job.id}:{uuid4().hex}", job=job.id, ttl=-1)
        return len(jobs)

    async def serve(self, work: JobWork, /) -> None:
        """Take messages until cancelled, or until Redis is gone."""
        queue = self._open_queue()
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
        """Delete the queue's keys."""
        redis: Any = self._open_queue().redis
        for pattern in self.patterns:
            async for key in redis.scan_iter(match=pattern, count=500):
                await redis.delete(key)

    async def _sweep(self, queue: RedisQueue) -> None:
        """Take out what workers hold that are gone."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await queue.sweep(lock=SWEEP_SECONDS, abort=0.1)

    def _open_queue(self) -> RedisQueue:
        if self._queue is None:
            raise ConnectionError("not connected")
        return self._queue
