"""``luminai config``: local, without a hub and without importing a plugin."""

from __future__ import annotations

from typing import Any

import click

from luminai.cli.exits import INVALID
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import NotFound


@click.group()
def config() -> None:
    """Explain and check the configuration.

    \b
    Examples:
      luminai config validate
      luminai config explain server.port
      luminai config list
    """


@config.command()
@click.pass_obj
def validate(terminal: HubTerminal) -> int:
    """Check everything and list all problems at once (exit code 7 when there are any)."""
    from luminai.config.problems import check_core
    from luminai.host.discovery import installed_plugins
    from luminai.host.doctor import check_plugin_sections

    found = terminal.configuration()
    installed = installed_plugins()
    problems = check_core(found, installed_ids=[plugin.id for plugin in installed])
    if not problems:
        problems = check_plugin_sections(found, installed)
    rows = [
        {
            "place": f"{item.file}:{item.line}" if item.line else item.file,
            "key": item.pointer,
            "problem": item.detail,
            "hint": item.hint,
            "code": item.code,
        }
        for item in problems
    ]
    if terminal.is_tty and not rows:
        terminal.write("The configuration is right.\n")
    else:
        terminal.emit(rows, columns=("place", "key", "problem", "hint"))
    return INVALID if rows else 0


@config.command()
@click.argument("key")
@click.pass_obj
def explain(terminal: HubTerminal, key: str) -> None:
    """Show every layer that sets KEY, the winner last."""
    chain = terminal.configuration().explain(key)
    if not chain:
        raise NotFound(f"There is no setting {key}.", code="unknown-setting", hint="`luminai config list` shows all that are set.")
    terminal.emit([_row(step) for step in chain], columns=("origin", "value"))


@config.command("list")
@click.pass_obj
def list_settings(terminal: HubTerminal) -> None:
    """List every effective value with its origin."""
    terminal.emit([_row(step) for step in terminal.configuration().items()], columns=("key", "value", "origin"))


def _row(step: Any) -> dict[str, Any]:
    return {"key": step.key, "value": step.value, "origin": str(step.origin)}
