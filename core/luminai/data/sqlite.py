"""SQLite: one writer thread with group commit, a few reader threads that cannot write.

Sync SQLAlchemy in threads measured three to five times faster than its async engine, and one writer with ``BEGIN IMMEDIATE`` loses no update.
Each unit has its savepoint inside a batch that is committed (and synced to disk) once, then all callers of the batch hear of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from sqlalchemy import Connection, Executable, Select, create_engine, event
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from luminai.contracts.context import Isolation
from luminai.contracts.errors import Conflict, Unavailable
from luminai.data.backups import copy_sqlite
from luminai.data.database import Busy, HubDatabase, Unit
from luminai.data.driver_errors import keep_values_out
from luminai.data.owners import Acting, keep_owners_apart
from luminai.data.prepared import driver_rows
from luminai.data.sqlite_walk import Walk
from luminai.data.sqlite_writer import Running, Writer, storage_error

T = TypeVar("T")
READERS: Final = 3
STREAMS: Final = 4
QUICK_CHECK_BYTES: Final = 64 * 1024 * 1024
FILE_NAME: Final = "hub.sqlite3"


class SQLiteEngine:
    """One SQLite file, held by this process alone."""

    dialect = "sqlite"

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir
        self._path = data_dir / FILE_NAME
        self._lock: IO[str] | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="luminai-sqlite-reader")
        self._streams = asyncio.Semaphore(STREAMS)
        self._write_engine = _engine(self._path, "BEGIN IMMEDIATE", query_only=False, pool=1)
        self._read_engine = _engine(self._path, "BEGIN", query_only=True, pool=READERS + STREAMS)
        self._pool: Any = self._read_engine.pool
        self._writer = Writer(self._write_engine, self._path)

    async def open(self) -> None:
        """Take the data folder, look at the file, start the writer."""
        self._dir.mkdir(parents=True, exist_ok=True)
        self._hold()
        try:
            await asyncio.to_thread(self._examine)
        except DatabaseError as error:
            self._release()
            raise storage_error(error) from error
        except Unavailable:
            self._release()
            raise
        self._writer.start()

    async def close(self) -> None:
        """Finish queued units and let go of the file."""
        await asyncio.to_thread(self._writer.stop)
        self._readers.shutdown(wait=True)
        self._read_engine.dispose()
        self._write_engine.dispose()
        self._release()

    async def write(
        self,
        unit: Unit[T],
        seconds: float,
        whose: Acting | None = None,  # noqa: ARG002 - SQLite itself knows no owners
        isolation: Isolation = "serializable",  # noqa: ARG002 - one writer: units are one after the other in any case
        *,
        durable: bool = True,  # noqa: ARG002 - and a batch waits for the disk once
    ) -> T:
        """Queue a unit for the writer and wait for its batch to be durable."""
        result: T = await self._writer.submit(unit, seconds)
        return result

    async def read(self, unit: Unit[T], seconds: float, whose: Acting | None = None) -> T:  # noqa: ARG002 - as above
        """Run a unit on a reader thread."""
        running = Running(unit, seconds)
        future = asyncio.get_running_loop().run_in_executor(self._readers, self._read, running)
        result: T = await running.within_deadline(future)
        return result

    async def alone(self, statement: Executable, given: Mapping[str, Any]) -> Any:
        """Run one statement that is committed by itself."""
        return await self.write(lambda session: session.execute(statement, given).scalar(), 5.0)

    def busy(self) -> Busy:
        """Return how many readers are at work, and how many writes wait."""
        return Busy(connections=READERS + STREAMS, in_use=self._pool.checkedout(), writes_waiting=self._writer.waiting)

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on the writer's connection, between batches."""
        result: T = await self._writer.submit_raw(work)
        return result

    async def backup(self, path: Path) -> None:
        """Copy the file through a connection of its own, from one snapshot."""
        await asyncio.to_thread(copy_sqlite, self._path, path)

    async def stream(self, query: Select[Any], batch: int, whose: Acting | None = None) -> AsyncIterator[Any]:  # noqa: ARG002 - as above
        """Yield rows from one read transaction, ``batch`` at a time."""
        loop = asyncio.get_running_loop()
        async with self._streams:
            walk = Walk(self._read_engine, query, batch)
            try:
                while rows := await loop.run_in_executor(self._readers, walk.step):
                    for row in rows:
                        yield row
            finally:
                walk.end()

    def _read(self, running: Running) -> Any:
        with self._read_engine.connect() as connection, Session(bind=connection) as session:
            raw = connection.connection.driver_connection
            running.begin(raw)
            try:
                return running.unit(session)
            except DatabaseError as error:
                raise storage_error(error) from error
            finally:
                running.end()

    def _hold(self) -> None:
        self._lock = (self._dir / "hub.lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise Conflict(
                f"Another process holds the data folder {self._dir.name}.",
                code="database-in-use",
                hint="Talk to the running hub instead, or stop it; to run several hubs, use PostgreSQL (database.url).",
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _examine(self) -> None:
        """Set WAL once, and refuse a damaged file before anything is built on it (files too large for a quick look are trusted)."""
        with self._write_engine.connect() as connection:
            raw = connection.connection.driver_connection
            if not isinstance(raw, sqlite3.Connection):
                raise TypeError("unexpected driver")
            raw.execute("PRAGMA journal_mode=WAL")
            if self._path.stat().st_size <= QUICK_CHECK_BYTES:
                verdict = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise Unavailable(f"The database is damaged: {verdict}", code="database-damaged", hint="Restore a backup of the data folder.")


async def empty_log(database: HubDatabase) -> bool:
    """Move the write-ahead log into the file and empty it, so that it holds nothing that was deleted; a long read may put that off.

    Returns:
        Whether it is empty now; always on PostgreSQL, which sees to its own log.
    """

    def truncate(connection: Connection) -> bool:
        raw = connection.connection.driver_connection
        return not isinstance(raw, sqlite3.Connection) or raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0

    return database.dialect != "sqlite" or await database.migrate(truncate)


class _Dialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's, with savepoints by the driver and under one name, so that their texts stay prepared: it compiles each anew.

    SQLite means the innermost of a name. So one that was gone back to is also ended, for SQLAlchemy does not come to it again.
    """

    supports_statement_cache = True

    def do_savepoint(self, connection: Connection, name: str) -> None:  # noqa: ARG002 - SQLAlchemy's shape
        driver_rows(connection, "SAVEPOINT part")

    def do_rollback_to_savepoint(self, connection: Connection, name: str) -> None:  # noqa: ARG002 - as above
        driver_rows(connection, "ROLLBACK TO SAVEPOINT part")
        driver_rows(connection, "RELEASE SAVEPOINT part")

    def do_release_savepoint(self, connection: Connection, name: str) -> None:  # noqa: ARG002 - as above
        driver_rows(connection, "RELEASE SAVEPOINT part")


registry.register("sqlite.luminai", __name__, _Dialect.__name__)


def _engine(path: Path, begin: str, *, query_only: bool, pool: int) -> SyncEngine:
    engine = create_engine(
        f"sqlite+luminai:///{path}",
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
    )

    def on_connect(raw: sqlite3.Connection, _: object) -> None:
        raw.isolation_level = None  # the driver begins nothing by itself
        raw.execute("PRAGMA busy_timeout=5000")
        raw.execute("PRAGMA synchronous=FULL")  # NORMAL loses acknowledged commits in a power cut
        raw.execute("PRAGMA foreign_keys=ON")
        if query_only:
            raw.execute("PRAGMA query_only=ON")
        else:
            raw.execute("PRAGMA secure_delete=ON")  # what is deleted, a wrapped key above all, is overwritten
            # 16 MB each: the pages that are written again and again, the ends of indexes, stay at hand and go into the file once for many commits
            raw.execute("PRAGMA cache_size=-16384")
            raw.execute("PRAGMA wal_autocheckpoint=4000")
            raw.execute("PRAGMA temp_store=MEMORY")  # above all what savepoints and statements keep for going back: a copy of each page they change

    event.listen(engine, "connect", on_connect)
    keep_owners_apart(engine)
    keep_values_out(engine)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine
