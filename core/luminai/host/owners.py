"""Who owns tables: the core and the plugins, in the order in which they migrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from luminai.config.settings import PluginSettings
from luminai.contracts.context import Database
from luminai.data.migrations import MigrationSource, core_source
from luminai.data.tables import plugin_desired
from luminai.host.discovery import InstalledPlugin
from luminai.host.hooks import bind_hooks
from luminai.host.order import start_order
from luminai.host.sources import BadTables, source_of

if TYPE_CHECKING:
    from sqlalchemy import MetaData


class Owners(Struct, frozen=True, kw_only=True):
    """Owners of tables.

    Attributes:
        on: The core, then plugins that are on, each behind those that it requires.
        idle: Plugins that are installed and off.
        problems: Why a plugin's declared tables cannot be told, by id.
    """

    on: tuple[MigrationSource, ...]
    idle: tuple[MigrationSource, ...] = ()
    problems: dict[str, str] = {}


async def wishes_of(database: Database) -> dict[str, bool]:
    """Return which plugins an operator turned on or off at run time; also from a database whose core has not been migrated."""

    def unit(session: Session) -> dict[str, bool]:
        if not inspect(session.connection()).has_table(plugin_desired.name):
            return {}
        return {row.plugin_id: row.enabled for row in session.execute(select(plugin_desired.c.plugin_id, plugin_desired.c.enabled))}

    return await database.read(unit)


async def owners_of(
    database: Database, installed: Sequence[InstalledPlugin], settings: Mapping[str, PluginSettings], *, declared: bool = False
) -> Owners:
    """Return every owner of tables.

    Args:
        declared: Import the plugins to learn which tables they declare; what fails there goes into ``problems``.

    Raises:
        BadTables: a plugin that is on has tables and no migrations.
    """
    wishes = await wishes_of(database)
    by_id = {one.id: one for one in reversed(installed) if one.manifest is not None}
    on = {name for name in by_id if wishes.get(name, name in settings and settings[name].enabled)}
    edges = {name: (*found.requires, *found.after) for name in on if (found := by_id[name].manifest)}
    order, _ = start_order(edges)
    problems: dict[str, str] = {}

    def source(name: str) -> MigrationSource:
        found = source_of(by_id[name])
        if not declared:
            return found
        try:
            return replace(found, metadata=declared_tables(by_id[name]))
        except Exception as error:  # noqa: BLE001 - importing a plugin may raise anything
            problems[name] = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            return found

    running = [source(name) for name in [*order, *sorted(on - set(order))] if _has_tables(by_id[name])]
    idle = [source(name) for name in sorted(by_id.keys() - on) if _has_tables(by_id[name]) and by_id[name].versions_dir.is_dir()]
    return Owners(on=(core_source(), *running), idle=tuple(idle), problems=problems)


def declared_tables(installed: InstalledPlugin) -> MetaData:
    """Import a plugin and return the tables that its hook ``models`` names.

    Raises:
        HubError: its hooks do not fit, or a table lies outside its prefix; whatever else its import raises.
    """
    module, _, attribute = installed.entry_point.partition(":")
    hooks = bind_hooks(getattr(import_module(module), attribute or "Plugin")())
    if "models" not in hooks:
        raise BadTables(f"{installed.id} has tables and no hook models")
    found: MetaData = hooks.call("models")
    source_of(installed, found)
    return found


def _has_tables(installed: InstalledPlugin) -> bool:
    return installed.manifest is not None and installed.manifest.tables
