r"""Patterns of texts end with ``\Z`` in the hub's code: Python's ``$`` also stands before a last line break, which would let ``"admin\n"`` through.

JSON Schema takes the patterns of ECMA-262, which know no ``\Z`` and whose ``$`` is the very end, so what is published is written that way, and
what is read from a schema is read that way.
"""

from __future__ import annotations

import re
from typing import Any, Final

_PARTS: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
"""What stands for itself in a pattern: something escaped, a set of characters, an end."""
_QUOTED: Final = re.compile(r"(matching regex|does not match) (['\"])((?:\\.|(?!\2).)*)(?:\2|\Z)", re.DOTALL)
"""How msgspec and jsonschema name a pattern in what they say: as Python writes a text. What was cut off has no quote at its end."""
_NAMED: Final = frozenset({"properties", "$defs", "schemas"})
"""Keywords whose own keys are names, not keywords."""
_VALUES: Final = frozenset({"default", "enum", "const", "examples"})


def published(schema: Any) -> Any:
    """Return a JSON Schema, or a document with schemas in it, with each pattern as ECMA-262 writes it."""
    if isinstance(schema, list):
        return [published(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: value if key in _VALUES else _published(key, value) for key, value in schema.items()}


def as_python(pattern: str) -> str:
    """Return what Python compiles to read the pattern of a JSON Schema as it is meant: each ``$`` is the very end."""
    return _PARTS.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern)


def as_said(message: str) -> str:
    r"""Return what a library says of a text that does not fit, with the pattern as it is published: ``matching regex '^a\\Z'`` in Python's writing
    becomes ``matching regex `^a$` ``.
    """
    return _QUOTED.sub(_named, message) if r"\Z" in message else message


def _named(found: re.Match[str]) -> str:
    pattern = re.sub(r"\\(.)", r"\1", found[3])  # what repr() wrote twice
    return f"{found[1]} `{_as_published(pattern)}`"


def _published(key: str, value: Any) -> Any:
    if key == "pattern" and isinstance(value, str):
        return _as_published(value)
    if key in _NAMED and isinstance(value, dict):
        return {name: published(inner) for name, inner in value.items()}
    return published(value)


def _as_published(pattern: str) -> str:
    return _PARTS.sub(lambda part: "$" if part[0] == r"\Z" else part[0], pattern)
