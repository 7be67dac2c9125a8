"""Values, keys and comments as TOML text: ``tomllib`` only reads."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_BARE: Final = re.compile(r"^[A-Za-z0-9_-]+\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
WIDTH: Final = 110


def inline(value: Any) -> str:
    """Return plain data on one line.

    Raises:
        ValueError: there is a null in it, for which TOML has no word.
    """
    if value is None:
        raise ValueError("TOML has no null")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {inline(inner)}" for name, inner in value.items()) + " }" if value else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def key(name: str) -> str:
    """Return one part of a key, quoted where it must be."""
    return name if _BARE.match(name) else _text(name)


def dotted(path: Iterable[str]) -> str:
    """Return a key path, for example of a table's header."""
    return ".".join(map(key, path))


def one_line(text: str) -> str:
    """Return text that cannot leave the line it is put on, however it was written."""
    return " ".join(_CONTROL.sub(" ", text).split())


def comment(text: str) -> list[str]:
    """Return text as comment lines; whatever is in it, nothing of it becomes TOML."""
    return [f"# {line}" for line in textwrap.wrap(one_line(text), WIDTH, break_long_words=False, break_on_hyphens=False)]


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
