"""The hub's database: the same plain functions of a ``Session`` on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Select, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Once
from luminai.contracts.errors import ConfigRejected, InvalidInput, Unprocessable
from luminai.contracts.runtime import Event
from luminai.data.ids import new_id
from luminai.data.tables import idempotency, outbox

T = TypeVar("T")
Unit = Callable[[Session], T]


class Engine(Protocol):
    """What each database must do."""

    dialect: str

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, unit: Unit[T], seconds: float) -> T: ...

    async def write(self, unit: Unit[T], seconds: float) -> T: ...

    async def migrate(self, work: Callable[[Connection], T]) -> T: ...

    async def backup(self, path: Path) -> None: ...

    def stream(self, query: Select[Any], batch: int) -> AsyncIterator[Any]: ...


class HubDatabase:
    """Implements ``Database`` over one engine."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect

    async def read(self, unit: Unit[T], /, *, timeout: float = 10.0) -> T:
        """Run ``unit`` in a read-only transaction."""
        return await self._engine.read(unit, timeout)

    async def write(self, unit: Unit[T], /, *, timeout: float = 10.0, once: Once | None = None) -> T:
        """Run ``unit`` in one serializable transaction; return after the commit is durable."""
        return await self._engine.write(unit if once is None else self._once(unit, once), timeout)

    def stream(self, query: Select[Any], /, *, batch: int = 500) -> AsyncIterator[Any]:
        """Walk a large result row by row from one snapshot."""
        return self._engine.stream(query, batch)

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
        """Write ``event`` to the outbox within the unit's own transaction."""
        event_id = new_id("evt")
        row = {"id": event_id, "type": event.type, "version": event.version, "subject": event.subject, "payload": event.payload}
        session.execute(insert(outbox).values(**row, created_at=self._clock.now()))
        return event_id

    async def close(self) -> None:
        """Finish what is queued and let go of the database."""
        await self._engine.close()

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
