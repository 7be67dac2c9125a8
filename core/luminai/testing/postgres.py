"""The same tests on PostgreSQL: ``LUMINAI_TEST_POSTGRES`` names a server, and every folder of a test gets a database of its own there.

Dropping a database waits for a checkpoint of the whole server, one to three seconds where others work on it too. Drops of one moment share it, so
databases are dropped by the dozen, and the last ones when the process ends.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
from pathlib import Path
from typing import Final

from luminai.data.database import open_database
from luminai.data.migrations import core_source, upgrade
from luminai.telemetry.clock import SystemClock

SERVER_VARIABLE = "LUMINAI_TEST_POSTGRES"
_AT_ONCE: Final = 12
"""Drops at a time; each has a connection of its own."""
_TEMPLATE = f"luminai_template_{os.getpid()}"
_ready: set[str] = set()
_made: set[Path] = set()
"""Folders whose databases are dropped when the tests end."""
_left: list[tuple[str, str]] = []
"""Servers and names of databases that nobody uses any more."""


def server() -> str:
    """Return the server to test on, "" for SQLite."""
    return os.environ.get(SERVER_VARIABLE, "").rstrip("/")


async def database_for(folder: Path) -> str:
    """Return the URL of the folder's database, made if it is not there yet; a test that starts a hub twice meets its data again."""
    name = _name(folder)
    if not await _ask(server(), "SELECT 1 FROM pg_database WHERE datname = $1", name):
        await make(server(), name, template=await _template())
        _made.add(folder)
    return f"{server()}/{name}"


async def drop_database(folder: Path) -> None:
    """Let the folder's database be dropped; nothing may ask for it again."""
    _made.discard(folder)
    await drop_soon(server(), _name(folder))


async def make(on: str, name: str, *, template: str = "template1") -> None:
    """Make a database on the server ``on``. Its commits do not wait for the disk: only a crash of the server could lose one, and none is made."""
    await _ask(on, f"CREATE DATABASE {name} TEMPLATE {template}")
    await _ask(on, f"ALTER DATABASE {name} SET synchronous_commit TO off")


async def drop_soon(on: str, name: str) -> None:
    """Drop a database that is used no more, together with those of the tests to come; who is still connected then is put out."""
    _left.append((on, name))
    if len(_left) >= _AT_ONCE:
        await _drop_left()


async def _drop_left() -> None:
    while _left:
        some = [_left.pop() for _ in range(min(_AT_ONCE, len(_left)))]
        await asyncio.gather(*(_ask(on, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)") for on, name in some))


async def _template() -> str:
    """Return the name of a database with the core's tables, made once a process: its migrations take longer than most tests."""
    if _TEMPLATE not in _ready:
        await _ask(server(), f"DROP DATABASE IF EXISTS {_TEMPLATE} WITH (FORCE)")
        await make(server(), _TEMPLATE)
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
    _left.extend((server(), name) for name in [*map(_name, _made), *_ready])
    _made.clear()
    _ready.clear()
    if _left:
        asyncio.run(_drop_left())


async def _ask(on: str, statement: str, *values: str) -> object:
    import asyncpg

    connection = await asyncpg.connect(f"{on}/postgres", timeout=60)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()
