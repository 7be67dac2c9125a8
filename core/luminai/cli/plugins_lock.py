"""``luminai plugins lock`` and ``verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal

if TYPE_CHECKING:
    from pathlib import Path

    from luminai.host.lockfile import Lock


@click.command()
@click.pass_obj
def lock(terminal: HubTerminal) -> None:
    """Write luminai.lock.toml beside config.toml: every enabled plugin with version, digest of its files, grants and what it requires.

    \b
    Examples:
      luminai plugins lock
    """
    from luminai.host.lockfile import render_lock

    path, found = _found(terminal)
    text = render_lock(found)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    terminal.emit({"file": path.name, "plugins": [one.id for one in found.plugins]})


@click.command()
@click.pass_obj
def verify(terminal: HubTerminal) -> int:
    """Compare what is installed and enabled with luminai.lock.toml (exit code 8 when it differs).

    \b
    Examples:
      luminai plugins verify
    """
    from luminai.host.lockfile import differences, read_lock

    path, found = _found(terminal)
    rows = msgspec.to_builtins(differences(read_lock(path), found))
    if terminal.is_tty and not rows:
        terminal.write("Everything is as it was locked.\n")
    else:
        terminal.emit(rows, columns=("plugin", "what", "locked", "found", "fix"))
    return FOUND_PROBLEMS if rows else 0


def _found(terminal: HubTerminal) -> tuple[Path, Lock]:
    from luminai.host.discovery import installed_plugins
    from luminai.host.lockfile import LOCK_FILE, make_lock

    config = terminal.configuration()
    return config.base_dir / LOCK_FILE, make_lock(installed_plugins(), config.settings.plugins)
