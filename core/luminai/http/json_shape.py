"""Bounds on the shape of a JSON body, whatever type a route reads it into: depth, sizes, numbers, characters.

Nearly every body is cleared by a few scans at the speed of C: it cannot nest deeper than it has brackets, nor list more than it has commas. Only what
those cannot clear is decoded and walked, in a thread when it is large.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import msgspec

from luminai.contracts.errors import InvalidInput
from luminai.contracts.identity import MAX_TEXT

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 10_000
MAX_KEYS: Final = 256
MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, 6)."""
IN_THREAD: Final = 64 * 1024
_SUSPECT: Final = re.compile(rb"[0-9]{16}|[0-9][eE]\+?[0-9]{2}|\\u(?:0000|[dD][89a-fA-F])")


async def check_shape(body: bytes, max_text: int = MAX_TEXT) -> None:
    """Raise unless a JSON body is within bounds; a text in it has at most ``max_text`` characters.

    Raises:
        InvalidInput: it is no JSON in UTF-8 (``malformed-body``), or goes beyond a bound (``too-deep``, ``too-large-inside``, ``bad-number``,
            ``bad-text``).
    """
    if not body:
        return
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("The body is not UTF-8.", code="malformed-body", hint="Send JSON in UTF-8.") from error
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= MAX_DEPTH and body.count(b",") < MAX_KEYS and len(body) <= MAX_TEXT and not _SUSPECT.search(body):
        return
    if len(body) > IN_THREAD:
        await asyncio.to_thread(_look, body, max_text)
    else:
        _look(body, max_text)


def _look(body: bytes, max_text: int) -> None:
    try:
        value = msgspec.json.decode(body)
    except RecursionError as error:
        raise _too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("The body cannot be read.", code="malformed-body", hint="Send JSON in UTF-8.") from error
    _walk(value, MAX_DEPTH, max_text)


def _walk(value: Any, depth: int, max_text: int) -> None:
    if isinstance(value, str):
        _check_text(value, max_text)
    elif isinstance(value, dict | list):
        if not depth:
            raise _too_deep()
        most, what = (MAX_KEYS, "keys") if isinstance(value, dict) else (MAX_ITEMS, "items")
        if len(value) > most:
            raise InvalidInput(f"At most {most} {what} in one place.", code="too-large-inside")
        for inner in value:
            _walk(inner, depth - 1, max_text)
        if isinstance(value, dict):
            for inner in value.values():
                _walk(inner, depth - 1, max_text)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > MAX_INTEGER:
        raise InvalidInput(f"Numbers go from -{MAX_INTEGER} to {MAX_INTEGER}.", code="bad-number", hint="Send larger ones as text.")


def _check_text(text: str, max_text: int) -> None:
    if len(text) > max_text:
        raise InvalidInput(f"A text has at most {max_text} characters.", code="too-large-inside")
    if "\0" in text:
        raise InvalidInput("A text must not hold U+0000.", code="bad-text", hint="No database keeps it.")


def _too_deep() -> InvalidInput:
    return InvalidInput(f"The body is nested more than {MAX_DEPTH} deep.", code="too-deep")
