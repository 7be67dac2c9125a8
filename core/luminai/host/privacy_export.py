"""Everything that the hub holds about a person, as one JSON document that is made while it is sent.

Rows of the core's tables and of plugins without ``export_subject`` are found by the data map, so a new table is in the export by itself. What the
vault sealed for the person is opened; what proves who somebody is (``secret`` in the map) or cannot be opened is named under ``withheld``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Select, Table, literal, select, tuple_
from sqlalchemy.orm import Session

from luminai import __version__
from luminai.contracts.errors import HubError
from luminai.contracts.runtime import ExportItem
from luminai.data.data_map import rows_of
from luminai.data.owners import Acting
from luminai.host.calls import call_within
from luminai.host.privacy_owners import TableOwner, acting_as, count_rows, table_owners

if TYPE_CHECKING:
    from luminai.host.hub import Hub

PAGE: Final = 200
T = TypeVar("T")


class Item(Struct, frozen=True):
    """One line of an export."""

    owner: str
    name: str
    data: dict[str, Any]


class Missing(Struct, frozen=True, kw_only=True):
    """What an export lacks, and why. ``tables`` counts the person's rows, as far as they can be told."""

    owner: str
    why: str
    tables: dict[str, int]


async def export(hub: Hub, subject: str, owners: list[TableOwner] | None = None) -> AsyncIterator[bytes]:
    """Yield the document in pieces: a head, an item a line, and at the end what is missing. Cut off, it is no JSON."""
    head = {"subject": subject, "made_at": hub.clock.now(), "hub": __version__}
    yield msgspec.json.encode(head)[:-1] + b',"items":[\n'
    missing: list[Missing] = []
    before = b""
    for owner in owners if owners is not None else await table_owners(hub):
        try:
            async with aclosing(_items(hub, owner, subject)) as items:
                async for item in items:
                    yield before + msgspec.json.encode(item, enc_hook=str)
                    before = b",\n"
        except _Missing as error:
            missing.append(Missing(owner=owner.id, why=str(error), tables=await _counts(hub, owner, subject)))
    yield b'\n],"missing":' + msgspec.json.encode(missing) + b',"complete":' + (b"false" if missing else b"true") + b"}\n"


class _Missing(Exception):
    """The owner's part cannot be exported."""


async def _items(hub: Hub, owner: TableOwner, subject: str) -> AsyncGenerator[Item, None]:
    if owner.problem:
        raise _Missing(owner.problem)
    if owner.is_off:
        if owner.linked():
            raise _Missing("it is off")
        return
    if owner.loaded is not None and owner.loaded.hooks is not None and "export_subject" in owner.loaded.hooks:
        async with aclosing(_told(owner, subject, hub.settings.hub.plugin_seconds)) as told:
            async for found in told:
                yield Item(owner.id, found.name, found.data)
        return
    for table in owner.linked():
        async for row in _rows(hub, table, subject):
            yield Item(owner.id, str(table.name).partition("__")[2], row)


async def _told(owner: TableOwner, subject: str, seconds: float) -> AsyncGenerator[ExportItem, None]:
    """Yield what a plugin exports; whatever its code does, the rest of the document goes on."""
    items = owner.loaded.hooks.call("export_subject", ctx=owner.loaded.context, subject=subject)
    try:
        while (item := await _as(subject, seconds, _next(items))) is not None:
            msgspec.json.encode(item)
            yield item
    except Exception as error:
        owner.loaded.context.log.exception("privacy.export.failed")
        raise _Missing(f"its export failed: {type(error).__name__}") from error
    finally:
        await _as(subject, seconds, _close(items))


async def _as(subject: str, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    with acting_as(Acting(subject)):  # around each step: the one who reads the document runs between them
        return await call_within(seconds, work)


async def _next(items: AsyncIterator[ExportItem]) -> ExportItem | None:
    item = await anext(items, None)
    if item is not None and not isinstance(item, ExportItem):
        raise TypeError(f"it yielded a {type(item).__name__}, expected ExportItem")
    return item


async def _close(items: Any) -> None:
    await items.aclose()


async def _rows(hub: Hub, table: Table, subject: str) -> AsyncIterator[dict[str, Any]]:
    """Yield a person's rows of a table, read page by page."""
    keys = list(table.primary_key.columns)
    after: tuple[Any, ...] | None = None
    while True:
        query = _page(table, subject, after)

        def unit(session: Session, query: Select[Any] = query) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
            rows = [dict(row._mapping) for row in session.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name
            return [(tuple(row[key.name] for key in keys), _view(hub, session, table, row, subject)) for row in rows]

        found = await hub.database.read(unit)
        for _, row in found:
            yield row
        if len(found) < PAGE or not keys:
            return
        after = found[-1][0]


def _page(table: Table, subject: str, after: tuple[Any, ...] | None) -> Select[Any]:
    keys = list(table.primary_key.columns)
    query = select(table).where(rows_of(table, subject))
    if not keys:
        return query
    if after is not None:
        last = tuple_(*(literal(value, key.type) for key, value in zip(keys, after, strict=True)))
        query = query.where(tuple_(*keys) > last)
    return query.order_by(*keys).limit(PAGE)


def _view(hub: Hub, session: Session, table: Table, row: dict[str, Any], subject: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    withheld = []
    for column in table.columns:
        value = row[column.name]
        if value is not None and column.info.get("secret"):
            withheld.append(str(column.name))
        elif isinstance(value, bytes | memoryview):
            try:
                place = f"{table.name}.{column.name}:{row[next(iter(table.primary_key.columns)).name]}"
                shown[str(column.name)] = _plain(hub.vault.open(session, subject=subject, place=place, sealed=bytes(value)))
            except (HubError, UnicodeDecodeError):
                withheld.append(str(column.name))
        else:
            shown[str(column.name)] = value
    return shown | ({"withheld": withheld} if withheld else {})


def _plain(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return raw.decode()


async def _counts(hub: Hub, owner: TableOwner, subject: str) -> dict[str, int]:
    try:
        return await hub.database.read(lambda session: count_rows(session, owner, subject))
    except Exception:  # noqa: BLE001 - tables of a plugin that is off may be older than its code
        return {}
