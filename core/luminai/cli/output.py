"""How results are printed: JSON when piped, tables and lines for people."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from luminai.contracts.errors import HubError

_MAX_CELL = 60


def use_color(stream: TextIO, *, no_color: bool) -> bool:
    """Tell whether to colour: only on a terminal, and not with --no-color or NO_COLOR."""
    return stream.isatty() and not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def to_json(data: Any, *, pretty: bool) -> str:
    """Return data as one line of JSON, or indented."""
    raw = msgspec.json.encode(data)
    return (msgspec.json.format(raw, indent=2) if pretty else raw).decode()


def pick(data: Any, fields: Sequence[str]) -> Any:
    """Keep only the named fields of a dict or of each dict of a list."""
    if isinstance(data, list):
        return [pick(item, fields) for item in data]
    return {name: data.get(name) for name in fields} if isinstance(data, dict) else data


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as aligned columns, cut to the terminal's width."""
    names = list(columns) or list(rows[0] if rows else ())
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max([len(name), *(len(row[position]) for row in cells)]) for position, name in enumerate(names)]
    spare = shutil.get_terminal_size((120, 24)).columns - sum(widths[:-1]) - 2 * len(names)
    if widths and widths[-1] > spare > 10:
        widths[-1] = spare
    lines = [[name.upper() for name in names], *cells]
    return "\n".join("  ".join(cell[: widths[position]].ljust(widths[position]) for position, cell in enumerate(line)).rstrip() for line in lines)


def lines_of(data: dict[str, Any]) -> str:
    """Return a dict as ``key: value`` lines."""
    width = max((len(key) for key in data), default=0)
    return "\n".join(f"{key:<{width}}  {_value(value)}" for key, value in data.items())


def _cell(value: Any) -> str:
    text = _value(value)
    return text if len(text) <= _MAX_CELL * 3 else text[: _MAX_CELL * 3 - 1] + "…"


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return (
            ", ".join(map(str, value)) if isinstance(value, list) and all(isinstance(item, str) for item in value) else to_json(value, pretty=False)
        )
    return str(value).replace("\n", " ")


def show_error(error: HubError, *, as_json: bool, color: bool) -> None:
    """Print a problem to stderr: readable on a terminal, the same document as on HTTP otherwise."""
    if as_json:
        print(to_json(error.problem(), pretty=False), file=sys.stderr)
        return
    red, dim, off = ("\x1b[31m", "\x1b[2m", "\x1b[0m") if color else ("", "", "")
    print(f"{red}✗{off} {error.detail or error.title}  {dim}[{error.code}]{off}", file=sys.stderr)
    for item in error.errors:
        where = f"{item.file}:{item.line}" if item.line else item.file
        print(f"  {where} {item.pointer}: {item.detail}  {dim}{item.hint}{off}".rstrip(), file=sys.stderr)
    if error.hint:
        print(f"\nhint: {error.hint}", file=sys.stderr)
