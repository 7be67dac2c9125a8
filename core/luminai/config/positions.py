"""Where each key of a TOML file stands: ``tomllib`` gives values but no positions."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

KeyPath = tuple[str | int, ...]

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(#.*)?\Z")
_KEY_PART: Final = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the 1-based line of every table header and key of a valid TOML document, arrays of tables with their index.

    Keys inside an inline table or a multi-line array have the line of the key that holds them.
    """
    lines: dict[KeyPath, int] = {}
    arrays: dict[KeyPath, int] = {}
    prefix: KeyPath = ()
    rows = text.split("\n")
    number = 0
    while number < len(rows):
        row, here = rows[number], number + 1
        number += 1
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        header = _HEADER.match(row)
        if header:
            path = _resolve(_split(header[2])[0], arrays)
            if header[1] == "[[":
                arrays[path] = arrays.get(path, -1) + 1
                path = (*path, arrays[path])
            prefix = path
            lines.setdefault(prefix, here)
            continue
        keys, rest = _split(row)
        if not keys or not rest.startswith("="):
            continue
        number = _value_end(rows, here - 1, rest[1:])
        for depth in range(1, len(keys) + 1):
            lines.setdefault((*prefix, *keys[:depth]), here)
    return lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """Return the line of ``path`` or of the nearest thing that holds it, 0 when the file has neither."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return 0


def _split(text: str) -> tuple[list[str], str]:
    """Return the parts of the dotted key that ``text`` starts with, and what follows."""
    parts: list[str] = []
    position = 0
    while found := _KEY_PART.match(text, position):
        raw = found[1]
        parts.append(_unescape(raw) if raw is not None else found[2] if found[2] is not None else found[3])
        position = found.end()
        if text[position : position + 1] != ".":
            break
        position += 1
    return parts, text[position:].lstrip()


def _unescape(raw: str) -> str:
    value: str = tomllib.loads(f'k = "{raw}"')["k"]
    return value


def _resolve(parts: list[str], arrays: dict[KeyPath, int]) -> KeyPath:
    """Put the current index behind every part that is an array of tables."""
    path: KeyPath = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if path in arrays and position < len(parts) - 1:
            path = (*path, arrays[path])
    return path


def _value_end(rows: list[str], first: int, value: str) -> int:
    """Return the index of the row behind the value that starts in row ``first``: the shortest run of rows that parses."""
    collected = value
    for number in range(first, len(rows)):
        if number > first:
            collected += "\n" + rows[number]
        if _is_value(collected):
            return number + 1
    return first + 1


def _is_value(text: str) -> bool:
    stripped = text.lstrip()
    if not stripped.startswith(("[", "{", '"""', "'''")):
        return True
    try:
        tomllib.loads(f"k = {text}")
    except tomllib.TOMLDecodeError:
        return False
    return True


def lookup(table: Any, path: KeyPath) -> Any:
    """Return the value at ``path``, None when there is none."""
    value: Any = table
    for part in path:
        if not (part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int) and part < len(value)):
            return None
        value = value[part]
    return value
