"""The form of API keys and set-up tokens.

A key is ``lum_<live|test>_<person|service>_<32 hex of its id>_<43 characters of secret>_<6 of checksum>``. The prefix lets secret scanners find a
leaked key and tells people what they hold; the checksum, a CRC-32 of all before it in base 62 as in the tokens of code hosts, tells a mistyped key
without a look into the database. The secret has 256 bits, so one round of SHA-256 is enough to store it.

Keys of before had no words and another checksum: ``lum_<32 hex of the id>_<43 characters of secret><7 of checksum, base 36>``. They hold on.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
import zlib
from typing import Final, Literal

from msgspec import Struct

KeyEnvironment = Literal["live", "test"]
KeyKind = Literal["person", "service"]
"""Whose a key is: a person's own, or a program's."""

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET: Final = 43
_FORM: Final = re.compile(r"(lum_(?:live|test)_(?:person|service)_([0-9a-f]{32})_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})")
_OLD_FORM: Final = re.compile(r"(lum_([0-9a-f]{32})_[A-Za-z0-9_-]{43})([0-9a-z]{7})")


class ParsedKey(Struct, frozen=True):
    """A well-formed key: its id (``key_…``) and the digest of its secret."""

    id: str
    digest: bytes


def new_key(key_id: str, *, environment: KeyEnvironment, kind: KeyKind) -> tuple[str, bytes]:
    """Return the text of a new key for ``key_id`` (``key_<32 hex>``) and the digest to store."""
    secret = "".join(secrets.choice(_DIGITS) for _ in range(_SECRET))
    head = f"lum_{environment}_{kind}_{key_id.removeprefix('key_')}_{secret}"
    return f"{head}_{_checksum(head, _DIGITS, 6)}", digest(head)


def parse_key(text: str) -> ParsedKey | None:
    """Return the parts of a key, None when it is not one or its checksum is wrong."""
    if found := _FORM.fullmatch(text):
        expected = _checksum(found[1], _DIGITS, 6)
    elif found := _OLD_FORM.fullmatch(text):
        expected = _checksum(found[1], string.digits + string.ascii_lowercase, 7)
    else:
        return None
    return ParsedKey(f"key_{found[2]}", digest(found[1])) if found[3] == expected else None


def new_setup_token() -> tuple[str, bytes]:
    """Return a new set-up token, short enough to type, and the digest to store. 100 bits, so guessing it within its minutes is hopeless."""
    raw = base64.b32encode(secrets.token_bytes(13)).decode().rstrip("=").lower()[:20]
    token = "-".join(raw[start : start + 5] for start in range(0, 20, 5))
    return token, digest(token)


def digest(text: str) -> bytes:
    """Return the SHA-256 of a secret, as it is stored."""
    return hashlib.sha256(text.encode()).digest()


def _checksum(head: str, digits: str, length: int) -> str:
    number, text = zlib.crc32(head.encode()), ""
    for _ in range(length):
        number, rest = divmod(number, len(digits))
        text = digits[rest] + text
    return text
