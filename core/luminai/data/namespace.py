"""Everything in a database's catalogue that carries a plugin's prefix: found, counted, dropped."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, inspect, text

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
    found = things(connection, prefix)
    by_kind = {kind: [one.name for one in found if one.kind == kind] for kind in {one.kind for one in found}}
    for kind in ("view", "materialized view"):
        if names := by_kind.get(kind):
            _drop(connection, kind, names)
    hidden = shadows(connection)
    tables = [name for name in by_kind.get("table", []) if name not in hidden]
    if tables:
        _drop(connection, "table", tables)
    left = things(connection, prefix)  # what belonged to a table went with it
    for kind in ("sequence", "type", "function"):
        names = [one.name for one in left if one.kind == kind]
        if names:
            _drop(connection, kind, names)
    return [one for one in found if one.kind != "index" and one.name not in hidden]


def _drop(connection: Connection, kind: str, names: list[str]) -> None:
    """Drop in one statement where the database can: then the order among them does not matter."""
    quoted = names if kind == "function" else [f'"{name}"' for name in names]
    for some in [quoted] if connection.dialect.name == "postgresql" else [[name] for name in quoted]:
        connection.exec_driver_sql(f"DROP {kind.upper()} {', '.join(some)}")
