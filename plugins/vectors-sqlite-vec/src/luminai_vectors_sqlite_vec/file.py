"""One SQLite file with the extension sqlite-vec. It has its own SQLite, through apsw: that of Python is often built without loading extensions.

A table ``vec0`` for each dimension, parted by place (an owner's collection): a search reads the vectors of its place and no others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS places (place INTEGER PRIMARY KEY, owner TEXT NOT NULL, collection TEXT NOT NULL, dimension INTEGER NOT NULL,
    UNIQUE (owner, collection));
CREATE TABLE IF NOT EXISTS items (number INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL, id TEXT NOT NULL, UNIQUE (place, id));
"""
_CHUNK: Final = 256
"""Vectors for which room is made at once: each place has chunks of its own."""


class NotLoadable(Exception):
    """The file cannot be opened with the extension; the text says why."""


class VectorFile:
    """All calls block, and wait for each other: give them to a thread.

    Raises:
        NotLoadable: a package is missing, or the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        try:
            import apsw
            import sqlite_vec
        except ImportError as error:
            hint = "pip install 'luminai-vectors-sqlite-vec[sqlite-vec]'"
            raise NotLoadable(f"the package {error.name} is not installed: {hint}") from error
        self._lock = threading.Lock()
        try:
            self._connection: Any = apsw.Connection(str(path))
            self._connection.set_busy_timeout(5_000)
            self._connection.enable_load_extension(True)
            self._connection.load_extension(sqlite_vec.loadable_path())
            self._connection.enable_load_extension(False)
            self._connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")
            self._connection.execute(_TABLES)
        except (apsw.Error, OSError, AttributeError) as error:
            raise NotLoadable(f"the extension or the file cannot be opened ({type(error).__name__})") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def place(self, owner: str, collection: str) -> tuple[int, int] | None:
        """Return number and dimension of a place, None when there is none."""
        with self._lock:
            return self._place(owner, collection)

    def put(self, owner: str, collection: str, ids: Sequence[str], vectors: Any) -> int:
        """Keep vectors, all or none; return the dimension of the place, and keep nothing when it is another than theirs."""
        dimension = int(vectors.shape[1])
        with self._transaction() as connection:
            found = self._place(owner, collection)
            if found is None:
                connection.execute("INSERT INTO places (owner, collection, dimension) VALUES (?, ?, ?)", (owner, collection, dimension))
                found = (connection.last_insert_rowid(), dimension)
                connection.execute(_table(dimension))
            place, fixed = found
            if fixed != dimension:
                return fixed
            self._delete(place, fixed, ids)
            for one, vector in zip(ids, vectors, strict=True):
                connection.execute("INSERT INTO items (place, id) VALUES (?, ?)", (place, one))
                row = (connection.last_insert_rowid(), place, vector.astype("<f4").tobytes())
                connection.execute(f"INSERT INTO vectors_{fixed} (rowid, place, vector) VALUES (?, ?, ?)", row)  # noqa: S608 - a number of our own
        return dimension

    def delete(self, owner: str, collection: str, ids: Sequence[str]) -> int:
        """Forget vectors; return how many were there."""
        with self._transaction():
            found = self._place(owner, collection)
            return self._delete(*found, ids) if found is not None else 0

    def nearest(self, place: int, dimension: int, vector: Any, k: int) -> list[tuple[str, float]]:
        """Return ids and cosines, nearest first."""
        query = (
            f"WITH near AS (SELECT rowid AS number, distance FROM vectors_{dimension} WHERE vector MATCH ? AND k = ? AND place = ?)"  # noqa: S608 - same
            " SELECT items.id, 1 - near.distance FROM near JOIN items USING (number) ORDER BY near.distance, items.id"
        )
        with self._lock:
            return list(self._connection.execute(query, (vector.astype("<f4").tobytes(), k, place)))

    def rows(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        """Return the rows of a query over ``places`` and ``items``."""
        with self._lock:
            return list(self._connection.execute(statement, values))

    def vectors(self, place: int, dimension: int, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """Return numbers, ids and vectors of a place, page by page."""
        query = (
            f"SELECT items.number, items.id, found.vector FROM items JOIN vectors_{dimension} AS found ON found.rowid = items.number"  # noqa: S608 - same
            " WHERE items.place = ? AND items.number > ? ORDER BY items.number LIMIT ?"
        )
        return self.rows(query, (place, after, limit))

    def clear(self, where: str, value: str) -> int:
        """Forget the places whose column ``where`` has the value; return how many vectors they had."""
        with self._transaction() as connection:
            places = list(connection.execute(f"SELECT place, dimension FROM places WHERE {where} = ?", (value,)))  # noqa: S608 - a column of our own
            gone = 0
            for place, dimension in places:
                connection.execute(f"DELETE FROM vectors_{dimension} WHERE rowid IN (SELECT number FROM items WHERE place = ?)", (place,))  # noqa: S608 - same
                connection.execute("DELETE FROM items WHERE place = ?", (place,))
                gone += connection.changes()
                connection.execute("DELETE FROM places WHERE place = ?", (place,))
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what was erased is in the log too
        return gone

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._lock, self._connection:
            yield self._connection

    def _place(self, owner: str, collection: str) -> tuple[int, int] | None:
        query = "SELECT place, dimension FROM places WHERE owner = ? AND collection = ?"
        return next(iter(self._connection.execute(query, (owner, collection))), None)

    def _delete(self, place: int, dimension: int, ids: Sequence[str]) -> int:
        gone = 0
        for one in ids:
            for (number,) in list(self._connection.execute("SELECT number FROM items WHERE place = ? AND id = ?", (place, one))):
                self._connection.execute(f"DELETE FROM vectors_{dimension} WHERE rowid = ?", (number,))  # noqa: S608 - same
                self._connection.execute("DELETE FROM items WHERE number = ?", (number,))
                gone += 1
        return gone


def _table(dimension: int) -> str:
    columns = f"place INTEGER PARTITION KEY, vector float[{dimension}] distance_metric=cosine"
    return f"CREATE VIRTUAL TABLE IF NOT EXISTS vectors_{dimension} USING vec0({columns}, chunk_size={_CHUNK})"
