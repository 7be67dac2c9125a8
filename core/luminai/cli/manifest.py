"""``luminai manifest``."""

from __future__ import annotations

from typing import Any

import click

from luminai.cli.terminal import HubTerminal


@click.command()
@click.option("--format", "form", type=click.Choice(["json", "toml"]), default="json", show_default=True)
@click.pass_obj
def manifest(terminal: HubTerminal, form: str) -> None:
    """Say what this hub can do, for agents and orchestrators.

    \b
    Examples:
      luminai manifest
      luminai manifest --format toml
      luminai --pretty manifest
    """
    found = terminal.request("GET", "/api/manifest", offline=True)
    if form == "toml":
        terminal.write(_toml(found))
    else:
        from luminai.cli.output import to_json

        terminal.write(to_json(found, pretty=terminal.options.pretty or terminal.is_tty) + "\n")


def _toml(table: dict[str, Any]) -> str:
    """Return plain data as TOML: simple values first, tables behind."""
    from luminai.cli.output import to_json

    lines = [f"{key} = {to_json(value, pretty=False)}" for key, value in table.items() if not isinstance(value, dict) and not _is_tables(value)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f'"{name}" = {_inline(inner)}' for name, inner in value.items())]
        elif _is_tables(value):
            for item in value:
                lines += ["", f"[[{key}]]", *(f"{name} = {_inline(inner)}" for name, inner in item.items())]
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _inline(value: Any) -> str:
    from luminai.cli.output import to_json

    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_inline(inner)}' for key, inner in value.items() if inner is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    return to_json(value, pretty=False)
