"""Rows by their ids, in texts of SQL and the driver's own parameters: the text is the same every time, so that it stays prepared and nothing of it is
written anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection

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
        return connection.exec_driver_sql(f"{query} = ANY ($1::bytea[]){more}", (every,)).all()
    found: list[Any] = []
    for start in range(0, len(every), _CHUNK):
        part = every[start : start + _CHUNK]
        size = 1 << (len(part) - 1).bit_length()
        marks = ", ".join("?" * size)
        found += connection.exec_driver_sql(f"{query} IN ({marks})", (*part, *part[-1:] * (size - len(part)))).all()
    return found
