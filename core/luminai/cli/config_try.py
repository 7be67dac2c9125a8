"""``luminai config test``."""

from __future__ import annotations

import os
import sys

import click

from luminai.cli.config import refuse_wrong_core
from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal


@click.command("test")
@click.argument("plugin")
@click.option(
    "--timeout", "seconds", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, metavar="S", help="Longest check, in seconds."
)
@click.pass_obj
def try_plugin(terminal: HubTerminal, plugin: str, seconds: float) -> int:
    """Have PLUGIN try its settings against the real service (exit code 8 when there are problems). Nothing is served.

    Only the plugin and those that it requires are loaded, whether they are on or off, with the settings of the files and an empty database. What was
    changed at run time is not looked at.

    \b
    Examples:
      luminai config test chat
      luminai config test storage-s3 --timeout 30
    """
    from luminai.host.discovery import installed_plugins
    from luminai.host.tryout import try_settings

    config = terminal.configuration()
    refuse_wrong_core(config)
    tried = try_settings(config, plugin, installed_plugins(), seconds=seconds)
    rows = [{"detail": one.detail, "key": one.pointer, "code": one.code, "hint": one.hint} for one in tried.problems]
    if not terminal.is_tty:
        terminal.emit({"plugin": plugin, "has_check": tried.has_check, "problems": rows, "seconds": tried.seconds})
    elif rows:
        terminal.emit(rows, columns=("key", "detail", "hint"))
    elif tried.has_check:
        terminal.write(f"{plugin} tried its settings in {tried.seconds:g} s: nothing is wrong.\n")
    if tried.has_check is False:
        terminal.say(f"{plugin} has no check of its own: its settings have the right shape and it loads; whether they work is not known.")
    code = FOUND_PROBLEMS if rows else 0
    if tried.hung:  # a thread that still hangs would hold up the end of the process
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
