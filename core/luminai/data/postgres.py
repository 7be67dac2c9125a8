"""PostgreSQL through asyncpg: the same units, serializable unless they lock by themselves, retried when the server says that they met."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import Connection, Engine, Executable, Select, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from luminai.contracts.context import Isolation
from luminai.contracts.errors import ConfigRejected, DeadlineExceeded, Unavailable
from luminai.data.backups import no_backup
from luminai.data.database import Busy, Unit
from luminai.data.driver_errors import keep_values_out
from luminai.data.owners import Acting, keep_owners_apart
from luminai.data.row_security import as_system, begin

T = TypeVar("T")
POOL: Final = 16
OVERFLOW: Final = 4
LINE_SECONDS: Final = 60.0
"""Longest time in the line of a person's units that lock: whoever asked is gone by then, and a line without an end fills the process."""
_SERIALIZATION: Final = ("40001", "40P01")
_UNIQUE: Final = "23505"
_REQUIRES: Final = "Install luminai[postgres] (asyncpg)."


class PostgresEngine:
    """A PostgreSQL database, shared by any number of hubs."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        self._lines: WeakValueDictionary[Acting, asyncio.Lock] = WeakValueDictionary()
        try:
            from luminai.data.postgres_begin import Connection as BeginConnection

            parsed = make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
            self._engine = create_async_engine(
                parsed,
                pool_size=POOL,
                max_overflow=OVERFLOW,
                pool_timeout=5,
                pool_pre_ping=False,
                hide_parameters=True,
                connect_args={"connection_class": BeginConnection},
                json_serializer=lambda value: msgspec.json.encode(value).decode(),
                json_deserializer=msgspec.json.decode,
            )
            event.listen(self._engine.sync_engine, "begin", _say_first)
            event.listen(self._engine.sync_engine, "checkin", _say_nothing)
            keep_owners_apart(self._engine.sync_engine)
            keep_values_out(self._engine.sync_engine)
        except ModuleNotFoundError as error:
            raise ConfigRejected("PostgreSQL needs asyncpg, which is not installed.", hint=_REQUIRES) from error
        except Exception as error:
            raise ConfigRejected("database.url cannot be read.", hint="postgresql://user@host:5432/name") from error

    async def open(self) -> None:
        """Connect once."""
        await self.read(lambda session: session.execute(text("SELECT 1")).scalar(), 10)

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def read(self, unit: Unit[T], seconds: float, whose: Acting | None = None) -> T:
        """Run a unit in one read-only snapshot."""
        result: T = await self._within(seconds, lambda: self._once(unit, begin("REPEATABLE READ, READ ONLY", seconds, whose)))
        return result

    async def write(
        self, unit: Unit[T], seconds: float, whose: Acting | None = None, isolation: Isolation = "serializable", *, durable: bool = True
    ) -> T:
        """Run a unit; while the server answers that it met another one, run it again until the deadline.

        A unit that locks what it decides on runs ``READ COMMITTED``, those of one person one after the other: they would only wait for the same rows,
        each on a connection that others need.
        """
        is_locking = isolation == "read-committed"
        first = begin("READ COMMITTED" if is_locking else "SERIALIZABLE", seconds, whose, durable=durable)

        async def until_alone() -> T:
            attempt = 0
            while True:
                try:
                    return await self._once(unit, first)
                except DBAPIError as error:
                    # two opened the same at the same moment: the second finds it when it looks again, unless it made the same twice by itself
                    found_late = is_locking and _sqlstate(error) == _UNIQUE and not attempt
                    if _sqlstate(error) not in _SERIALIZATION and not found_late:
                        raise
                attempt += 1
                await asyncio.sleep(random.uniform(0, min(0.25, 0.002 * 2**attempt)))

        if not is_locking or whose is None:
            return await self._within(seconds, until_alone)  # type: ignore[no-any-return]
        async with self._turn(whose):  # standing in line is not the database's time
            return await self._within(seconds, until_alone)  # type: ignore[no-any-return]

    async def alone(self, statement: Executable, given: Mapping[str, Any]) -> Any:
        """Run one statement that is committed by itself; two of the same row wait for each other instead of failing."""

        async def run() -> Any:
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                return (await connection.execute(statement, given)).scalar()

        return await self._within(5.0, run)

    def busy(self) -> Busy:
        """Return how many connections are in use."""
        pool: Any = self._engine.pool
        return Busy(connections=POOL + OVERFLOW, in_use=pool.checkedout())

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on a connection of its own; it begins and commits by itself."""
        async with self._engine.connect() as connection:
            event.listen(connection.sync_connection, "begin", as_system)  # each of its transactions: policies hold for the owner of a table too
            return await connection.run_sync(work)

    async def backup(self, path: Path) -> None:  # noqa: ARG002 - the protocol's shape
        """Refuse: the server has tools of its own."""
        raise no_backup()

    async def stream(self, query: Select[Any], batch: int, whose: Acting | None = None) -> AsyncIterator[Any]:
        """Yield rows from a server-side cursor in one snapshot."""
        async with self._engine.connect() as connection:
            await connection.execution_options(luminai_begin=begin("REPEATABLE READ, READ ONLY", 0, whose))
            async with connection.stream(query.execution_options(yield_per=batch)) as rows:
                async for row in rows:
                    yield row

    async def _once(self, unit: Unit[T], first: str) -> T:
        """Run a unit in one greenlet, from the pool and back: SQLAlchemy's own connection makes one for each step, and a task to end with."""
        result: T = await greenlet_spawn(_run, self._engine.sync_engine, unit, first)
        return result

    @asynccontextmanager
    async def _turn(self, whose: Acting) -> AsyncIterator[None]:
        line = self._lines.setdefault(whose, asyncio.Lock())
        try:
            async with asyncio.timeout(LINE_SECONDS):
                await line.acquire()
        except TimeoutError as error:
            detail = f"Work for the same person stood before this for {LINE_SECONDS:g} s."
            raise DeadlineExceeded(detail, code="database-deadline", hint="Try again, with less at once.") from error
        try:
            yield
        finally:
            line.release()

    async def _within(self, seconds: float, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                return await run()
        except TimeoutError as error:
            raise DeadlineExceeded(f"The database did not answer within {seconds:g} s.", code="database-deadline") from error
        except DBAPIError as error:
            if _sqlstate(error) == "57014" and time.perf_counter() - began >= seconds * 0.9:
                raise DeadlineExceeded(f"The database did not answer within {seconds:g} s.", code="database-deadline") from error
            if error.connection_invalidated or _sqlstate(error).startswith(("08", "57P")):
                raise _unreachable() from error
            raise
        except (OSError, PoolTimeoutError) as error:
            raise _unreachable() from error


def _say_first(connection: Connection) -> None:
    """Have each transaction begin with its deadline and whose rows it may see; a unit that rolls back and goes on is in a new one."""
    driver: Any = connection.connection.driver_connection
    driver.first = connection.get_execution_options().get("luminai_begin", "")


def _say_nothing(adapted: Any, _: object) -> None:
    """Have a connection's next user begin as it likes: a listener of its own may come before ``_say_first``, and what was said last is not for it."""
    if adapted is not None:
        adapted.driver_connection.first = ""


def _run(engine: Engine, unit: Unit[T], first: str) -> T:
    with engine.connect().execution_options(luminai_begin=first) as connection:
        # no savepoint, as the writer of SQLite needs one a unit: here a unit is alone in its transaction, and two round trips are much of a small one
        with Session(bind=connection, join_transaction_mode="rollback_only") as session:
            result = unit(session)
            session.commit()
        connection.commit()
    return result


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")


def _unreachable() -> Unavailable:
    return Unavailable("The database does not answer.", code="database-unreachable", hint="Check database.url and the server.", retry_after=5)
