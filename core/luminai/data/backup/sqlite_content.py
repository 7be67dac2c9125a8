"""What a SQLite file holds, table by table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from luminai.contracts.errors import Unprocessable
from luminai.data.backup.manifest import Content

_VERSION: Final = "alembic_version"
_ROWS: Final = 2000


class SQLiteContent(Struct, frozen=True):
    """Fields as in ``Manifest``."""

    schema: str
    revisions: dict[str, str]
    tables: dict[str, Content]
    master_key: str


def read_content(path: Path) -> SQLiteContent:
    """Return what is in a file that nobody writes to.

    Raises:
        Unprocessable: SQLite's own check fails (code ``backup-damaged``).
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok":
                raise _damaged(verdict)
            names = sorted(_tables(connection))
            revisions = {name.removesuffix(_VERSION): _revision(connection, name) for name in names if name.endswith(f"__{_VERSION}")}
            master = _master(connection) if "core__master_keys" in names else ""
            definitions = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
            connection.text_factory = _text
            tables = {name: _content(connection, name) for name in names}
    except sqlite3.DatabaseError as error:
        raise _damaged(str(error)) from error
    return SQLiteContent(sha256(msgspec.msgpack.encode(definitions)).hexdigest(), revisions, tables, master)


def _tables(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield tables with rows of their own: also those in which virtual tables keep theirs, not the virtual ones."""
    for _, name, kind, *_ in connection.execute("PRAGMA main.table_list"):
        if kind in ("table", "shadow") and name not in ("sqlite_schema", "sqlite_temp_schema"):
            yield name


def _content(connection: sqlite3.Connection, name: str) -> Content:
    """Return rows and digest; ``NOT INDEXED`` has them come in the order in which they lie, by key."""
    digest, count = sha256(), 0
    rows = connection.execute(f"SELECT * FROM {_quoted(name)} NOT INDEXED")  # noqa: S608 - a name of the catalogue, quoted
    while batch := rows.fetchmany(_ROWS):
        digest.update(b"".join([msgspec.msgpack.encode(row) for row in batch]))
        count += len(batch)
    return Content(count, digest.hexdigest())


def _text(raw: bytes) -> tuple[bytes]:
    """Tell text from bytes, whether or not it is UTF-8."""
    return (raw,)


def _revision(connection: sqlite3.Connection, table: str) -> str:
    row = connection.execute(f"SELECT version_num FROM {_quoted(table)}").fetchone()  # noqa: S608 - as above
    return str(row[0]) if row else ""


def _master(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT id FROM core__master_keys WHERE state = 'active'").fetchone()
    return str(row[0]) if row else ""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _damaged(reason: str) -> Unprocessable:
    return Unprocessable(f"The database in the backup is damaged: {reason}", code="backup-damaged", hint="Use another backup.")
