"""Word of due jobs as messages of PgQueuer: a row, a NOTIFY, and a worker that picks the row up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from luminai import JobWork, NotReady

if TYPE_CHECKING:
    from asyncpg import Pool
    from pgqueuer.queries import Queries

NAME: Final = "pgqueuer"
SCHEMA: Final = "engine_pgqueuer"
"""All that PgQueuer makes is in a schema of its own: its tables have no prefix of the plugin."""
ENTRYPOINT: Final = "job"
MOST: Final = 100
CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 10.0
STALE: Final = timedelta(seconds=5)
"""A message in the hands of a worker that is gone is picked up again after that; no worker has one for much longer than a second."""
AGGREGATE: Final = timedelta(seconds=30)
TIDY_SECONDS: Final = 600.0
_SETUP_LOCK: Final = 7_305_118_822


class PgQueuerEngine:
    """Implements ``JobEngine``."""

    name = NAME

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: Pool[Any] | None = None

    async def open(self) -> None:
        """Connect, and make or upgrade PgQueuer's tables.

        Raises:
            NotReady: the database does not answer.
        """
        import asyncpg
        from pgqueuer.db import AsyncpgDriver
        from pgqueuer.queries import Queries

        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._connections,
                timeout=CONNECT_SECONDS,
                command_timeout=COMMAND_SECONDS,
                server_settings={"application_name": "luminai jobs", "search_path": SCHEMA},
            )
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _SETUP_LOCK)  # several hubs start at once
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                queries = Queries(AsyncpgDriver(connection))
                if await queries.schema_is_installed():
                    await queries.upgrade()
                else:
                    await queries.install(create_schema=False)
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            await self.close()
            raise NotReady(f"PostgreSQL does not take PgQueuer's tables: {type(error).__name__}.") from error

    async def close(self) -> None:
        """Let go of the connections."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def dispatch(self, work: JobWork, /) -> int:
        """Put a message for each due job."""
        async with work.told(MOST) as jobs:
            if jobs:
                ids: list[str | None] = [job.id for job in jobs]  # a job has one message at a time, however often workers are told
                await self._queries().enqueue(
                    [ENTRYPOINT] * len(jobs),
                    [job.id.encode() for job in jobs],
                    [job.priority for job in jobs],
                    dedupe_key=ids,
                    on_conflict="skip",
                )
        return len(jobs)

    async def serve(self, work: JobWork, /) -> None:
        """Take messages until cancelled, or until the database is gone."""
        from pgqueuer.qm import QueueManager

        manager = QueueManager(self._queries())

        async def bring(message: Any) -> None:
            await work.run(message.payload.decode())

        manager.entrypoint(ENTRYPOINT)(bring)
        batch = max(1, work.at_once)
        tidy = asyncio.get_running_loop().create_task(self._tidy())
        try:
            await manager.run(
                dequeue_timeout=STALE,
                batch_size=batch,
                max_concurrent_tasks=2 * batch,
                heartbeat_timeout=STALE,
                shutdown_on_listener_failure=True,
                log_aggregation_interval=AGGREGATE,
            )
        finally:
            tidy.cancel()

    async def purge(self) -> None:
        """Drop all that PgQueuer has."""
        if self._pool is not None:
            await self._pool.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

    async def _tidy(self) -> None:
        """Forget what became of messages: it says nothing that the ledger does not know better."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            queries = self._queries()
            await queries.clear_queue_log()
            await queries.clear_statistics_log()

    def _queries(self) -> Queries:
        from pgqueuer.db import AsyncpgPoolDriver
        from pgqueuer.queries import Queries

        if self._pool is None:
            raise ConnectionError("not connected")
        return Queries(AsyncpgPoolDriver(self._pool))
