"""Everything in a database's catalogue that carries a plugin's prefix: found, counted, dropped."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from luminai.data.drift import shadows

_POSTGRES: Final = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                      WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'c' THEN 'type' ELSE 'table' END AS kind, c.relname AS name
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND starts_with(c.relname, :prefix)
UNION ALL
SELECT 'type', t.typname FROM pg_type t
WHERE t.typnamespace = current_schema()::regnamespace AND t.typtype IN ('e', 'd', 'r') AND starts_with(t.typname, :prefix)
UNION ALL
SELECT 'function', p.oid::regprocedure::text FROM pg_proc p
WHERE p.pronamespace = current_schema()::regnamespace AND starts_with(p.proname, :prefix)
UNION ALL
SELECT 'trigger', t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace AND starts_with(t.tgname, :prefix)
"""
_SQLITE: Final = "SELECT type AS kind, name FROM sqlite_master WHERE substr(name, 1, length(:prefix)) = :prefix ORDER BY rowid DESC"


class Thing(Struct, frozen=True, order=True):
    """An object of the catalogue: ``table``, ``index``, ``view``, ``materialized view``, ``sequence``, ``trigger``, ``type`` or ``function``."""

    kind: str
    name: str


def things(connection: Connection, prefix: str) -> list[Thing]:
    """Return all objects whose name starts with ``prefix``; on SQLite the last made first."""
    query = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRES
    return [Thing(row.kind, row.name) for row in connection.execute(text(query), {"prefix": prefix})]


def row_counts(connection: Connection, prefix: str) -> dict[str, int]:
    """Return the number of rows of every table with the prefix; tables in which a virtual table keeps its content are left out."""
    hidden = shadows(connection)
    names = sorted(one.name for one in things(connection, prefix) if one.kind == "table" and one.name not in hidden)
    return {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names}  # noqa: S608 - names of the catalogue


def referring(connection: Connection, prefix: str) -> list[str]:
    """Return, in words, the foreign keys of tables without the prefix that lead to tables with it."""
    catalogue = inspect(connection)
    others = [name for name in catalogue.get_table_names() if not name.startswith(prefix)]
    found = [(name, key["referred_table"]) for name in others for key in catalogue.get_foreign_keys(name)]
    return [f"{name} refers to {target}" for name, target in found if target.startswith(prefix)]


def drop_all(connection: Connection, prefix: str) -> list[Thing]:
    """Drop all tables, views, sequences, types and functions with the prefix, in the caller's transaction, and return them.

    Indexes and triggers go with their tables. On SQLite the caller has turned foreign keys off.

    Raises:
        DBAPIError: something without the prefix depends on one of them.
    """
    hidden = shadows(connection)
    found = [one for one in things(connection, prefix) if one.kind not in ("index", "trigger") and one.name not in hidden]
    waiting = _statements(connection, found)
    while waiting:  # they may depend on one another in any order: what cannot be dropped yet waits for the next round
        failed: list[tuple[str, DBAPIError]] = []
        for statement in waiting:
            try:
                with connection.begin_nested():
                    connection.exec_driver_sql(statement)
            except DBAPIError as error:
                failed.append((statement, error))
        if len(failed) == len(waiting):
            raise failed[0][1]
        waiting = [statement for statement, _ in failed]
    return found


def _statements(connection: Connection, found: list[Thing]) -> list[str]:
    """Return what drops them; tables in one statement where the database can, for they may refer to one another in a circle."""
    tables = [f'"{one.name}"' for one in found if one.kind == "table"]
    if connection.dialect.name == "postgresql" and tables:
        tables = [", ".join(tables)]
    others = [one for one in found if one.kind != "table"]
    routines = [f"DROP ROUTINE IF EXISTS {one.name}" for one in others if one.kind == "function"]
    return [
        *(f'DROP {one.kind.upper()} IF EXISTS "{one.name}"' for one in others if one.kind != "function"),
        *(f"DROP TABLE IF EXISTS {names}" for names in tables),
        *routines,
    ]
