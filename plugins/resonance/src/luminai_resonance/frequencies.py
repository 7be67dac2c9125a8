"""The 16 frequencies: eight pairs of poles, as data."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from luminai import Unprocessable


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


def frequency_named(name: str) -> Frequency:
    """Return the frequency with this id, in any case and with hyphens for underscores.

    Raises:
        Unprocessable: there is none (code ``resonance.unknown-frequency``); the hint names the nearest.
    """
    known = {one.id: one for one in all_frequencies()}
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "GET /api/frequencies lists all."
        raise Unprocessable(f"There is no frequency {name[:60]!r}.", code="resonance.unknown-frequency", hint=hint)
    return known[wanted]
