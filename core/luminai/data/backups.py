"""Backups of the SQLite file: whole, taken while the hub works, the newest few kept."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect

from luminai.contracts.errors import Unavailable, Unprocessable

if TYPE_CHECKING:
    from luminai.contracts.context import Clock
    from luminai.data.database import HubDatabase

FOLDER: Final = "backups"
KEEP: Final = 5
MARGIN_BYTES: Final = 256 * 1024
_NAME: Final = re.compile(r"^hub-\d{8}T\d{6}\.\d{6}Z\.sqlite3\Z")
_STAMP: Final = "hub-%Y%m%dT%H%M%S.%fZ.sqlite3"


async def backup_before(database: HubDatabase, data_dir: Path, clock: Clock) -> Path | None:
    """Back the database up before something changes its tables; return the file, None when there is nothing to lose or it is PostgreSQL.

    Raises:
        Unavailable: there is no room (code ``no-room``), or the file cannot be read.
    """
    if database.dialect != "sqlite" or not await database.read(lambda session: inspect(session.connection()).get_table_names()):
        return None
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    moment = clock.now()
    while (path := folder / moment.strftime(_STAMP)).exists():
        moment += timedelta(microseconds=1)
    await database.backup(path)
    for old in sorted(found for found in folder.iterdir() if _NAME.match(found.name))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def copy_sqlite(source: Path, target: Path, *, spare: float = 1.0) -> None:
    """Copy a SQLite file through its backup API, also while another connection or process writes to it.

    ``target`` is there whole or not at all, is a single file and can be read by its owner only.
    ``spare`` is the room to have, in sizes of ``source``.

    Raises:
        Unavailable: no room (code ``no-room``), or the source cannot be read (code ``database-damaged``).
    """
    check_room(target.parent, int(sqlite_bytes(source) * spare))
    partial = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as here, closing(sqlite3.connect(partial)) as there:
            here.execute("PRAGMA busy_timeout=5000")
            here.backup(there)
            there.execute("PRAGMA journal_mode=DELETE")  # no second file beside the copy
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except sqlite3.Error as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise _no_room(target.parent, 0, 0) from error
        hint = "Restore an older backup of the data folder."
        raise Unavailable(f"The database cannot be copied: {error}", code="database-damaged", hint=hint) from error
    finally:
        for left in (partial, Path(f"{partial}-journal"), Path(f"{partial}-wal"), Path(f"{partial}-shm")):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def sqlite_bytes(path: Path) -> int:
    """Return the bytes of a SQLite file with its write-ahead log."""
    return sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())


def check_room(folder: Path, needed: int) -> None:
    """Refuse when ``folder`` has not ``needed`` bytes and a margin free.

    Raises:
        Unavailable: code ``no-room``.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN_BYTES:
        raise _no_room(folder, needed + MARGIN_BYTES, free)


def no_backup() -> Unprocessable:
    """Return the refusal of a database that is backed up by tools of its own."""
    return Unprocessable("The hub does not back up PostgreSQL.", code="not-supported", hint="Use pg_dump, or your server's own backups.")


def _no_room(folder: Path, needed: int, free: int) -> Unavailable:
    detail = f"The disk of {folder.name} has no room for a copy of the database"
    detail += f": {needed:,} bytes are needed, {free:,} are free." if needed else "."
    return Unavailable(detail, code="no-room", hint="Free some space; nothing was changed.")
