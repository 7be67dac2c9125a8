"""The form of API keys and set-up tokens.

A key is ``lum_<32 hex of its id>_<43 characters of secret><7 characters of checksum>``. The prefix lets secret scanners find a leaked key, the
checksum lets them (and us) tell a mistyped one without asking the database. The secret has 256 bits, so one round of SHA-256 is enough to store it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import zlib
from typing import Final

from msgspec import Struct

_FORM: Final = re.compile(r"^lum_([0-9a-f]{32})_([A-Za-z0-9_-]{43})([0-9a-z]{7})$")


class ParsedKey(Struct, frozen=True):
    """A well-formed key: its id (``key_…``) and the digest of its secret."""

    id: str
    digest: bytes


def new_key(key_id: str) -> tuple[str, bytes]:
    """Return the text of a new key for ``key_id`` (``key_<32 hex>``) and the digest to store."""
    head = f"lum_{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}"
    return head + _checksum(head), digest(head)


def parse_key(text: str) -> ParsedKey | None:
    """Return the parts of a key, None when it is not one or its checksum is wrong."""
    found = _FORM.match(text)
    if found is None or not secrets.compare_digest(_checksum(text[:-7]), text[-7:]):
        return None
    return ParsedKey(f"key_{found[1]}", digest(text[:-7]))


def new_setup_token() -> tuple[str, bytes]:
    """Return a new set-up token, short enough to type, and the digest to store. 100 bits, so guessing it within its minutes is hopeless."""
    raw = base64.b32encode(secrets.token_bytes(13)).decode().rstrip("=").lower()[:20]
    token = "-".join(raw[start : start + 5] for start in range(0, 20, 5))
    return token, digest(token)


def digest(text: str) -> bytes:
    """Return the SHA-256 of a secret, as it is stored."""
    return hashlib.sha256(text.encode()).digest()


def _checksum(head: str) -> str:
    number, text = zlib.crc32(head.encode()), ""
    for _ in range(7):
        number, rest = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + text
    return text
