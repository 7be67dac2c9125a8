"""Wishes of run time against the files: what differs, since when, by whom, and the TOML that would make it permanent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from luminai.config.changes import leaves
from luminai.config.layers import Configuration
from luminai.config.positions import lookup
from luminai.config.toml_text import comment, dotted, inline, key
from luminai.config.whole import is_secret, shown
from luminai.host.desired import BY_HUB, Desired

Difference = tuple[tuple[str, ...], Any, Mapping[str, Any] | None]
"""Path of a setting, wished value, what its schema says (None: nothing knows it)."""

_STRONGER: Final = ("environment", "command line")
ADOPTED: Final = "90-adopted.toml"
_HEAD: Final = (
    f"Changed at run time and not in the files. Keep it in a file of its own such as config.d/{ADOPTED}: files of config.d win over config.toml, "
    "and a table cannot stand twice in one file."
)


class Overlaid(Struct, frozen=True, kw_only=True):
    """A setting that runs otherwise than the files say, with who wished it and when."""

    key: str
    files: Any
    wished: Any
    changed_by: str
    changed_at: datetime


def overlay(config: Configuration, wishes: Mapping[str, Desired], schema: Mapping[str, Any]) -> list[Overlaid]:
    """Return what the wishes change, by plugin and key; wishes that the files fulfil are left out.

    Args:
        schema: Of the whole of config.toml; it tells what is secret.
    """
    return [
        Overlaid(
            key=".".join(path),
            files=shown(_in_files(config, path), described, schema),
            wished=shown(wished, described, schema),
            changed_by=wish.changed_by,
            changed_at=wish.changed_at,
        )
        for _, wish in sorted(wishes.items())
        for path, wished, described in _differing(config, wish, schema)
    ]


def adoption(config: Configuration, wishes: Mapping[str, Desired], schema: Mapping[str, Any]) -> str:
    """Return the TOML file that makes the wishes permanent. What the hub turned off by itself stays a comment: that needs a decision."""
    lines: list[str] = []
    for _, wish in sorted(wishes.items()):
        differing = sorted(_differing(config, wish, schema), key=lambda one: one[0][:-1])
        if differing:
            lines += ["", *_section(config, wish, differing, schema)]
    return "\n".join([*comment(_HEAD), *lines] if lines else comment("Nothing runs otherwise than the files say.")) + "\n"


def _section(config: Configuration, wish: Desired, differing: list[Difference], schema: Mapping[str, Any]) -> Iterator[str]:
    by_hub = wish.changed_by.startswith(BY_HUB)
    yield from comment(f"{wish.plugin_id}: {wish.changed_at:%Y-%m-%d %H:%M} UTC by {wish.changed_by}")
    if by_hub:
        yield from comment("The hub itself turned it off. Take the marks away to keep it off for good.")
    mark = "# " if by_hub else ""
    table: tuple[str, ...] = ()
    for path, wished, described in differing:
        if path[:-1] != table:
            table = path[:-1]
            yield f"{mark}[{dotted(table)}]"
        yield from comment(_winner(config, path))
        yield f"{mark}{_assignment(path[-1], wished, described, schema)}"


def _winner(config: Configuration, path: tuple[str, ...]) -> str:
    """Return what would still win over the adopted file, "" when nothing would."""
    for layer in reversed(config.layers):
        later = layer.name == "file" and layer is not config.layers[0] and layer.place > ADOPTED
        if (layer.name in _STRONGER or later) and lookup(layer.table, path) is not None:
            return f"{layer.origin(path)} wins over this: change it there."
    return ""


def _assignment(name: str, wished: Any, described: Mapping[str, Any] | None, schema: Mapping[str, Any]) -> str:
    if described is None or (is_secret(described, schema) and shown(wished, described, schema) != wished):
        return f"# {key(name)} is left out: it is a secret, or no schema describes it"
    try:
        return f"{key(name)} = {inline(wished)}"
    except ValueError:
        return f"# {key(name)} is left out: it holds a null, for which TOML has no word"


def _differing(config: Configuration, wish: Desired, schema: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield all that the wish changes, ``enabled`` first."""
    at = ("plugins", wish.plugin_id)
    if wish.enabled != _in_files(config, (*at, "enabled")):
        yield (*at, "enabled"), wish.enabled, {}
    for leaf in leaves(wish.config or {}, schema, (*at, "config")):
        if leaf.value != {} and _in_files(config, leaf.path) != leaf.value:
            yield leaf.path, leaf.value, leaf.schema


def _in_files(config: Configuration, path: tuple[str, ...]) -> Any:
    """Return what all layers without the wishes say; a plugin that no layer turns on is off."""
    found = lookup(config.table, path)
    return found if found is not None or path[2:] != ("enabled",) else False
