"""``luminai config diff`` and ``adopt``: the files against the defaults, and what was wished at run time against the files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
import msgspec

from luminai.cli.config import refuse_wrong_core
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import Conflict

if TYPE_CHECKING:
    from luminai.config.layers import Configuration
    from luminai.contracts.context import Clock
    from luminai.data.database import HubDatabase
    from luminai.host.desired import Desired


@click.command()
@click.pass_obj
def diff(terminal: HubTerminal) -> None:
    """Show what differs from the defaults, where each value was set, and what was changed at run time, by whom and when.

    Defaults are those of the core and of each plugin's schema. A secret is shown as its reference; what no schema describes is not shown.

    \b
    Examples:
      luminai config diff
      luminai --output json --pretty config diff
    """
    from luminai.config.changes import changes
    from luminai.host.discovery import installed_plugins
    from luminai.host.overlay import overlay
    from luminai.host.schemas import configuration_schema

    config = terminal.configuration()
    refuse_wrong_core(config)
    schema = configuration_schema(installed_plugins())
    settings: Any = msgspec.to_builtins(changes(config, schema))
    at_run_time: Any = msgspec.to_builtins(overlay(config, wishes_of(terminal, config), schema))
    if not terminal.is_tty:
        terminal.emit({"settings": settings, "run_time": at_run_time})
        return
    terminal.write("Set otherwise than the defaults\n")
    terminal.emit(settings, columns=("key", "default", "value", "origin"))
    terminal.write("\nChanged at run time\n")
    terminal.emit(at_run_time, columns=("key", "files", "wished", "changed_by", "changed_at"))


@click.command()
@click.pass_obj
def adopt(terminal: HubTerminal) -> None:
    """Print the TOML that makes what was changed at run time permanent, with author and time. The hub itself never writes configuration files.
    That it was asked for is recorded in the audit log.

    \b
    Examples:
      luminai config adopt
      luminai config adopt > config.d/90-adopted.toml
    """
    from luminai.host.discovery import installed_plugins
    from luminai.host.overlay import adoption
    from luminai.host.schemas import configuration_schema

    config = terminal.configuration()
    refuse_wrong_core(config)
    terminal.write(adoption(config, wishes_of(terminal, config, adopting=True), configuration_schema(installed_plugins())))


def wishes_of(terminal: HubTerminal, config: Configuration, *, adopting: bool = False) -> dict[str, Desired]:
    """Return what was wished at run time: from the hub that was named, else from this configuration's database, else from the hub that holds it.

    With ``adopting`` the place that is asked records it.

    Raises:
        HubError: neither can be asked.
    """
    if terminal.options.url or os.environ.get("LUMINAI_URL"):
        return _from_hub(terminal, adopting=adopting)
    try:
        return _from_database(config, adopting=adopting)
    except Conflict as error:
        if error.code != "database-in-use":
            raise
    return _from_hub(terminal, adopting=adopting)


def _from_hub(terminal: HubTerminal, *, adopting: bool) -> dict[str, Desired]:
    from luminai.host.desired import Change

    if adopting:
        terminal.request("POST", "/api/admin/changes/adopted")
    newest = msgspec.convert(terminal.request("GET", "/api/admin/changes", query={"limit": 1})["items"], list[Change])
    return newest[0].wishes if newest else {}


def _from_database(config: Configuration, *, adopting: bool) -> dict[str, Desired]:
    """Read, and at most record it: a database that is not there is not made, and tables that are not those of this code are not changed."""
    import asyncio

    from luminai.audit.offline import offline_log
    from luminai.data.database import open_database
    from luminai.data.migrations import core_source, current, pending
    from luminai.data.sqlite import FILE_NAME
    from luminai.host.desired import DesiredStore
    from luminai.telemetry.clock import SystemClock

    async def read(database: HubDatabase, clock: Clock) -> dict[str, Desired]:
        source = core_source()
        if not await pending(database, [source]):
            store = DesiredStore(database, clock, offline_log(config, database, clock))
            if adopting:
                await store.note_adoption(by="command line")
            return await store.all()
        if (await current(database, [source]))[source.owner_id]:
            raise Conflict("Migrations of the core are waiting.", code="migration-needed", hint="Run `luminai db upgrade`.")
        return {}

    async def run() -> dict[str, Desired]:
        clock = SystemClock()
        database = await open_database(config.settings.database.url, data_dir=config.data_dir, clock=clock)
        try:
            return await read(database, clock)
        finally:
            await database.close()

    if not config.settings.database.url and not (config.data_dir / FILE_NAME).exists():
        return {}
    return asyncio.run(run())
