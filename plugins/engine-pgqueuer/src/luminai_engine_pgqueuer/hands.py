"""Messages in the hands of one process: picked up many at a time, brought to the ledger, and put down many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from luminai import JobWork

if TYPE_CHECKING:
    from asyncpg import Pool
    from pgqueuer.queries import Queries

ENTRYPOINT: Final = "job"
STALE: Final = timedelta(seconds=5)
"""A message in the hands of a worker that is gone is picked up again after that; no worker has one for much longer than a second."""
_PUT: Final = '"insert"'
"""What a notice of new messages holds; those of messages picked up and put down wake nobody."""


class Wake:
    """Hears that messages came."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()
        self._is_cut = False
        self._connection: Any = None

    @asynccontextmanager
    async def listening(self, pool: Pool[Any] | None, channel: str) -> AsyncIterator[None]:
        """Hear on a connection of its own."""
        if pool is None:
            raise ConnectionError("not connected")

        def hear(_: object, __: object, ___: object, notice: object) -> None:
            if _PUT in str(notice):
                self._heard.set()

        def cut(_: object) -> None:
            self._is_cut = True
            self._heard.set()

        async with pool.acquire() as connection:
            await connection.add_listener(channel, hear)
            connection.add_termination_listener(cut)
            self._connection = connection
            try:
                yield
            finally:
                connection.remove_termination_listener(cut)
                if not connection.is_closed():
                    await connection.remove_listener(channel, hear)

    async def within(self, seconds: float) -> None:
        """Return when something came since the last call, at the latest after ``seconds``.

        Raises:
            ConnectionError: nothing is heard any more.
            TimeoutError: the connection broke without a word.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            await self._connection.execute("SELECT 1")
            return
        self._heard.clear()
        if self._is_cut:
            raise ConnectionError("the database has hung up")


class Hands:
    """What this process holds: twice as many messages as jobs may run here.

    Args:
        group: Has the tasks that bring messages.
    """

    def __init__(self, queries: Queries, work: JobWork, group: asyncio.TaskGroup) -> None:
        from pgqueuer.queries import EntrypointExecutionParameter

        self._queries = queries
        self._work = work
        self._group = group
        self._most = 2 * max(1, work.at_once)
        self._held: set[int] = set()
        self._brought: list[Any] = []
        self._is_brought = asyncio.Event()
        self._is_freed = asyncio.Event()
        self._given: dict[str, Any] = {
            "entrypoints": {ENTRYPOINT: EntrypointExecutionParameter(concurrency_limit=0)},
            "queue_manager_id": uuid4(),
            "global_concurrency_limit": None,
            "heartbeat_timeout": STALE,
        }

    async def free(self) -> None:
        """Wait until half of the room is free, so that messages are picked up many at a time."""
        while 2 * len(self._held) > self._most:
            self._is_freed.clear()
            await self._is_freed.wait()

    async def pick_up(self) -> bool:
        """Pick up as many as there is room for, and bring each; tell whether there may be more."""
        most = self._most - len(self._held)
        found = await self._queries.dequeue(batch_size=most, **self._given)
        for message in found:
            if message.id not in self._held:
                self._held.add(message.id)
                self._group.create_task(self._bring(message))
        return len(found) >= most

    async def put_down(self) -> None:
        """Put down what was brought, as it comes; what comes meanwhile is the next lot."""
        while True:
            await self._is_brought.wait()
            self._is_brought.clear()
            lot, self._brought = self._brought, []
            await self._queries.log_jobs([(message, "successful", None) for message in lot])

    async def _bring(self, message: Any) -> None:
        await self._work.run(message.payload.decode())
        self._held.discard(message.id)
        self._brought.append(message)
        self._is_brought.set()
        self._is_freed.set()
