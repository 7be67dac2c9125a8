"""The canonical personas, read from the package's own data."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from luminai import Persona


@cache
def canonical_personas() -> tuple[Persona, ...]:
    """Return the five personas of ``personas.toml``."""
    table = tomllib.loads(files("luminai_personas").joinpath("personas.toml").read_text(encoding="utf-8"))
    return tuple(msgspec.convert(table["persona"], list[Persona]))
