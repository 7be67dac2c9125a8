"""``luminai plugins api``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import InvalidInput


@click.command()
@click.argument("before", required=False, type=click.Path(exists=True, dir_okay=False))
@click.argument("after", required=False, type=click.Path(exists=True, dir_okay=False))
@click.pass_obj
def api(terminal: HubTerminal, before: str | None, after: str | None) -> int:
    """Print this hub's plugin API as JSON; with BEFORE, list what changed since that snapshot (until AFTER, by default until now).

    Each change says which number it raises: the major for what is taken away or means something else, the feature for what is added. Exit code 8 when
    something needs a new major.

    \b
    Examples:
      luminai plugins api > plugin-api.json
      luminai plugins api plugin-api.json
      luminai plugins api hub-1.0.json hub-1.1.json
    """
    from luminai.host.api_snapshot import compare, needed_number, snapshot

    if before is None:
        terminal.emit(snapshot())
        return 0
    old, new = _read(before), _read(after) if after else snapshot()
    changes = compare(old, new)
    if terminal.is_tty:
        terminal.say(f"From {old['api']} to {new['api']}; these changes need at least {needed_number(old, changes)}.")
    terminal.emit(msgspec.to_builtins(changes), columns=("raises", "change", "name", "before", "after", "reason"))
    return FOUND_PROBLEMS if any(change.raises == "major" for change in changes) else 0


def _read(path: str) -> Any:
    try:
        found = msgspec.json.decode(Path(path).read_bytes())
        if not {"api", "names", "hooks", "manifest"} <= found.keys():
            raise ValueError("keys are missing")
    except (OSError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{path} is no snapshot: {error}", code="bad-snapshot", hint="`luminai plugins api` makes one.") from error
    return found
