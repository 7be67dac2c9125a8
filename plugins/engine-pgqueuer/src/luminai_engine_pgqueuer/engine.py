"""Word of due jobs as messages of PgQueuer: a row, a NOTIFY, and a worker that picks the row up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from luminai import JobWork, Unavailable
from luminai_engine_pgqueuer.hands import ENTRYPOINT, STALE, Hands, Wake

if TYPE_CHECKING:
    from asyncpg import Pool
    from pgqueuer.queries import Queries

NAME: Final = "pgqueuer"
SCHEMA: Final = "engine_pgqueuer"
"""All that PgQueuer makes is in a schema of its own: its tables have no prefix of the plugin."""
MOST: Final = 100
CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 10.0
TIDY_SECONDS: Final = 600.0
LYING_SECONDS: Final = 60.0
"""A message that waits longer is not taken by anybody: workers bring them within a second, and those that find no room are told anew."""
_SETUP_LOCK: Final = 7_305_118_822


class PgQueuerEngine:
    """Implements ``JobEngine``."""

    name = NAME

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: Pool[Any] | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def close(self) -> None:
        """Let go of the connections."""
        self._is_closed = True
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def look(self) -> None:
        """See that the database answers and that its messages are taken.

        Raises:
            Unavailable: it does not (code ``engine-pgqueuer.unreachable``), or they are not (code ``engine-pgqueuer.not-taken``).
        """
        import asyncpg

        queries = await self._queries()
        try:
            (ages,) = await queries.queue_age() or (None,)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            raise _unreachable(error) from None
        if ages is not None and ages.oldest_age_seconds > LYING_SECONDS:
            detail = f"The oldest of {ages.queued_count} messages has waited for {ages.oldest_age_seconds:.0f} s."
            raise Unavailable(detail, code="engine-pgqueuer.not-taken", hint="Is there a process with the role worker and this engine?")

    async def dispatch(self, work: JobWork, /) -> int:
        """Put a message for each due job."""
        queries = await self._queries()
        async with work.told(MOST) as jobs:
            if jobs:
                ids: list[str | None] = [job.id for job in jobs]  # a job has one message at a time, however often workers are told
                await queries.enqueue(
                    [ENTRYPOINT] * len(jobs),
                    [job.id.encode() for job in jobs],
                    [job.priority for job in jobs],
                    dedupe_key=ids,
                    on_conflict="skip",
                )
        return len(jobs)

    async def serve(self, work: JobWork, /) -> None:
        """Take messages until cancelled, or until the database is gone.

        PgQueuer's own worker is not used: it asks five times for each batch and keeps a heartbeat for each message, which here are done with at once.
        """
        queries = await self._queries()
        wake = Wake()
        async with asyncio.TaskGroup() as group, wake.listening(self._pool, queries.qbe.settings.channel):
            hands = Hands(queries, work, group)
            group.create_task(hands.put_down())
            group.create_task(self._tidy())
            while True:
                await hands.free()
                if not await hands.pick_up():  # what comes from now on is heard
                    await wake.within(STALE.total_seconds())

    async def purge(self) -> None:
        """Drop all that PgQueuer has.

        Raises:
            Unavailable: the database does not answer (code ``engine-pgqueuer.unreachable``).
        """
        queries = await self._queries()
        await queries.driver.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

    async def _tidy(self) -> None:
        """Forget what became of messages: it says nothing that the ledger does not know better."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            queries = await self._queries()
            await queries.clear_queue_log()
            await queries.clear_statistics_log()

    async def _queries(self) -> Queries:
        """Return what asks the database, connected at the first use: a hub starts while the database is away, and goes on once it is back.

        Raises:
            Unavailable: it does not answer (code ``engine-pgqueuer.unreachable``).
        """
        import asyncpg
        from pgqueuer.db import AsyncpgPoolDriver
        from pgqueuer.queries import Queries

        async with self._opening:
            if self._pool is None:
                if self._is_closed:
                    raise Unavailable("The engine was stopped.", code="engine-pgqueuer.unreachable")
                try:
                    self._pool = await self._open()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, TimeoutError) as error:
                    raise _unreachable(error) from None  # its words may hold the address, and with it the password
            return Queries(AsyncpgPoolDriver(self._pool))

    async def _open(self) -> Pool[Any]:
        """Connect, and make or upgrade PgQueuer's tables."""
        import asyncpg
        from pgqueuer.db import AsyncpgDriver
        from pgqueuer.queries import Queries

        pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            reset=_leave,
            # no message waits for the disk: workers are told again of a job whose message a server forgot in a crash
            server_settings={"application_name": "luminai jobs", "search_path": SCHEMA, "synchronous_commit": "off"},
        )
        try:
            await pool
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _SETUP_LOCK)  # several hubs start at once
                await connection.execute("SET LOCAL synchronous_commit = on")
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                queries = Queries(AsyncpgDriver(connection))
                if await queries.schema_is_installed():
                    await queries.upgrade()
                else:
                    await queries.install(create_schema=False)
        except BaseException:
            pool.terminate()
            raise
        return pool


async def _leave(_: object) -> None:
    """Hand a connection on as it is: nothing is set on one for longer than a transaction, and to say so would be as many round trips again."""


def _unreachable(error: Exception) -> Unavailable:
    hint = "Check `url`, the server, and that the role has CREATE on the database."
    return Unavailable(f"PostgreSQL does not serve PgQueuer: {type(error).__name__}.", code="engine-pgqueuer.unreachable", hint=hint, retry_after=5)
