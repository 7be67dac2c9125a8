"""``luminai plugins purge``: offline, on the data folder itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal

if TYPE_CHECKING:
    from luminai.data.database import HubDatabase
    from luminai.host.purge import PurgeReport


@click.command()
@click.argument("plugin")
@click.option("--dry-run", is_flag=True, help="Change nothing; list rows by table and bytes by file.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(terminal: HubTerminal, plugin: str, dry_run: bool, yes: bool) -> int:
    """Remove all that a plugin left: tables, rows, scopes of keys, files; then look for it everywhere (exit code 8 when something is left).

    The plugin must be off. It need not be installed any more. While a hub runs on the data folder this is refused. On SQLite a backup is made
    first; it still holds everything.

    \b
    Examples:
      luminai plugins purge chat --dry-run
      luminai plugins purge chat
      luminai plugins purge chat --yes
    """
    import msgspec

    from luminai.cli.db import on_database
    from luminai.host.discovery import installed_plugins
    from luminai.host.purge import purge as run
    from luminai.telemetry.clock import SystemClock

    config = terminal.configuration()

    async def work(database: HubDatabase, *, dry: bool) -> PurgeReport:
        return await run(database, config, installed_plugins(), plugin, clock=SystemClock(), dry_run=dry)

    if not (dry_run or yes or terminal.options.yes):
        _ask(terminal, plugin, on_database(config, lambda database: work(database, dry=True)))
    report = on_database(config, lambda database: work(database, dry=dry_run))
    if terminal.is_tty:
        _show(terminal, report)
    else:
        terminal.emit(msgspec.to_builtins(report))
    return FOUND_PROBLEMS if report.left else 0


def _ask(terminal: HubTerminal, plugin: str, report: PurgeReport) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Give --yes to purge without being asked, or --dry-run to look.")
    _show(terminal, report)
    click.confirm(f"Remove all of this for good? {plugin} cannot get it back.", abort=True, err=True)


def _show(terminal: HubTerminal, report: PurgeReport) -> None:
    plan = report.removed
    rows: list[dict[str, Any]] = [{"what": "table", "name": name, "size": f"{rows:,} rows"} for name, rows in plan.tables.items()]
    rows += [{"what": "object", "name": name, "size": ""} for name in plan.others]
    rows += [{"what": "rows", "name": name, "size": f"{rows:,} rows"} for name, rows in plan.core_rows.items()]
    rows += [{"what": "file", "name": name, "size": f"{size:,} bytes"} for name, size in plan.files.items()]
    rows += [{"what": "outside", "name": item.name, "size": item.detail} for item in report.outside]
    terminal.emit(rows, columns=("what", "name", "size"))
    if report.hook:
        terminal.say(f"The plugin was not asked what it keeps outside the hub: {report.hook}.")
    if report.dry_run:
        return
    if report.backup:
        terminal.say(f"Backup, which still holds everything: {report.backup}")
    for trace in report.mentions:
        terminal.say(f"mentioned: {trace.where}: {trace.what}")
    for trace in report.left:
        terminal.write(f"left: {trace.where}: {trace.what}\n")
    if not report.left:
        terminal.write(f"Nothing of {plan.plugin} is left.\n")
