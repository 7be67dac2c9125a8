"""How the tables of an owner differ from what its code declares."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from luminai.data.migrations import MigrationSource
from luminai.data.row_security import open_tables

_MISSING: Final = {"add_table": "table", "add_index": "index", "add_constraint": "constraint", "add_fk": "foreign key"}
_TOO_MUCH: Final = {"remove_table": "table", "remove_index": "index", "remove_constraint": "constraint", "remove_fk": "foreign key"}


def differences(connection: Connection, source: MigrationSource) -> list[str]:
    """Return each difference between the tables with the owner's prefix and its declared metadata, in words; [] when it declares none.

    A table that is not declared, but is named by a step of its owner (a search index made by SQL), is none. An index with ``info={"engine": …}`` is
    wanted on that engine only, ``sqlite`` or ``postgresql``.
    """
    if source.metadata is None:
        return []
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    beside = undeclared(connection, source)
    skipped = shadows(connection) | set(beside)

    def included(name: str | None, kind: str, _: Any) -> bool:
        return kind != "table" or (str(name).startswith(source.table_prefix) and name not in skipped)

    def concerned(thing: Any, *_: Any) -> bool:
        return bool(getattr(thing, "info", {}).get("engine", connection.dialect.name) == connection.dialect.name)

    options = {"include_name": included, "include_object": concerned, "version_table": source.version_table}
    options["render_as_batch"] = connection.dialect.name == "sqlite"
    context = MigrationContext.configure(connection, opts=options)
    found = [line for change in compare_metadata(context, source.metadata) for line in _lines(change)]
    steps = "\n".join(path.read_text(errors="replace") for path in source.files().values())
    found += [f"table {name} is not declared, and no step names it" for name in beside if name not in steps]
    open_to_all = open_tables(connection, source.metadata) if connection.dialect.name == "postgresql" else []
    return found + [f"table {name} has owners, and no policy keeps them apart: a step must call enable_owner_policy" for name in open_to_all]


def undeclared(connection: Connection, source: MigrationSource) -> list[str]:
    """Return the tables with the owner's prefix that its metadata does not name; its version table is not among them."""
    declared = set(source.metadata.tables) if source.metadata is not None else set()
    known = declared | shadows(connection) | {source.version_table}
    return sorted(name for name in inspect(connection).get_table_names() if name.startswith(source.table_prefix) and name not in known)


def shadows(connection: Connection) -> set[str]:
    """Return the tables in which SQLite's virtual tables keep their content."""
    if connection.dialect.name != "sqlite":
        return set()
    return {row.name for row in connection.execute(text("PRAGMA table_list")) if row.type == "shadow"}


def _lines(change: Any) -> list[str]:
    if isinstance(change, list):
        return [line for one in change for line in _lines(one)]
    kind = change[0]
    if kind in _MISSING:
        return [f"{_MISSING[kind]} {_name(change[1])} is missing"]
    if kind in _TOO_MUCH:
        return [f"{_TOO_MUCH[kind]} {_name(change[1])} is not declared"]
    if kind in ("add_column", "remove_column"):
        return [f"column {change[2]}.{change[3].name} is {'missing' if kind == 'add_column' else 'not declared'}"]
    if kind.startswith("modify_"):
        what = kind.removeprefix("modify_").replace("_", " ")
        return [f"column {change[2]}.{change[3]}: {what} is {change[5]!r}, declared is {change[6]!r}"]
    return [f"{kind}: {', '.join(map(str, change[1:]))}"]


def _name(thing: Any) -> str:
    table = getattr(thing, "table", None)
    name = thing.name or f"of {', '.join(getattr(thing, 'columns', ())) or 'no name'}"
    return f"{name} of {table.name}" if table is not None and table.name != name else str(name)
