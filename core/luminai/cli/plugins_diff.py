"""``luminai plugins diff``."""

from __future__ import annotations

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal


@click.command()
@click.argument("before")
@click.argument("after")
@click.pass_obj
def diff(terminal: HubTerminal, before: str, after: str) -> int:
    """Compare two versions of a plugin: contributions, paths, scopes, grants, requirements, settings. Exit code 8 when something breaks.

    BEFORE and AFTER are each the id of an installed plugin, a wheel, or a folder with the package. No plugin code runs.

    \b
    Examples:
      luminai plugins diff chat dist/luminai_chat-2.0-py3-none-any.whl
      luminai plugins diff ../old/src/luminai_oracle ../new/src/luminai_oracle
    """
    from luminai.host.difference import compare, side_of
    from luminai.host.discovery import installed_plugins

    installed = installed_plugins()
    rows = msgspec.to_builtins(compare(side_of(before, installed), side_of(after, installed)))
    if terminal.is_tty and not rows:
        terminal.write("Nothing differs.\n")
    else:
        terminal.emit(rows, columns=("impact", "what", "before", "after", "reason"))
    return FOUND_PROBLEMS if any(row["impact"] == "breaking" for row in rows) else 0
