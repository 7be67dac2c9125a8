"""``luminai plugins``: the commands that look."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import HubError, NotFound

COLUMNS = ("id", "state", "version", "conformance", "reason", "title")


@click.command("list")
@click.option("--available", is_flag=True, help="Also those that are installed and not declared.")
@click.pass_obj
def list_plugins(terminal: HubTerminal, available: bool) -> None:
    """List plugins: from the running hub, or from what is installed and configured.

    \b
    Examples:
      luminai plugins list
      luminai plugins list --available
    """
    found = [one for one in _statuses(terminal) if available or one["state"] != "available"]
    terminal.emit(found, columns=COLUMNS)


@click.command()
@click.argument("plugin")
@click.pass_obj
def inspect(terminal: HubTerminal, plugin: str) -> None:
    """Show everything about one plugin.

    \b
    Examples:
      luminai plugins inspect chat
    """
    found = next((one for one in _statuses(terminal) if one["id"] == plugin), None)
    if found is None:
        raise NotFound(f"There is no plugin {plugin}.", code="plugin-not-found", hint="`luminai plugins list --available` shows all.")
    terminal.emit(found)


@click.command()
@click.argument("plugin", required=False)
@click.pass_obj
def doctor(terminal: HubTerminal, plugin: str | None) -> int:
    """Find what keeps plugins from running, without running any of their code (exit code 8 when something does).

    \b
    Examples:
      luminai plugins doctor
      luminai plugins doctor chat
    """
    from luminai.host.doctor import examine, findings

    rows = msgspec.to_builtins([one for one in findings(examine(terminal.configuration())) if plugin in (None, one.id)])
    if terminal.is_tty and not rows:
        terminal.write("Nothing is wrong.\n")
    else:
        terminal.emit(rows, columns=("id", "phase", "reason", "remedy"))
    return FOUND_PROBLEMS if rows else 0


@click.command()
@click.argument("plugin")
@click.pass_obj
def why(terminal: HubTerminal, plugin: str) -> None:
    """Explain why a plugin of the running hub is on, off, blocked or failed.

    \b
    Examples:
      luminai plugins why chat
    """
    found = terminal.request("GET", f"/api/admin/plugins/{plugin}/why", offline=True)
    if terminal.is_tty:
        lines = [f"{found['id']} is {found['state']}.", *(f"  {line}" for line in found["because"])]
        lines += [f"  Needed by {', '.join(found['needed_by'])}."] if found["needed_by"] else []
        lines += [f"do: {found['remedy']}"] if found["remedy"] else []
        terminal.write("\n".join(lines) + "\n")
    else:
        terminal.emit(found)


@click.command()
@click.option("--unused", is_flag=True, help="Only hooks that nobody implements.")
@click.pass_obj
def hooks(terminal: HubTerminal, unused: bool) -> None:
    """List hooks with the running plugins that implement them.

    \b
    Examples:
      luminai plugins hooks
      luminai plugins hooks --unused
    """
    found = terminal.request("GET", "/api/admin/plugins/hooks", offline=True)
    terminal.emit([one for one in found if not (unused and one["plugins"])], columns=("hook", "kind", "plugins"))


@click.command()
@click.option("--anonymous", is_flag=True, help="Only routes that need no key.")
@click.pass_obj
def routes(terminal: HubTerminal, anonymous: bool) -> None:
    """List every plugin route with its owner and who may call it.

    \b
    Examples:
      luminai plugins routes
      luminai plugins routes --anonymous
    """
    found = terminal.request("GET", "/api/admin/plugins/routes", offline=True)["items"]
    shown = [one for one in found if not anonymous or one["access"] == "anonymous"]
    terminal.emit(shown, columns=("method", "path", "access", "plugin"))


@click.command()
@click.pass_obj
def perf(terminal: HubTerminal) -> None:
    """Show what each running plugin costs: its start by phase, its requests and decisions so far, and which of its channels rest.

    \b
    Examples:
      luminai plugins perf
    """
    found = terminal.request("GET", "/api/admin/plugins/perf", offline=True)
    terminal.emit(found, columns=("id", "start_ms", "requests", "request_ms", "failed_requests", "decisions", "decision_ms", "tasks", "resting"))


@click.command()
@click.argument("what", default="")
@click.option("--seconds", type=click.IntRange(1, 300), default=10, show_default=True, help="How long to watch.")
@click.pass_obj
def trace(terminal: HubTerminal, what: str, seconds: int) -> None:
    """Watch calls of plugin code in the running hub; WHAT limits them by the start of their name.

    \b
    Examples:
      luminai plugins trace
      luminai plugins trace "decision guard." --seconds 60
      luminai plugins trace "request POST /api/chat"
    """
    for event in terminal.events("GET", "/api/admin/plugins/trace", query={"what": what, "seconds": seconds}):
        if event.event != "call":
            continue
        if terminal.is_tty:
            call = event.data
            terminal.write(f"{call['ms']:9.2f} ms  {call['outcome']:<12} {call['plugin']:<16} {call['what']}\n")
        else:
            terminal.emit_line(event.data)


def _statuses(terminal: HubTerminal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 100}
    try:
        while True:
            page = terminal.request("GET", "/api/admin/plugins", query=query)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]
    except HubError as error:
        if error.code not in ("hub-unreachable", "not-signed-in"):
            raise
        from luminai.host.conformance_record import known_levels
        from luminai.host.discovery import installed_plugins
        from luminai.host.doctor import examine

        terminal.say("Not signed in to a running hub: this is what is installed and configured.")
        levels = known_levels(installed_plugins())
        every: list[dict[str, Any]] = msgspec.to_builtins(examine(terminal.configuration()))
        return [one | {"conformance": levels.get(one["id"], "")} for one in every]
