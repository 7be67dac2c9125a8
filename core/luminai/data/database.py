"""The hub's database: the same plain functions of a ``Session`` on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Executable, Select, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Isolation, Once
from luminai.contracts.errors import ConfigRejected, InvalidInput, Unprocessable
from luminai.contracts.runtime import Event
from luminai.data.causes import cause
from luminai.data.event_log import Noted, Origin, Published, publish, still_there
from luminai.data.keyed import current, with_key
from luminai.data.owners import UNSAID, Acting, Unsaid, acting, check, within
from luminai.data.tables import idempotency
from luminai.data.unconfined import whose_of
from luminai.telemetry.figures import Measured
from luminai.telemetry.spans import current as place

_log = logging.getLogger("luminai.data")
T = TypeVar("T")
Unit = Callable[[Session], T]


class Busy(Struct, frozen=True, kw_only=True):
    """How busy an engine is: its connections (on SQLite its reader threads), those in use, and writes that wait for the writer."""

    connections: int
    in_use: int
    writes_waiting: int = 0


class Engine(Protocol):
    """What each database must do."""

    dialect: str

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, unit: Unit[T], seconds: float, whose: Acting | None = None) -> T: ...

    async def write(
        self, unit: Unit[T], seconds: float, whose: Acting | None = None, isolation: Isolation = "serializable", *, durable: bool = True
    ) -> T: ...

    async def migrate(self, work: Callable[[Connection], T]) -> T: ...

    async def backup(self, path: Path) -> None: ...

    async def alone(self, statement: Executable, given: Mapping[str, Any]) -> Any: ...

    def busy(self) -> Busy: ...

    def stream(self, query: Select[Any], batch: int, whose: Acting | None = None) -> AsyncIterator[Any]: ...


class HubDatabase:
    """Implements ``Database`` over one engine.

    Attributes:
        committed: Told the events of each unit, in order, once they are durable; it must not raise.
        times: Takes the seconds of each unit.
        slow: Seconds after which a unit is told in the log.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._looking: set[asyncio.Task[None]] = set()
        self.committed: Callable[[Sequence[Published]], None] | None = None
        self.times = Measured("luminai_database_seconds", "Seconds of a unit of work, its waiting included.", ("kind",))
        self.slow = 0.5

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect

    async def read(self, unit: Unit[T], /, *, timeout: float = 10.0, whose: Acting | Unsaid | None = UNSAID) -> T:
        """Run ``unit`` in a read-only transaction, confined to the rows of ``whose``; None: to nobody's.

        Where nothing is said, ``unconfined.whose_of`` says it.
        """
        whose, began = whose_of(unit) if whose is UNSAID else whose, perf_counter()
        try:
            return await self._engine.read(unit if whose is None else within(whose, unit), timeout, whose)
        finally:
            self._took("read", began, unit)

    async def write(
        self,
        unit: Unit[T],
        /,
        *,
        timeout: float = 10.0,
        once: Once | None = None,
        isolation: Isolation = "serializable",
        whose: Acting | Unsaid | None = UNSAID,
        durable: bool = True,
    ) -> T:
        """Run ``unit`` in one transaction, return after the commit is durable; ``isolation`` as in the contract, ``whose`` as for ``read``.

        Not ``durable``, it need not wait for the disk: what the unit writes is not missed if the database server breaks down and forgets it.
        """
        whose, began, given = whose_of(unit) if whose is UNSAID else whose, perf_counter(), unit
        if whose is not None:
            unit = within(whose, unit)
        keyed = current.get()
        if keyed is not None and not keyed.has_effect:
            unit = with_key(unit, keyed, self._clock)
        noted = Noted(unit if once is None else self._once(unit, once), cause.get(), place.get())
        try:
            result = await self._engine.write(noted, timeout, whose, isolation, durable=durable)
        except BaseException as error:
            if noted.events or noted.words or isinstance(error, asyncio.CancelledError):
                self._look_whether_committed(noted)
            raise
        finally:
            self._took("write", began, given)
        if keyed is not None:
            keyed.has_effect = True
        if noted.events and self.committed is not None:
            self.committed(noted.events)
        for say in noted.words:
            say(True)
        return result

    async def alone(self, statement: Executable, given: Mapping[str, Any], /) -> Any:
        """Run one statement that is committed by itself, and return the first value of its first row. It sees what others committed just before."""
        return await self._engine.alone(statement, given)

    def busy(self) -> Busy:
        """Return how busy the database is."""
        return self._engine.busy()

    def stream(self, query: Select[Any], /, *, batch: int = 500, whose: Acting | Unsaid | None = UNSAID) -> AsyncIterator[Any]:
        """Walk a large result row by row from one snapshot, confined to the rows of ``whose``; where nothing is said, of whoever acts."""
        whose = acting.get() if whose is UNSAID else whose
        if whose is not None:
            check(query, self.dialect, whose)
        return self._engine.stream(query, batch, whose)

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on the writing connection outside of any transaction (for migrations)."""
        return await self._engine.migrate(work)

    async def backup(self, path: Path) -> None:
        """Write a copy of the whole database to the new file ``path`` while work goes on (SQLite).

        Raises:
            Unprocessable: PostgreSQL has tools of its own (code ``not-supported``).
            Unavailable: no room (code ``no-room``).
        """
        await self._engine.backup(path)

    def publish(self, session: Session, event: Event, /) -> str:
        """Write ``event`` to the log within the unit's own transaction and return its id; no durable subscription gets it."""
        return self.log(session, event, Origin(event.type.partition(".")[0])).id

    def log(self, session: Session, event: Event, origin: Origin, /, *, payload: bytes | None = None, number: int | None = None) -> Published:
        """Write ``event`` to the log; ``payload`` and ``number`` as of ``event_log.publish``."""
        return publish(session, event, origin, self._clock.now(), payload=payload, number=number)

    async def close(self) -> None:
        """Finish what is queued and let go of the database."""
        if self._looking:
            await asyncio.wait(self._looking)
        await self._engine.close()

    def _took(self, kind: str, began: float, unit: Unit[Any]) -> None:
        took = perf_counter() - began
        self.times.observe(took, kind)
        if took >= self.slow:
            name = f"{getattr(unit, '__module__', '')}.{getattr(unit, '__qualname__', type(unit).__name__)}"
            _log.warning("database.slow", extra={"kind": kind, "unit": name, "ms": round(took * 1000)})

    def _look_whether_committed(self, noted: Noted[Any]) -> None:
        """The caller went away or lost the answer; where the unit was committed all the same, its rows are there, and its events are told.
        Of what it wanted said there are no rows: that is told as doubtful.
        """

        async def look() -> None:
            try:
                # a write queues up behind the unit in question; a read could be faster than its commit
                found = await self._engine.write(lambda session: still_there(session, noted.events), 10.0)
            except Exception:  # noqa: BLE001 - nobody waits for this task, and the rows are safe in any case
                _log.warning("events.commit-unknown", extra={"events": len(noted.events)})
            else:
                if found and self.committed is not None:
                    self.committed(found)
            for say in noted.words:
                say(False)

        if self.committed is not None:
            task = asyncio.get_running_loop().create_task(look(), name="luminai:look-whether-committed")
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    def _once(self, unit: Unit[T], once: Once) -> Unit[T]:
        if not 1 <= len(once.key) <= 255:
            raise InvalidInput("An Idempotency-Key has 1 to 255 characters.", code="bad-idempotency-key")
        now = self._clock.now()

        def guarded(session: Session) -> T:
            same = (idempotency.c.scope == once.scope) & (idempotency.c.key == once.key)
            known = session.execute(select(idempotency.c.fingerprint, idempotency.c.result).where(same)).first()
            if known is not None:
                if bytes(known.fingerprint) != once.fingerprint:
                    hint = "Use a new key for another request."
                    raise Unprocessable("This Idempotency-Key was used for another request.", code="idempotency-mismatch", hint=hint)
                replayed: T = msgspec.json.decode(known.result, type=once.result)
                return replayed
            result = unit(session)
            row = {"scope": once.scope, "key": once.key, "fingerprint": once.fingerprint, "result": msgspec.json.encode(result)}
            session.execute(insert(idempotency).values(**row, created_at=now))
            return result

        return guarded


async def open_database(url: str, *, data_dir: Path, clock: Clock) -> HubDatabase:
    """Open SQLite in ``data_dir`` (empty ``url``) or the PostgreSQL that ``url`` names.

    Raises:
        ConfigRejected: a URL of another kind.
        Conflict: another process holds this data folder (code ``database-in-use``).
        Unavailable: the database does not answer or is damaged.
    """
    engine: Engine
    if not url:
        from luminai.data.sqlite import SQLiteEngine

        engine = SQLiteEngine(data_dir)
    elif url.partition(":")[0].partition("+")[0] in ("postgresql", "postgres"):
        from luminai.data.postgres import PostgresEngine

        engine = PostgresEngine(url)
    else:
        raise ConfigRejected("database.url must start with postgresql://", hint="Leave it empty for SQLite in the data folder.")
    await engine.open()
    return HubDatabase(engine, clock)
