"""``luminai serve``."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luminai.cli.terminal import HubTerminal

if TYPE_CHECKING:
    from luminai.config.layers import Configuration


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 8000; 0 takes a free one).")
@click.option("--data", type=click.Path(file_okay=False), help="Folder for database and files (default ./data).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any setting, for example --set log.level=debug.")
@click.option(
    "--safe", is_flag=True, help="Safe mode: only the plugins of hub.safe-plugins (none by default), and only what is right of the configuration."
)
@click.option("--only", metavar="A,B", help="Run only these of the enabled plugins.")
@click.option("--role", "roles", metavar="ROLE,…", help="What this process does: web, worker, or both (the default); on PostgreSQL.")
@click.option("--locked", is_flag=True, help="Refuse to start when `luminai plugins verify` finds a difference.")
@click.pass_obj
def serve(
    terminal: HubTerminal,
    host: str | None,
    port: int | None,
    data: str | None,
    overrides: tuple[str, ...],
    safe: bool,
    only: str | None,
    roles: str | None,
    locked: bool,
) -> int:
    """Run the hub until it is told to stop.

    \b
    Examples:
      luminai serve
      luminai serve --port 9000 --data /srv/luminai
      luminai serve --set plugins.chat.config.playground=false
      luminai serve --only personas,chat
      luminai serve --role worker --port 8001
    """
    from luminai.config.layers import load
    from luminai.contracts.errors import ConfigRejected

    gc.disable()  # what a start makes stays; the server turns collections on again when it is up
    from luminai.host.serve import serve as run

    more = list(overrides)
    more += [f'server.host="{host}"'] if host else []
    more += [f"server.port={port}"] if port is not None else []
    more += [f"hub.roles={json.dumps([name.strip() for name in roles.split(',')])}"] if roles is not None else []
    more += [f"hub.data={Path(data).resolve()}"] if data else []
    path = terminal.options.config or os.environ.get("LUMINAI_CONFIG")

    def read(*, lenient: bool = False) -> Configuration:
        return load(Path(path) if path else None, os.environ, more, lenient=lenient)

    chosen = frozenset(name.strip() for name in only.split(",") if name.strip()) if only is not None else None
    sound = _sound_part(terminal, read(lenient=True)) if safe else None
    if locked:
        _refuse_differences(sound or read())
    try:
        return run(read, config=sound, only=chosen, safe=safe)
    except ConfigRejected as refused:
        if safe:
            raise
        refused.hint = f"{refused.hint} Or start with what is right of it, without plugins: `luminai serve --safe`.".lstrip()
        raise


def _sound_part(terminal: HubTerminal, config: Configuration) -> Configuration:
    """Return what is right of a configuration, and say what is not."""
    from luminai.config.sound import sound_part

    sound = sound_part(config)
    for item in sound.left_out:
        place = f"{item.file}:{item.line}" if item.line else item.file
        terminal.say(f"Left out: {place} {item.pointer} {item.detail}. {item.hint}".replace("  ", " ").rstrip())
    if sound.left_out:
        terminal.say(f"Data folder: {sound.data_dir}; database: {'the one that is set' if sound.settings.database.url else 'SQLite there'}.")
    return sound


def _refuse_differences(config: Configuration) -> None:
    from luminai.contracts.errors import Conflict, ProblemItem
    from luminai.host.discovery import installed_plugins
    from luminai.host.lockfile import LOCK_FILE, verify_lock

    found = verify_lock(config.base_dir / LOCK_FILE, installed_plugins(), config.settings.plugins)
    if found:
        items = [ProblemItem(detail=f"{one.what} is {one.found}, locked is {one.locked}", pointer=one.plugin, hint=one.fix) for one in found]
        raise Conflict("What is installed differs from the lock file.", code="lock-differs", hint="Look at `luminai plugins verify`.", errors=items)
