"""Entries of commands that work on the data themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from luminai.audit.log import AuditLog, write_entry
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.data.driver_errors import keep_values_out
from luminai.data.sqlite import FILE_NAME
from luminai.data.sqlite_writer import storage_error
from luminai.data.tables_audit import audit_entries
from luminai.data.tables_vault import subject_keys
from luminai.data.vault.offline import OfflineVault
from luminai.telemetry.clock import SystemClock

if TYPE_CHECKING:
    from luminai.config.layers import Configuration

COMMAND_LINE: Final = "command line"
"""The actor of what somebody does who may read and write the data folder."""
_BUSY_SECONDS: Final = 30.0


def offline_log(config: Configuration, database: Database, clock: Clock) -> AuditLog:
    """Return the log of a command that has the database open."""
    return AuditLog(database, clock, OfflineVault(config, clock))


def note(session: Session, config: Configuration, entry: AuditEntry) -> None:
    """Record what a command does, in the caller's unit; a core from before the audit log has no place for it."""
    tables, clock = inspect(session.connection()), SystemClock()
    if tables.has_table(audit_entries.name):
        vault = OfflineVault(config, clock) if entry.detail and tables.has_table(subject_keys.name) else None
        write_entry(session, clock, vault, COMMAND_LINE, entry)


@contextmanager
def noted(config: Configuration, entry: AuditEntry) -> Iterator[None]:
    """Record what the block does before it does it, and once more if it fails; a hub may run on the data meanwhile.

    Raises:
        HubError: it cannot be recorded; then it does not happen.
    """
    _write(config, lambda session: note(session, config, entry))
    try:
        yield
    except Exception:
        _write(config, lambda session: note(session, config, replace(entry, outcome="failed")))
        raise


def _write(config: Configuration, unit: Callable[[Session], None]) -> None:
    url = config.settings.database.url
    if not url:
        _write_sqlite(config, unit)
        return

    from luminai.data.database import open_database

    async def run() -> None:
        database = await open_database(url, data_dir=config.data_dir, clock=SystemClock())
        try:
            await database.write(unit, timeout=60)
        finally:
            await database.close()

    asyncio.run(run())


def _write_sqlite(config: Configuration, unit: Callable[[Session], None]) -> None:
    """Write through a connection of its own, beside the hub's: SQLite lets one transaction in at a time."""
    path = config.data_dir / FILE_NAME
    if not path.exists():
        return
    url = f"sqlite:///file:{path}?mode=rw&uri=true"
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None})
    keep_values_out(engine)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            with Session(bind=connection, join_transaction_mode="rollback_only") as session:
                unit(session)
                session.flush()
            connection.commit()
    except OperationalError as error:
        raise storage_error(error) from error
    finally:
        engine.dispose()
