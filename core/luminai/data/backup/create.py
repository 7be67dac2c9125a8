"""Making a backup while hubs write."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from luminai.contracts.errors import Conflict, NotFound, Unavailable
from luminai.data.backup.archive import ArchiveWriter
from luminai.data.backup.files import PREFIX, find_files, put_file
from luminai.data.backup.manifest import NAME, Content, Manifest, StoredFile
from luminai.data.backup.postgres_content import postgres_tables
from luminai.data.backup.sqlite_content import read_content
from luminai.data.backups import check_room, copy_sqlite, sqlite_bytes
from luminai.data.sqlite import FILE_NAME
from luminai.data.vault.ring import MasterKey

SUFFIX: Final = ".luminai-backup"
DATABASE: Final = "database.sqlite3"
TABLE: Final = "tables/"
OWN_NAME: Final = re.compile(r"^hub-\d{8}T\d{6}Z\.luminai-backup\Z")
"""Files that ``file_name`` named."""
Progress = Callable[[str], None]


class Made(Struct, frozen=True, kw_only=True):
    """A backup that was made: its file, bytes, and what is in it."""

    file: str
    bytes: int
    tables: int
    rows: int
    files: int


class Source(Struct, frozen=True):
    """What is backed up: the URL of PostgreSQL ("" for SQLite), and the data folder."""

    url: str
    data_dir: Path


def file_name(at: datetime) -> str:
    """Return the name of a backup of a moment; names sort as moments do."""
    return at.strftime("hub-%Y%m%dT%H%M%SZ") + SUFFIX


def create(source: Source, target: Path, by: MasterKey | str, *, at: datetime, with_keys: bool, progress: Progress) -> Made:
    """Write a backup to the new file ``target``: there whole or not at all, readable by its owner only.

    Args:
        by: The master key, or a passphrase.
        with_keys: The master key too, so that passphrase and file are enough; with a passphrase only.
        progress: Told in words how far it is.

    Raises:
        Conflict: ``target`` is there (code ``backup-exists``).
        NotFound: there is no database (code ``nothing-to-back-up``).
        Unavailable: no room (code ``no-room``), or the database cannot be read.
    """
    if target.exists():
        raise Conflict(f"There is a file {target.name} already.", code="backup-exists", hint="Name another one with --to.")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = list(find_files(source.data_dir, with_keys=with_keys))
    database = source.data_dir / FILE_NAME
    if not source.url and not database.exists():
        raise NotFound("There is no database in the data folder.", code="nothing-to-back-up", hint="Start the hub once: `luminai serve`.")
    check_room(target.parent, sum(path.stat().st_size for path in files if path.exists()) + (0 if source.url else sqlite_bytes(database)))
    partial = target.with_name(f".{target.name}.part")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            archive = ArchiveWriter(file, by)
            made = _put_postgres(archive, source, at, progress) if source.url else _put_sqlite(archive, source, at, progress)
            stored = _put_files(archive, source.data_dir, files, progress)
            manifest = msgspec.structs.replace(made, files=stored)
            archive.begin(NAME)
            archive.write(msgspec.json.encode(manifest))
            archive.end()
            archive.close()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise Unavailable(
            f"The backup cannot be written: {error.strerror}.", code="backup-failed", hint="Nothing is left of it; look at the disk."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    rows = sum(table.rows for table in manifest.tables.values())
    return Made(file=str(target), bytes=target.stat().st_size, tables=len(manifest.tables), rows=rows, files=len(stored))


def _put_sqlite(archive: ArchiveWriter, source: Source, at: datetime, progress: Progress) -> Manifest:
    """Copy the file from one snapshot, so that hashes and bytes are of the same moment whatever is written meanwhile."""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=source.data_dir) as folder:
        copy = Path(folder) / DATABASE
        progress("copying the database")
        copy_sqlite(source.data_dir / FILE_NAME, copy)
        progress(f"hashing {copy.stat().st_size:,} bytes")
        content = read_content(copy)
        progress("encrypting")
        put_file(archive, copy, DATABASE)
    return _manifest("sqlite", at, content.revisions, content.schema, content.tables, content.master_key)


def _put_postgres(archive: ArchiveWriter, source: Source, at: datetime, progress: Progress) -> Manifest:
    async def run() -> Manifest:
        tables: dict[str, Content] = {}
        async with postgres_tables(source.url, read_only=True) as snapshot:
            for number, name in enumerate(snapshot.found, 1):
                progress(f"[{number}/{len(snapshot.found)}] {name}")
                archive.begin(TABLE + name)
                tables[name] = await snapshot.copy_out(name, archive.write)
                archive.end()
            return _manifest("postgresql", at, await snapshot.revisions(), "", tables, await snapshot.master_key())

    return asyncio.run(run())


def _put_files(archive: ArchiveWriter, data_dir: Path, files: list[Path], progress: Progress) -> dict[str, StoredFile]:
    stored: dict[str, StoredFile] = {}
    if files:
        progress(f"{len(files)} files of the data folder")
    for path in files:
        name = path.relative_to(data_dir).as_posix()
        found = put_file(archive, path, PREFIX + name)
        if found is not None:
            stored[name] = found
    return stored


def _manifest(engine: str, at: datetime, revisions: dict[str, str], schema: str, tables: dict[str, Content], master_key: str) -> Manifest:
    plain = {"made_at": at, "hub": version("luminai"), "engine": engine, "revisions": revisions, "schema": schema, "master_key": master_key}
    return msgspec.convert({**plain, "tables": tables, "files": {}}, Manifest)
