"""The data map: what every column holds, whose it is and how long it stays, read from the tables' own definitions.

A table says it beside its columns: ``Table(…, info={"data": "internal", "subject": "person_id", "retention": "until …"})``, and a column where it
differs: ``Column(…, info={"data": "personal"})``.

- ``data``: ``public``, ``internal``, ``personal``, ``sensitive`` (what people write in confidence) or ``special`` (health and the like).
- ``subject``: the column, or columns, that hold the person's id. With ``through``, that column holds the id of a row of the table named there.
- ``owner``: that column, where rows are there for nobody else, or ``tenant``: that of the organisation whose rows they are (``data/owners.py``).
  ``ownerless``: why a filter by owner cannot work.
- ``unlinked``: why no column names the person although there is personal data.
- ``retention``: how long a row stays, in words. ``kept``: why rows outlive an erasure.
- ``secret`` (of a column): it proves who somebody is, so it goes into no export.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, MetaData, Table, or_, select

from luminai.data.owned_statements import CLAIMS

DataClass = Literal["public", "internal", "personal", "sensitive", "special"]
CLASSES: Final[tuple[DataClass, ...]] = ("public", "internal", "personal", "sensitive", "special")
"""From what anybody may read to what harms most."""
PERSONAL: Final = frozenset(CLASSES[2:])
_LOOKS_PERSONAL: Final = frozenset(
    {
        *("account", "actor", "address", "age", "author", "avatar", "biography", "birth", "birthday", "body", "born", "by", "city", "content"),
        *("country", "customer", "device", "diagnosis", "display", "email", "family", "gender", "iban", "ip", "latitude", "location", "login"),
        *("longitude", "mail", "message", "mobile", "name", "nickname", "note", "notes", "owner", "passport", "payload", "person", "phone"),
        *("postcode", "profile", "recipient", "sender", "sex", "ssn", "street", "subject", "surname", "tax", "tel", "text", "title", "user"),
        *("username", "zip"),
    }
)
"""Words in a column's name. A column whose name has one of them needs a class of its own: a table's default was not meant for it."""
_PEOPLE: Final = frozenset({"account", "author", "customer", "owner", "passport", "person", "sender", "subject", "tax", "user"})
"""Those of them that name somebody even where the column holds only an id or a moment, such as ``person_id``."""
_WORD: Final = re.compile(r"[a-z0-9]+")
"""Underscores part words, so ``changed_by`` has ``by``."""


class MappedColumn(Struct, frozen=True, kw_only=True):
    """A column with its class."""

    name: str
    data: DataClass
    secret: bool = False


class MappedTable(Struct, frozen=True, kw_only=True):
    """A table of the map.

    Attributes:
        owner: ``core``, or the plugin's id.
        subject: Columns that hold the person's id, or the id of a row of ``through``; empty where nobody is named.
        unlinked: Why nobody is named.
        kept: Why rows outlive an erasure; empty: they are deleted.
    """

    owner: str
    name: str
    columns: tuple[MappedColumn, ...]
    subject: tuple[str, ...]
    through: str
    unlinked: str
    retention: str
    kept: str


def data_map(metadata: MetaData) -> list[MappedTable]:
    """Return the map of an owner's tables, in the order of their names. What ``problems`` names counts as ``special`` here."""
    return [_mapped(metadata.tables[name]) for name in sorted(metadata.tables)]


def problems(metadata: MetaData) -> list[str]:
    """Return what keeps the map from being whole, one sentence each."""
    return [f"{table.name}{problem}" for name in sorted(metadata.tables) for table in (metadata.tables[name],) for problem in _problems(table)]


def linked(metadata: MetaData) -> list[Table]:
    """Return the tables with rows of persons, those that lead to others' rows behind those others."""
    return sorted((table for table in metadata.tables.values() if "subject" in table.info), key=lambda table: (-_depth(table), table.name))


def rows_of(table: Table, subject: str) -> ColumnElement[bool]:
    """Return the condition that rows of ``table`` belong to a person."""
    through = table.info.get("through")
    if not through:
        return or_(*(table.c[name] == subject for name in _subject(table)))
    parent = table.metadata.tables[through]
    key = next(iter(parent.primary_key.columns))
    return table.c[_subject(table)[0]].in_(select(key).where(rows_of(parent, subject)))


def class_of(column: Column[Any]) -> DataClass | None:
    """Return a column's own class or its table's, None when neither says."""
    found: DataClass | None = column.info.get("data", column.table.info.get("data"))
    return found if found in CLASSES else None


def _mapped(table: Table) -> MappedTable:
    columns = tuple(
        MappedColumn(name=str(column.name), data=class_of(column) or "special", secret=bool(column.info.get("secret"))) for column in table.columns
    )
    words = {name: str(table.info.get(name, "")) for name in ("through", "unlinked", "retention", "kept")}
    owner = str(table.metadata.info.get("owner", ""))
    return MappedTable(owner=owner, name=str(table.name), columns=columns, subject=_subject(table), **words)


def _problems(table: Table) -> Iterator[str]:
    for column in table.columns:
        found = class_of(column)
        if found is None:
            yield f'.{column.name} has no class: info={{"data": …}}, one of {", ".join(CLASSES)}'
        elif "data" not in column.info and found not in PERSONAL and _looks_personal(column.name):
            yield f".{column.name} looks personal: give the column a class of its own"
    is_personal = any(class_of(column) in PERSONAL for column in table.columns)
    if is_personal and not table.info.get("retention"):
        yield " holds personal data: say in `retention` how long a row stays"
    if is_personal and not _subject(table) and not table.info.get("unlinked"):
        yield " holds personal data: name the person's column in `subject`, or say in `unlinked` why there is none"
    claims = [str(table.info[claim]) for claim in CLAIMS if claim in table.info]
    yield from (f" has no column {name}, which names whose its rows are" for name in claims if name not in table.columns)
    if _subject(table) and not claims and not table.info.get("ownerless"):
        yield " holds rows of persons: name their column in `owner`, or say in `ownerless` why a filter by it cannot work"
    yield from _wrong_links(table)


def _looks_personal(name: str) -> bool:
    words = _WORD.findall(name.lower())
    return bool((_PEOPLE if words[-1:] in (["id"], ["at"]) else _LOOKS_PERSONAL).intersection(words))


def _wrong_links(table: Table) -> Iterator[str]:
    for name in _subject(table):
        if name not in table.columns:
            yield f" has no column {name}, which `subject` names"
    if (through := table.info.get("through")) is None:
        return
    parent = table.metadata.tables.get(through)
    if parent is None or not _subject(parent):
        yield f" leads to {through}, which is no table with a `subject` of this owner"
    elif len(parent.primary_key.columns) != 1 or len(_subject(table)) != 1:
        yield f" leads to {through} by more than one column"
    elif _depth(table) > len(table.metadata.tables):
        yield f" leads through {through} back to itself"


def _subject(table: Table) -> tuple[str, ...]:
    named = table.info.get("subject", ())
    return (named,) if isinstance(named, str) else tuple(named)


def _depth(table: Table) -> int:
    """Return over how many tables the way to the person leads; a circle ends at more than there are."""
    count, here = 0, table
    while (parent := here.metadata.tables.get(here.info.get("through", ""))) is not None and count <= len(here.metadata.tables):
        count, here = count + 1, parent
    return count
