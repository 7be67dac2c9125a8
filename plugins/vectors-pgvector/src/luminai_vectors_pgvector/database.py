"""The connections to PostgreSQL, and the schema of the plugin there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from luminai import Unavailable

if TYPE_CHECKING:
    from asyncpg import Pool

SCHEMA: Final = "vectors_pgvector"
CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
_LOCK: Final = 7_305_118_940
_TABLES: Final = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.places (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL, collection text NOT NULL, dimension integer NOT NULL,
    UNIQUE (owner, collection)
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.items (
    place bigint NOT NULL REFERENCES {SCHEMA}.places ON DELETE CASCADE, id text COLLATE "C" NOT NULL, vector vector NOT NULL,
    PRIMARY KEY (place, id)
);
"""


class Server:
    """A pool that is made by the first call, and made anew after the server was away.

    Args:
        url: Address of the database, "" when none is set.
    """

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: Pool[Any] | None = None
        self.problem = ""
        if not url:
            self._fault = "no database is set (`url`)"
        else:
            self._fault = "" if url.startswith(("postgresql://", "postgres://")) else "`url` does not begin with postgresql://"

    @property
    def is_set(self) -> bool:
        """Whether there is an address of a database: without one it can hold nothing."""
        return not self._fault

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Give a connection within a transaction.

        Raises:
            Unavailable: there is no database, it does not answer, or it lacks the extension (code ``vectors.store-unavailable``).
        """
        try:
            import asyncpg
        except ImportError:
            raise self._unavailable("the package asyncpg is not installed: pip install 'luminai-vectors-pgvector[postgres]'") from None
        if self._fault:
            raise self._unavailable(self._fault)
        try:
            pool = self._pool or await self._opened(asyncpg)
            async with pool.acquire(timeout=CONNECT_SECONDS) as connection, connection.transaction():
                yield connection
            self.problem = ""
        except asyncpg.exceptions.FeatureNotSupportedError as error:
            raise self._unavailable("the server does not have the extension pgvector") from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self._unavailable(f"PostgreSQL does not serve it ({type(error).__name__})") from error

    async def close(self) -> None:
        """Let go of the connections."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def drop(self) -> None:
        """Drop the schema with all vectors."""
        async with self.connection() as connection:
            await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

    async def _opened(self, asyncpg: Any) -> Any:
        settings = {"application_name": "luminai vectors", "search_path": f"{SCHEMA}, public"}
        pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=settings,
        )
        try:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)  # several processes start at once
                if not await connection.fetchval("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
                    await connection.execute("CREATE EXTENSION vector SCHEMA public")
                await connection.execute(_TABLES)
        except BaseException:
            pool.terminate()
            raise
        if self._pool is not None:  # another call was quicker
            pool.terminate()
            return self._pool
        self._pool = pool
        return pool

    def _unavailable(self, reason: str) -> Unavailable:
        self.problem = reason
        return Unavailable(f"The store pgvector cannot work: {reason}.", code="vectors.store-unavailable")
