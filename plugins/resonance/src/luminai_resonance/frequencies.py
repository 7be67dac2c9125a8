"""The 16 frequencies: eight pairs of poles, as data."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct


class Frequency(Struct, frozen=True, kw_only=True):
    """One pole. ``side`` positive raises φᴱ, negative raises φᵗ; both together raise ψʳ; switching one off breaks its pair."""

    id: str
    title: str
    pair: str
    opposite: str
    side: str
    color: str
    glyph: str
    definition: str
    lore: dict[str, str] = {}


@cache
def all_frequencies() -> tuple[Frequency, ...]:
    """Return the 16 frequencies in their order."""
    table = tomllib.loads(files("luminai_resonance").joinpath("frequencies.toml").read_text(encoding="utf-8"))
    return tuple(msgspec.convert(table["frequency"], list[Frequency]))
