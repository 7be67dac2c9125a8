"""``luminai serve``."""

from __future__ import annotations

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
@click.option("--safe", is_flag=True, help="Safe mode: only the plugins of hub.safe-plugins (none by default). Changes nothing in the configuration.")
@click.option("--only", metavar="A,B", help="Run only these of the enabled plugins.")
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
    locked: bool,
) -> int:
    """Run the hub until it is told to stop.

    \b
    Examples:
      luminai serve
      luminai serve --port 9000 --data /srv/luminai
      luminai serve --set plugins.chat.config.playground=false
      luminai serve --only personas,chat
    """
    from luminai.config.layers import load
    from luminai.host.serve import serve as run

    more = list(overrides)
    more += [f'server.host="{host}"'] if host else []
    more += [f"server.port={port}"] if port is not None else []
    more += [f"hub.data={Path(data).resolve()}"] if data else []
    path = terminal.options.config or os.environ.get("LUMINAI_CONFIG")

    def read() -> Configuration:
        return load(Path(path) if path else None, os.environ, more)

    if locked:
        _refuse_differences(read())
    chosen = frozenset(name.strip() for name in only.split(",") if name.strip()) if only is not None else None
    return run(read, only=chosen, safe=safe)


def _refuse_differences(config: Configuration) -> None:
    from luminai.contracts.errors import Conflict, ProblemItem
    from luminai.host.discovery import installed_plugins
    from luminai.host.lockfile import LOCK_FILE, verify_lock

    found = verify_lock(config.base_dir / LOCK_FILE, installed_plugins(), config.settings.plugins)
    if found:
        items = [ProblemItem(detail=f"{one.what} is {one.found}, locked is {one.locked}", pointer=one.plugin, hint=one.fix) for one in found]
        raise Conflict("What is installed differs from the lock file.", code="lock-differs", hint="Look at `luminai plugins verify`.", errors=items)
