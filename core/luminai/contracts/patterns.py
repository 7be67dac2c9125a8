r"""Patterns of texts end with ``\Z`` in the hub's code: Python's ``$`` also stands before a last line break, which would let ``"admin\n"`` through.

JSON Schema takes the patterns of ECMA-262, which know no ``\Z`` and whose ``$`` is the very end, so what is published is written that way, and
what is read from a schema is read that way.
"""

from __future__ import annotations

import re
from typing import Any, Final

_PARTS: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
"""What stands for itself in a pattern: something escaped, a set of characters, an end."""
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


def _published(key: str, value: Any) -> Any:
    if key == "pattern" and isinstance(value, str):
        return _PARTS.sub(lambda part: "$" if part[0] == r"\Z" else part[0], value)
    if key in _NAMED and isinstance(value, dict):
        return {name: published(inner) for name, inner in value.items()}
    return published(value)
