"""``luminai plugins check``."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec

from luminai.cli.exits import FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import ConfigRejected


@click.command()
@click.argument("plugin", required=False)
@click.option("--level", type=click.Choice(["bronze", "silver", "gold"]), default="gold", show_default=True, help="Highest level to run.")
@click.option("--settings", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML file with the plugin's own settings.")
@click.option("--json", "as_json", is_flag=True, help="The whole result as JSON, also on a terminal.")
@click.pass_obj
def check(terminal: HubTerminal, plugin: str | None, level: str, settings: Path | None, as_json: bool) -> int:
    """Run the conformance rules on an installed plugin, or on all (exit code 8 when it misses the level).

    Each rule runs the plugin in hubs of its own with temporary folders; nothing of this hub is touched. A rule that could not be found out counts
    as missed. `docs/explanation/conformance.md` explains the rules.

    \b
    Examples:
      luminai plugins check chat
      luminai plugins check chat --level bronze
      luminai plugins check chat --json
    """
    # by name: the suite stands above the command in the order of rooms, and is loaded for this command alone
    conformance: Any = import_module("luminai.testing.conformance")
    given = _settings(settings) if settings else None
    from luminai.host.conformance_record import keep_record
    from luminai.host.discovery import installed_plugins

    known = {one.id: one for one in installed_plugins()}
    ids = [plugin] if plugin else list(known)
    wanted = conformance.Level(level)
    results = []
    for plugin_id in ids:
        terminal.say(f"Checking {plugin_id} …")
        result = conformance.check_plugin(plugin_id, level=wanted, settings=given)
        results.append(result)
        keep_record(known[plugin_id], result.level, [rule.id for rule in result.rules if rule.outcome == "failed"])
    data = msgspec.to_builtins(results)
    if as_json or not terminal.is_tty:
        terminal.write(msgspec.json.encode(data[0] if plugin else data).decode() + "\n")
    else:
        titles = {rule.id: rule.title for rule in conformance.RULES}
        for result in data:
            rows = [{**rule, "rule": f"{rule['id']} {titles[rule['id']]}"} for rule in result["rules"]]
            terminal.emit(rows, columns=("rule", "outcome", "detail"))
            terminal.write(f"{result['plugin']} {result['version']} on hub {result['hub']}: {result['level']}\n")
    passed = all(conformance.reaches(result.level, wanted) for result in results)
    return 0 if passed else FOUND_PROBLEMS


def _settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigRejected(f"{path.name} is not TOML: {error}", hint="It holds what would stand under [plugins.<id>.config].") from error
