"""Storage keys, and where their entries lie below the index folder."""

from __future__ import annotations

import re
from typing import Final

from luminai import InvalidInput

MAX_KEY: Final = 512
_LONGEST: Final = 200
_SEGMENT: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]+")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._/-]*")


def check_key(key: str) -> str:
    """Return the key.

    Raises:
        InvalidInput: not ``/``-joined segments of ``[A-Za-z0-9._-]``, a ``.`` or ``..`` segment, or above 512 characters.
    """
    if not 1 <= len(key) <= MAX_KEY or not all(_SEGMENT.fullmatch(part) for part in key.split("/")):
        hint = "Use segments of letters, digits, dot, dash and underscore, joined by /."
        raise InvalidInput(f"{key[:80]!r} is no storage key.", code="storage-local.bad-key", hint=hint)
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix.

    Raises:
        InvalidInput: no key can begin with it.
    """
    if len(prefix) > MAX_KEY or not _PREFIX.fullmatch(prefix):
        raise InvalidInput(f"{prefix[:80]!r} is no prefix of a storage key.", code="storage-local.bad-key")
    return prefix


def place(key: str) -> tuple[list[str], str]:
    """Return the folders and the file name of a key's entry.

    The name ends in ``~``, so that the keys ``a`` and ``a/b`` do not meet. File names have at most 255 bytes: a segment above 200 characters goes on
    in a folder ``<200 characters>+<next character>``. Neither sign can stand in a key.
    """
    folders: list[str] = []
    *segments, last = key.split("/")
    for segment in segments:
        chain, rest = _chain(segment)
        folders += [*chain, rest or "+"]
    chain, rest = _chain(last)
    return [*folders, *chain], f"{rest}~"


def _chain(segment: str) -> tuple[list[str], str]:
    chain: list[str] = []
    while len(segment) > _LONGEST:
        chain.append(f"{segment[:_LONGEST]}+{segment[_LONGEST]}")
        segment = segment[_LONGEST + 1 :]
    return chain, segment


def key_part(name: str, *, folder: bool) -> str:
    """Return what a name in the index adds to a key: the inverse of ``place``. Sorting by it sorts by key."""
    if not folder:
        return name.removesuffix("~")
    if name != "+" and "+" in name:
        return name.replace("+", "")
    return f"{name.replace('+', '')}/"
