"""``luminai plugins lock`` and ``verify``."""

from __future__ import annotations

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit code 8 when the file would change.")
@click.pass_obj
def lock(terminal: HubTerminal, check: bool) -> int:
    """Write luminai.lock.toml beside config.toml: every enabled plugin with version, digest of its files, grants and what it requires.

    \b
    Examples:
      luminai plugins lock
      luminai plugins lock --check
    """
    from luminai.host.discovery import installed_plugins
    from luminai.host.lockfile import LOCK_FILE, make_lock, render_lock

    config = terminal.configuration()
    path, found = config.base_dir / LOCK_FILE, make_lock(installed_plugins(), config.settings.plugins)
    text = render_lock(found)
    changes = not path.is_file() or path.read_bytes() != text.encode()
    if changes and not check:
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(text.encode())
        fresh.replace(path)
    terminal.emit({"file": path.name, "plugins": [one.id for one in found.plugins], "changed": changes})
    return FOUND_PROBLEMS if check and changes else 0


@click.command()
@click.pass_obj
def verify(terminal: HubTerminal) -> int:
    """Compare what is installed and enabled with luminai.lock.toml (exit code 8 when it differs).

    \b
    Examples:
      luminai plugins verify
    """
    from luminai.host.discovery import installed_plugins
    from luminai.host.lockfile import LOCK_FILE, verify_lock

    config = terminal.configuration()
    rows = msgspec.to_builtins(verify_lock(config.base_dir / LOCK_FILE, installed_plugins(), config.settings.plugins))
    if terminal.is_tty and not rows:
        terminal.write("Everything is as it was locked.\n")
    else:
        terminal.emit(rows, columns=("plugin", "what", "locked", "found", "cause", "fix"))
    return FOUND_PROBLEMS if rows else 0
