"""``luminai plugins``."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import HubError, NotFound

COLUMNS = ("id", "state", "version", "reason", "title")


@click.group()
def plugins() -> None:
    """See plugins, turn them on and off, find what is wrong.

    \b
    Examples:
      luminai plugins list
      luminai plugins inspect chat
      luminai plugins doctor
    """


@plugins.command("list")
@click.option("--available", is_flag=True, help="Also those that are installed and not declared.")
@click.pass_obj
def list_plugins(terminal: HubTerminal, available: bool) -> None:
    """List plugins: from the running hub, or from what is installed and configured."""
    found = [one for one in _statuses(terminal) if available or one["state"] != "available"]
    terminal.emit(found, columns=COLUMNS)


@plugins.command()
@click.argument("plugin")
@click.pass_obj
def inspect(terminal: HubTerminal, plugin: str) -> None:
    """Show everything about one plugin."""
    found = next((one for one in _statuses(terminal) if one["id"] == plugin), None)
    if found is None:
        raise NotFound(f"There is no plugin {plugin}.", code="plugin-not-found", hint="`luminai plugins list --available` shows all.")
    terminal.emit(found)


@plugins.command()
@click.argument("plugin", required=False)
@click.pass_obj
def doctor(terminal: HubTerminal, plugin: str | None) -> int:
    """Find what keeps plugins from running, without running any of their code (exit code 8 when something does)."""
    from luminai.host.doctor import examine

    found = [one for one in examine(terminal.configuration()) if one.code and plugin in (None, one.id)]
    rows = [
        {
            "id": one.id,
            "phase": one.phase,
            "code": one.code,
            "reason": one.reason,
            "remedy": one.remedy,
            "causes": list(one.causes),
            "errors": msgspec.to_builtins(one.errors),
        }
        for one in found
    ]
    if terminal.is_tty and not rows:
        terminal.write("Nothing is wrong.\n")
    else:
        terminal.emit(rows, columns=("id", "phase", "reason", "remedy"))
    return FOUND_PROBLEMS if rows else 0


@plugins.command()
@click.argument("plugin")
@click.pass_obj
def enable(terminal: HubTerminal, plugin: str) -> None:
    """Turn a plugin on, from the next start."""
    _wish(terminal, plugin, enabled=True)


@plugins.command()
@click.argument("plugin")
@click.pass_obj
def disable(terminal: HubTerminal, plugin: str) -> None:
    """Turn a plugin off, from the next start. Its data stays."""
    _wish(terminal, plugin, enabled=False)


def _statuses(terminal: HubTerminal) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = terminal.request("GET", "/api/admin/plugins", query={"limit": 100})["items"]
    except HubError as error:
        if error.code not in ("hub-unreachable", "not-signed-in"):
            raise
        from luminai.host.doctor import examine

        terminal.say("Not signed in to a running hub: this is what is installed and configured.")
        found = msgspec.to_builtins(examine(terminal.configuration()))
    return found


def _wish(terminal: HubTerminal, plugin: str, *, enabled: bool) -> None:
    try:
        answer = terminal.request("PUT", f"/api/admin/plugins/{plugin}/desired", body={"enabled": enabled})
    except HubError as error:
        if error.code != "hub-unreachable":
            raise
        answer = _wish_offline(terminal, plugin, enabled)
    terminal.emit(answer)


def _wish_offline(terminal: HubTerminal, plugin: str, enabled: bool) -> dict[str, Any]:
    from luminai.cli.offline import with_database
    from luminai.host.desired import DesiredStore
    from luminai.host.discovery import installed_plugins

    if plugin not in {one.id for one in installed_plugins()}:
        raise NotFound(f"Plugin {plugin} is not installed.", code="plugin-not-found", hint=f"Install luminai-{plugin} first.")
    with_database(terminal.configuration(), lambda database, clock: DesiredStore(database, clock).set(plugin, enabled, by="command line"))
    return {"id": plugin, "enabled": enabled, "restart_required": False, "reason": "It takes effect at the next start."}
