"""What the core's own tables hold of one plugin: counted, removed, and looked for again afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Column, ColumnClause, ColumnElement, Connection, String, Table, cast, delete, func, inspect, or_, select, update
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table

from luminai.data.tables import api_keys, core_metadata, idempotency, plugin_changes, repairs_ignored

_PROSE: Final = frozenset(
    ("name", "title", "summary", "reason", "detail", "problem", "payload", "subject", "changed_by", "ignored_by", "error", "event")
)
"""Columns that people and other plugins write: a plugin's name in them is a mention, not something of the plugin's."""
_RECORDS: Final = frozenset(("core__audit_entries", "core__audit_holds"))
"""Tables that keep what was said of a plugin, whatever becomes of it."""
_OWNERS: Final = ("plugin_id", "plugin", "owner")
_TEXT: Final = ("CHAR", "TEXT", "JSON", "CLOB")
_SHOWN: Final = 5


class Trace(Struct, frozen=True):
    """A place that names the plugin: ``table.column``, a path or an object of the catalogue, and what stands there."""

    where: str
    what: str


def core_rows(connection: Connection, plugin_id: str) -> dict[str, int]:
    """Return how many rows of each core table a purge would remove or change; tables with none are left out."""
    counts = {
        table.name: connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()
        for table, where in _rules(connection, plugin_id)
    }
    counts[api_keys.name] = len(_keys(connection, plugin_id))
    counts[plugin_changes.name] = len(_changes(connection, plugin_id))
    return {name: count for name, count in sorted(counts.items()) if count}


def remove_core_rows(connection: Connection, plugin_id: str, now: datetime) -> dict[str, int]:
    """Remove them in the caller's transaction and return how many. A key that is left without any scope is revoked."""
    counts = {table.name: connection.execute(delete(table).where(where)).rowcount for table, where in _rules(connection, plugin_id)}
    keys = _keys(connection, plugin_id)
    for key_id, scopes in keys.items():
        values: dict[str, Any] = {"scopes": scopes}
        if not scopes:
            values["revoked_at"] = func.coalesce(api_keys.c.revoked_at, now)
        connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(**values))
    changes = _changes(connection, plugin_id)
    for revision, wishes in changes.items():
        connection.execute(update(plugin_changes).where(plugin_changes.c.revision == revision).values(wishes=wishes))
    counts |= {api_keys.name: len(keys), plugin_changes.name: len(changes)}
    return {name: count for name, count in sorted(counts.items()) if count}


def traces(connection: Connection, plugin_id: str, prefix: str) -> tuple[list[Trace], list[Trace]]:
    """Return what still names the plugin in any text column of any core table: what is the plugin's, and mere mentions.

    A mention is the plugin's name in words of a person (a key's name, the history of changes) or in another plugin's event.
    """
    mine: list[Trace] = []
    mentions: list[Trace] = []
    for table, name in _text_columns(connection):
        content: ColumnClause[Any] = sql_column(name)
        as_text = cast(content, String)
        wanted = or_(as_text.contains(plugin_id, autoescape=True), as_text.contains(prefix, autoescape=True))
        found = connection.execute(select(as_text).select_from(sql_table(table, content)).where(wanted)).scalars()
        values = (str(value) for value in found)
        if table == repairs_ignored.name and name == "id":  # kind:plugin:what
            values = (value.partition(":")[2] for value in values)
        named = {word for value in values for word in _words(value) if names_plugin(word, plugin_id, prefix)}
        kept = mentions if name in _PROSE or table in _RECORDS else mine
        kept += [Trace(f"{table}.{name}", word[:120]) for word in sorted(named)[:_SHOWN]]
    return mine, mentions


def names_plugin(word: str, plugin_id: str, prefix: str) -> bool:
    """Tell whether ``word`` is the plugin's id, starts with it as a namespace (``id.``, ``id:``), or carries its prefix."""
    return word == plugin_id or word.startswith((f"{plugin_id}.", f"{plugin_id}:", prefix))


def _words(value: str) -> Iterator[str]:
    """Yield the words of a text; of a JSON document its keys and values, as far as they are single words."""
    if value[:1] in ("{", "["):
        try:
            yield from (text for text in _leaves(msgspec.json.decode(value)) if not re.search(r"\s", text))
        except msgspec.DecodeError:
            yield from value.split()
        return
    yield from value.split()


def _leaves(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, inner in document.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(document, list):
        for inner in document:
            yield from _leaves(inner)
    elif isinstance(document, str):
        yield document


def _rules(connection: Connection, plugin_id: str) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """Yield each core table that is there with the condition of the plugin's rows."""
    present = set(inspect(connection).get_table_names())
    for table in core_metadata.sorted_tables:
        if table.name not in present:
            continue
        if table is idempotency:
            yield table, or_(table.c.scope == plugin_id, _starts(table.c.scope, f"{plugin_id}:"), _starts(table.c.scope, f"{plugin_id}."))
        elif table is repairs_ignored:  # kind:plugin:what
            kinds = [row.split(":", 1)[0] for row in connection.execute(select(table.c.id)).scalars()]
            yield table, or_(*(_starts(table.c.id, f"{kind}:{plugin_id}:") for kind in sorted(set(kinds))), table.c.id == plugin_id)
        else:
            owner = next((table.c[name] for name in _OWNERS if name in table.c), None)
            if owner is not None:
                yield table, owner == plugin_id


def _starts(content: Column[Any], start: str) -> ColumnElement[bool]:
    """Compare exactly: LIKE knows wildcards, and on SQLite no case."""
    return func.substr(content, 1, len(start)) == start


def _keys(connection: Connection, plugin_id: str) -> dict[str, str]:
    """Return the scopes that are left to each key which has some of the plugin's."""
    if not inspect(connection).has_table(api_keys.name):
        return {}
    left = {}
    for row in connection.execute(select(api_keys.c.id, api_keys.c.scopes)):
        scopes = row.scopes.split()
        kept = [scope for scope in scopes if not scope.startswith(f"{plugin_id}:")]
        if kept != scopes:
            left[row.id] = " ".join(kept)
    return left


def _changes(connection: Connection, plugin_id: str) -> dict[int, Any]:
    """Return the wishes without the plugin's, of each change that kept one: a rollback must not bring it back."""
    if not inspect(connection).has_table(plugin_changes.name):
        return {}
    rows = connection.execute(select(plugin_changes.c.revision, plugin_changes.c.wishes))
    return {row.revision: {name: wish for name, wish in row.wishes.items() if name != plugin_id} for row in rows if plugin_id in row.wishes}


def _text_columns(connection: Connection) -> Iterator[tuple[str, str]]:
    catalogue = inspect(connection)
    for table in sorted(name for name in catalogue.get_table_names() if name.startswith("core__")):
        for found in catalogue.get_columns(table):
            if any(kind in str(found["type"]).upper() for kind in _TEXT):
                yield table, found["name"]
