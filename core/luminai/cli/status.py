"""``luminai status``."""

from __future__ import annotations

import click

from luminai.cli.terminal import HubTerminal


@click.command()
@click.pass_obj
def status(terminal: HubTerminal) -> None:
    """Show how the hub is: its state, R of the last 24 hours, its plugins.

    \b
    Examples:
      luminai status
      luminai status --help
      luminai --output json status
    """
    found = terminal.request("GET", "/api/status")
    if not terminal.is_tty:
        terminal.emit(found)
        return
    r = "none yet" if found["R_global"] is None else f"{found['R_global']:.2f}"
    terminal.write(f"{found['platform_status']}  ·  R {r}  ·  version {found['version']}  ·  up {found['uptime_seconds']:.0f} s\n\n")
    terminal.emit(found["services"], columns=("id", "state", "title", "reason"))
