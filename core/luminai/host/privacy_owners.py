"""Whose tables there are: the core's, those of plugins that run, and those that plugins left which do not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import MetaData, Table, func, inspect, select
from sqlalchemy.orm import Session

from luminai.data.data_map import MappedTable, data_map, linked, rows_of
from luminai.data.migrations import core_source
from luminai.data.owners import Acting, acting
from luminai.host.owners import declared_tables

if TYPE_CHECKING:
    from luminai.host.hub import Hub


class TableOwner(Struct, frozen=True, kw_only=True):
    """An owner of tables.

    Attributes:
        metadata: Its tables; None when it has none or they cannot be told.
        loaded: The plugin as it runs; None for the core and for a plugin that is off.
        problem: Why its tables cannot be told.
    """

    id: str
    metadata: MetaData | None
    loaded: Any = None
    problem: str = ""

    @property
    def is_off(self) -> bool:
        """Whether it is a plugin that does not run."""
        return self.loaded is None and self.id != "core"

    def linked(self) -> list[Table]:
        """Return its tables with rows of persons."""
        return linked(self.metadata) if self.metadata is not None else []


class Untold(Struct, frozen=True, kw_only=True):
    """An owner whose tables cannot be told, and why."""

    owner: str
    why: str


class WholeMap(Struct, frozen=True, kw_only=True):
    """Every table with its columns' classes; ``untold``: plugins that left tables which nobody can explain now."""

    tables: list[MappedTable]
    untold: list[Untold]


async def table_owners(hub: Hub) -> list[TableOwner]:
    """Return every owner of tables in the database, the core first. A plugin that is off is imported to learn its tables, but not in safe mode."""
    running = {loaded.id: loaded for loaded in hub.generation.plugins}
    names = await hub.database.read(lambda session: inspect(session.connection()).get_table_names())
    prefixes = {name.partition("__")[0] for name in names if "__" in name} - {"core"}
    found = [TableOwner(id="core", metadata=core_source().metadata)]
    found += [TableOwner(id=name, metadata=loaded.metadata, loaded=loaded) for name, loaded in running.items()]
    left = sorted(prefixes - {name.replace("-", "_") for name in running})
    return found + [await _off(hub, prefix.replace("_", "-")) for prefix in left]


def whole_map(owners: list[TableOwner]) -> WholeMap:
    """Return the map of all owners."""
    known = sorted(owners, key=lambda owner: (owner.id != "core", owner.id))
    tables = [table for owner in known if owner.metadata is not None for table in data_map(owner.metadata)]
    return WholeMap(tables=tables, untold=[Untold(owner=owner.id, why=owner.problem) for owner in owners if owner.problem])


def count_rows(session: Session, owner: TableOwner, subject: str) -> dict[str, int]:
    """Return how many rows a person has in each table of an owner; tables without any are left out."""
    counts = {
        str(table.name): session.execute(select(func.count()).select_from(table).where(rows_of(table, subject))).scalar_one()
        for table in owner.linked()
    }
    return {name: count for name, count in counts.items() if count}


@contextmanager
def acting_as(whose: Acting) -> Iterator[None]:
    """Have plugin code that is started in the block work on those rows, whoever asked for it."""
    token = acting.set(whose)
    try:
        yield
    finally:
        acting.reset(token)


async def _off(hub: Hub, plugin: str) -> TableOwner:
    installed = next((one for one in hub.installed() if one.id == plugin and one.manifest is not None), None)
    if installed is None:
        return TableOwner(id=plugin, metadata=None, problem="it is not installed")
    if hub.safe_mode:
        return TableOwner(id=plugin, metadata=None, problem="in safe mode no plugin is imported")
    try:
        return TableOwner(id=plugin, metadata=await asyncio.to_thread(declared_tables, installed))
    except Exception as error:  # noqa: BLE001 - importing a plugin may raise anything
        return TableOwner(id=plugin, metadata=None, problem=str(error).splitlines()[0][:300] if str(error) else type(error).__name__)
