"""Rows by their ids, in texts of SQL and the driver's own parameters: the text is the same every time, so that it stays prepared and nothing of it is
written anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection

from luminai import driver_rows

_CHUNK: Final = 1024


def rows_of(connection: Connection, query: str, ids: Iterable[bytes], more: str = "") -> Iterable[Any]:
    """Return the rows of a query that ends with the name of the column of ids, in no order. SQLite gets lists of a few lengths, filled up.

    Args:
        more: What follows on PostgreSQL.
    """
    every = list(ids)
    if not every:
        return ()
    if connection.dialect.name == "postgresql":
        return driver_rows(connection, _text(query, 0, more), (every,))
    found: list[Any] = []
    for start in range(0, len(every), _CHUNK):
        part = every[start : start + _CHUNK]
        size = 1 << (len(part) - 1).bit_length()
        found += driver_rows(connection, _text(query, size), (*part, *part[-1:] * (size - len(part))))
    return found


@cache
def _text(query: str, size: int, more: str = "") -> str:
    """Return the query of so many ids, 0: of a list of them. Always the same object, so that whoever keeps something by it need not read it."""
    return f"{query} IN ({', '.join('?' * size)})" if size else f"{query} = ANY ($1::bytea[]){more}"
