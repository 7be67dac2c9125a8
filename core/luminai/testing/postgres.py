"""The same tests on PostgreSQL: ``LUMINAI_TEST_POSTGRES`` names a server, and every folder of a test gets a database of its own there."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
from pathlib import Path

from luminai.data.database import open_database
from luminai.data.migrations import core_source, upgrade
from luminai.telemetry.clock import SystemClock

SERVER_VARIABLE = "LUMINAI_TEST_POSTGRES"
_TEMPLATE = f"luminai_template_{os.getpid()}"
_ready: set[str] = set()
_made: set[Path] = set()
"""Folders whose databases are dropped when the tests end."""


def server() -> str:
    """Return the server to test on, "" for SQLite."""
    return os.environ.get(SERVER_VARIABLE, "").rstrip("/")


async def database_for(folder: Path) -> str:
    """Return the URL of the folder's database, made if it is not there yet; a test that starts a hub twice meets its data again."""
    name = _name(folder)
    if not await _ask("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await _ask(f"CREATE DATABASE {name} TEMPLATE {await _template()}")
        _made.add(folder)
    return f"{server()}/{name}"


async def drop_database(folder: Path) -> None:
    """Drop the folder's database."""
    _made.discard(folder)
    await _ask(f"DROP DATABASE IF EXISTS {_name(folder)} WITH (FORCE)")


async def _template() -> str:
    """Return the name of a database with the core's tables, made once a process: its migrations take longer than most tests."""
    if _TEMPLATE not in _ready:
        await _ask(f"DROP DATABASE IF EXISTS {_TEMPLATE} WITH (FORCE)")
        await _ask(f"CREATE DATABASE {_TEMPLATE}")
        database = await open_database(f"{server()}/{_TEMPLATE}", data_dir=Path(), clock=SystemClock())
        try:
            await upgrade(database, core_source())
        finally:
            await database.close()
        _ready.add(_TEMPLATE)
    return _TEMPLATE


def _name(folder: Path) -> str:
    return f"luminai_test_{hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()}"


@atexit.register
def _drop_the_rest() -> None:
    async def drop() -> None:
        for folder in list(_made):
            await drop_database(folder)
        for name in _ready:
            await _ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    if _made or _ready:
        asyncio.run(drop())


async def _ask(statement: str, *values: str) -> object:
    import asyncpg

    connection = await asyncpg.connect(f"{server()}/postgres")
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()
