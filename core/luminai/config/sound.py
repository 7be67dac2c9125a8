"""The part of a configuration that is right: safe mode starts with it, whatever the files say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from luminai.config.layers import Configuration, Layer
from luminai.config.positions import KeyPath
from luminai.config.problems import check_core
from luminai.contracts.errors import ConfigRejected, ProblemItem


def sound_part(config: Configuration) -> Configuration:
    """Return the configuration without what is wrong in the core's own settings; ``left_out`` lists that.

    A wrong value gives way to the layer below, or to the default. A file that is no TOML has no effect at all: which half of it was meant cannot be
    told. Plugins' own settings are not looked into.
    """
    left_out = list(config.problems)
    layers = list(config.layers)
    while True:
        candidate = Configuration(layers, (), config.base_dir, left_out)
        problems = check_core(candidate) or _refused(candidate)
        if not problems:
            return candidate
        left_out += problems
        fewer = _without(layers, {tuple(item.pointer.split(".")) for item in problems if item.pointer})
        layers = fewer if fewer is not None else layers[1:]  # what no key can be named for goes with its whole layer, the files first


def _refused(config: Configuration) -> list[ProblemItem]:
    """Return what the typed settings refuse although the schema lets it pass."""
    try:
        _ = config.settings
    except ConfigRejected as refused:
        return [ProblemItem(detail=refused.detail, code=refused.code, hint=refused.hint)]
    return []


def _without(layers: Iterable[Layer], paths: set[KeyPath]) -> list[Layer] | None:
    """Return the layers, each path taken out of the layer where it takes effect; None when none of them stands anywhere."""
    left = set(paths)
    kept = []
    for layer in reversed(list(layers)):
        here = {path: held for path in left if (held := _held(layer.table, path))}
        left -= here.keys()
        kept.append(Layer(layer.name, layer.place, _pruned(layer.table, set(here.values()), ()), layer.lines, layer.origins) if here else layer)
    return kept[::-1] if left != paths else None


def _held(table: Any, path: KeyPath) -> KeyPath:
    """Return the path to the value that ``path`` leads into: itself, or the list that holds it; () when the table has neither."""
    for depth, key in enumerate(path):
        if not isinstance(table, dict):
            return path[:depth]
        if key not in table:
            return ()
        table = table[key]
    return path


def _pruned(table: dict[str, Any], paths: set[KeyPath], at: KeyPath) -> dict[str, Any]:
    return {key: _pruned(value, paths, (*at, key)) if isinstance(value, dict) else value for key, value in table.items() if (*at, key) not in paths}
