"""The thread that writes to SQLite."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from luminai.contracts.errors import DeadlineExceeded, HubError, Unavailable
from luminai.data.sqlite_session import UnitSession

BATCH: Final = 256
QUEUE: Final = 5000
_AGAIN: Final = 0.05


class Running:
    """A unit with its deadline, which may be queued, running or done."""

    __slots__ = ("_lock", "_raw", "_timer", "abandoned", "seconds", "unit")

    def __init__(self, unit: Callable[[Session], Any], seconds: float) -> None:
        self.unit = unit
        self.seconds = seconds
        self.abandoned = False
        self._raw: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def begin(self, raw: Any) -> None:
        """Note the connection that the unit runs on, so that it can be interrupted."""
        with self._lock:
            self._raw = raw

    def end(self) -> None:
        """Forget the connection: from now on it serves another unit."""
        with self._lock:
            self._raw = None

    async def within_deadline(self, future: asyncio.Future[Any]) -> Any:
        """Return the future's result; past the deadline interrupt the running query again and again until it has ended.

        Raises:
            DeadlineExceeded: it did not end in time.
        """
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self._late)
        try:
            return await future  # it may also have been faster than the interrupt
        except asyncio.CancelledError:
            self.abandoned = True  # still queued: dropped; already running: it completes, nobody hears of it
            raise
        except Exception as error:
            if not self.abandoned:
                raise
            raise DeadlineExceeded(f"The database did not answer within {self.seconds:g} s.", code="database-deadline") from error
        finally:
            self._timer.cancel()

    def _late(self) -> None:
        self.abandoned = True
        with self._lock:
            if self._raw is not None:
                self._raw.interrupt()
        self._timer = asyncio.get_running_loop().call_later(_AGAIN, self._late)


class _Job:
    __slots__ = ("future", "loop", "running", "work")

    def __init__(self, running: Running, work: Callable[[Connection], Any] | None) -> None:
        self.running = running
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


Answer = tuple[_Job, Any, Exception | None]


class _TransactionLostError(Exception):
    """SQLite rolled the whole transaction back under a failing unit (an interrupt or a full disk does that)."""

    def __init__(self, job: _Job, failure: Exception) -> None:
        super().__init__()
        self.job = job
        self.failure = failure


class Writer:
    """Takes what waits, runs it in one transaction, commits once, answers all."""

    def __init__(self, engine: SyncEngine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()  # None ends the thread
        self._thread: threading.Thread | None = None
        self._inode = 0

    def start(self) -> None:
        """Start the thread."""
        self._inode = self._path.stat().st_ino
        self._thread = threading.Thread(target=self._serve, name="luminai-sqlite-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    @property
    def waiting(self) -> int:
        """How many wait to be taken."""
        return self._jobs.qsize()

    async def submit(self, unit: Callable[[Session], Any], seconds: float) -> Any:
        """Queue a unit and return its result once it is durable."""
        job = _Job(Running(unit, seconds), None)
        self._put(job)
        return await job.running.within_deadline(job.future)

    async def submit_raw(self, work: Callable[[Connection], Any]) -> Any:
        """Queue work that begins and commits by itself."""
        job = _Job(Running(lambda _: None, 0), work)
        self._put(job)
        return await job.future

    def _put(self, job: _Job) -> None:
        if self._thread is None:
            raise Unavailable("The database is closed.", code="database-closed")
        if self._jobs.qsize() >= QUEUE:
            raise Unavailable("Too many writes are waiting.", code="write-queue-full", hint="Try again in a moment.", retry_after=1)
        self._jobs.put(job)

    def _serve(self) -> None:
        with self._engine.connect() as connection:
            while True:
                batch, after = self._take()
                self._run(batch, connection)
                if after is None:
                    return
                if after.work is not None:
                    self._alone(connection, after)

    def _take(self) -> tuple[list[_Job], _Job | None]:
        """Wait for a job, then take what else waits: a batch of units, and what ended it (None for the end of the thread)."""
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None and job.work is None:
            if job.running.abandoned:
                _answer([(job, None, TimeoutError("it was still waiting when its deadline passed"))])
            else:
                batch.append(job)
            try:
                following = self._jobs.get_nowait() if len(batch) < BATCH else job
            except queue.Empty:
                following = job
            if following is job:
                break
            job = following
        return batch, job

    def _alone(self, connection: Connection, job: _Job) -> None:
        raw: Any = connection.connection.driver_connection
        raw.execute("PRAGMA temp_store=FILE")  # a migration may sort millions
        try:
            result = job.work(connection) if job.work else None
        except Exception as error:  # noqa: BLE001 - handed to the caller
            _answer([(job, None, error)])
        else:
            _answer([(job, result, None)])
        finally:
            if connection.in_transaction():
                connection.rollback()
            raw.execute("PRAGMA temp_store=MEMORY")

    def _run(self, batch: Sequence[_Job], connection: Connection) -> None:
        if not batch:
            return
        answers: list[Answer] = []
        try:
            if not self._in_place():
                hint = "Stop the hub and restore the data folder."
                raise Unavailable("The database file was moved or deleted while the hub runs.", code="database-gone", hint=hint)
            with connection.begin():
                for job in batch:
                    answers.append(self._one(connection, job))  # noqa: PERF401 - what was answered before a lost transaction is needed
        except _TransactionLostError as lost:
            failed = [answer for answer in answers if answer[2] is not None] + [(lost.job, None, lost.failure)]
            _answer(failed)
            for job in batch:  # the others lost their work through no fault of their own: again, each alone
                if all(job is not other for other, _, _ in failed):
                    self._run([job], connection)
            return
        except DatabaseError as error:
            failure: Exception = storage_error(error)
            answers = [(job, None, failure) for job in batch]
        except HubError as error:
            answers = [(job, None, error) for job in batch]
        _answer(answers)

    def _one(self, connection: Connection, job: _Job) -> Answer:
        job.running.begin(connection.connection.driver_connection)
        try:
            session = UnitSession(connection)
            try:
                result = job.running.unit(session)
                session.keep()
            except Exception as error:
                failure = storage_error(error) if isinstance(error, DatabaseError) else error
                if not session.undo():
                    raise _TransactionLostError(job, failure) from error
                return (job, None, failure)
        finally:
            job.running.end()
        return (job, result, None)

    def _in_place(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False


def _answer(answers: Sequence[Answer]) -> None:
    """Hand the results to the callers' event loops, one wake-up a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].loop, []).append(answer)
    for loop, theirs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, theirs)


def _settle(answers: Sequence[Answer]) -> None:
    for job, result, error in answers:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


def storage_error(error: DatabaseError) -> Exception:
    """Return what a driver's error means to a caller; an error that is the unit's own fault stays as it is."""
    text = str(error.orig)
    if "disk is full" in text or "disk I/O" in text:
        return Unavailable("The disk is full or failing; nothing was saved.", code="storage-full", hint="Free some space.", retry_after=30)
    if "malformed" in text or "not a database" in text:
        return Unavailable("The database is damaged.", code="database-damaged", hint="Restore a backup of the data folder.")
    if "locked" in text or "busy" in text:
        return Unavailable("The database is held by another program.", code="database-locked", retry_after=5)
    if "unable to open" in text:
        return Unavailable("The database cannot be opened.", code="database-unreachable", hint="Check the data folder and its mode.")
    return error
