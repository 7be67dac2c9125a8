"""``luminai frequencies``."""

from __future__ import annotations

import click

from luminai import Terminal


@click.group()
def frequencies() -> None:
    """The 16 frequencies.

    \b
    Examples:
      luminai frequencies list
      luminai frequencies show compassion
      luminai --output json frequencies list
    """


@frequencies.command("list")
@click.pass_obj
def list_frequencies(terminal: Terminal) -> None:
    """List all 16 with their pair and definition."""
    page = terminal.request("GET", "/api/frequencies", offline=True)
    terminal.emit(page["items"], columns=("glyph", "id", "opposite", "side", "definition"))


@frequencies.command("show")
@click.argument("frequency")
@click.pass_obj
def show_frequency(terminal: Terminal, frequency: str) -> None:
    """Show one frequency."""
    terminal.emit(terminal.request("GET", f"/api/frequencies/{frequency}", offline=True))
