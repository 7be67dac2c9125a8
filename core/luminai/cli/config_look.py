"""``luminai config``: the commands that look at files, without a hub and without importing a plugin."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from luminai.cli.exits import INVALID
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luminai.config.layers import Setting


@click.command()
@click.pass_obj
def check(terminal: HubTerminal) -> int:
    """Check everything and list all problems at once (exit code 7 when there are any).

    \b
    Examples:
      luminai config check
      luminai --config other.toml config check
    """
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


@click.command()
@click.argument("key")
@click.pass_obj
def explain(terminal: HubTerminal, key: str) -> None:
    """Show every layer that sets KEY, the winner last.

    \b
    Examples:
      luminai config explain server.port
      luminai config explain plugins.chat.config.playground
    """
    chain = terminal.configuration().explain(key)
    if not chain:
        raise NotFound(f"There is no setting {key}.", code="unknown-setting", hint="`luminai config list` shows all that are set.")
    terminal.emit(_rows(chain), columns=("origin", "value"))


@click.command("list")
@click.pass_obj
def list_settings(terminal: HubTerminal) -> None:
    """List every effective value with its origin.

    \b
    Examples:
      luminai config list
    """
    terminal.emit(_rows(terminal.configuration().items()), columns=("key", "value", "origin"))


@click.command()
@click.argument("plugin")
@click.pass_obj
def scaffold(terminal: HubTerminal, plugin: str) -> None:
    """Print the section of PLUGIN for config.toml: every setting with description, bounds and default.

    Settings with a default are comments; required ones stand open with a placeholder. Grants are yours to give: they are a comment too.

    \b
    Examples:
      luminai config scaffold chat
      luminai config scaffold chat >> config.toml
    """
    from luminai.config.positions import lookup
    from luminai.config.scaffold import scaffold as section_of
    from luminai.contracts.errors import ConfigRejected
    from luminai.host.discovery import installed_plugins
    from luminai.host.schemas import committed_schema, find_plugin

    found = find_plugin(plugin, installed_plugins())
    if found.manifest is None:
        raise ConfigRejected(f"The manifest of {plugin} cannot be used: {found.problem}", code="bad-manifest", errors=found.errors)
    text = section_of(found.manifest, committed_schema(found))
    with contextlib.suppress(ConfigRejected):  # a file that cannot be read is no reason to print nothing
        if lookup(terminal.configuration().table, ("plugins", plugin)) is not None:
            terminal.say(f"The configuration has [plugins.{plugin}] already; a table cannot stand twice in one file.")
    terminal.write(text)


@click.command()
@click.argument("plugin", required=False)
@click.pass_obj
def schema(terminal: HubTerminal, plugin: str | None) -> None:
    """Print the JSON Schema (draft 2020-12) of PLUGIN's settings, or of the whole config.toml with every installed plugin.

    An editor that knows TOML schemas completes and checks keys when the first line of config.toml is `#:schema ./config.schema.json`.

    \b
    Examples:
      luminai config schema > config.schema.json
      luminai --pretty config schema chat
    """
    from luminai.cli.output import to_json
    from luminai.host.discovery import installed_plugins
    from luminai.host.schemas import committed_schema, configuration_schema, find_plugin

    installed = installed_plugins()
    found = configuration_schema(installed) if plugin is None else committed_schema(find_plugin(plugin, installed))
    if found is None:
        raise NotFound(f"Plugin {plugin} has no settings.", code="no-settings", hint="`luminai config schema` prints that of the whole file.")
    terminal.write(to_json(found, pretty=terminal.options.pretty or terminal.is_tty) + "\n")


def _rows(steps: Iterable[Setting]) -> list[dict[str, Any]]:
    """Return settings as they may be shown: of a secret its reference only, no password in an address."""
    from luminai.config.whole import member, shown
    from luminai.host.discovery import installed_plugins
    from luminai.host.schemas import configuration_schema

    root = configuration_schema(installed_plugins())
    rows = []
    for step in steps:
        schema: Mapping[str, Any] | None = root
        for name in step.key.split("."):
            schema = member(schema, name, root) if schema is not None else None
        rows.append({"key": step.key, "value": shown(step.value, schema, root), "origin": str(step.origin)})
    return rows
