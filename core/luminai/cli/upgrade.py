"""``luminai upgrade``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal


@click.group()
def upgrade() -> None:
    """Find out beforehand what another version of the hub would do to this installation.

    \b
    Examples:
      luminai upgrade rehearse dist/luminai-0.2.0-py3-none-any.whl
    """


@upgrade.command()
@click.argument("hub", type=click.Path(exists=True))
@click.option("--no-conformance", is_flag=True, help="Leave the bronze rules out; they take seconds a plugin.")
@click.pass_obj
def rehearse(terminal: HubTerminal, hub: str, no_conformance: bool) -> int:
    """Run the installed plugins against another version of the hub: its API, the bronze rules, its migrations on a copy of the data.

    HUB is a wheel of luminai, a folder with the package, or a source tree. Nothing here is changed. Exit code 8 when something would go wrong.

    \b
    Examples:
      luminai upgrade rehearse dist/luminai-0.2.0-py3-none-any.whl
      luminai upgrade rehearse ../luminai-next --no-conformance
    """
    from luminai.host.upgrade_rehearsal import rehearse_upgrade

    rows: list[dict[str, Any]] = []
    for step in rehearse_upgrade(Path(hub), config=terminal.options.config, conformance=not no_conformance):
        terminal.say(f"{step.step}: {'ok' if step.ok else 'PROBLEMS'}")
        rows.append(msgspec.to_builtins(step))
    terminal.emit(rows, columns=("step", "ok", "problems", "remarks"))
    return 0 if all(row["ok"] for row in rows) else FOUND_PROBLEMS
