"""Signatures of webhooks: of inbound ones for the ``verify`` of a plugin, and the one that the hub's own carry. All of it is pure: secrets, bytes and
the time come in, a refusal or a signature goes out.

Every comparison takes the same time wherever the first difference lies, and every secret that holds now is tried. The signed bytes are the raw
body as it came: a body that was decoded and encoded again is another one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from luminai.contracts.errors import NotSignedIn, Unavailable
from luminai.contracts.secret import Secret

TOLERANCE_SECONDS: Final = 300
"""How far a signed time may lie from now, both ways (Stripe's default)."""
MIN_SECRET_BYTES: Final = 16
MAX_HEADER: Final = 2048
MAX_PARTS: Final = 16
_WRONG_KEY_HINT: Final = "Both sides need the same secret, and the signature must cover the raw body."


class SigningSecret(Struct, frozen=True):
    """A secret's bytes, good until ``until`` (exclusive; None: for as long as it is configured). Its text shows nothing of it."""

    value: bytes
    until: datetime | None = None

    def __repr__(self) -> str:
        return f"SigningSecret(until={self.until})"


def signing_secrets(secrets: Sequence[Secret], *, old_until: datetime | None = None) -> tuple[SigningSecret, ...]:
    """Return the secrets of a setting, newest first; all but the first end at ``old_until``.

    Raises:
        Unavailable: there is none (code ``webhook-not-set-up``), or one is shorter than 16 bytes and could be guessed (``secret-too-short``).
        ConfigRejected: a reference points to nothing.
    """
    values = [secret.reveal().encode() for secret in secrets]
    if not values:
        raise Unavailable("No signing secret is configured, so nothing can be verified.", code="webhook-not-set-up", retry_after=3600)
    if any(len(value) < MIN_SECRET_BYTES for value in values):
        raise Unavailable(f"A signing secret is shorter than {MIN_SECRET_BYTES} bytes.", code="secret-too-short", retry_after=3600)
    return tuple(SigningSecret(value, None if number == 0 else old_until) for number, value in enumerate(values))


def standard_signature(key: bytes, message: str, stamp: int, body: bytes) -> str:
    """Return a message's signature as Standard Webhooks has it: ``v1,`` and the base64 of an HMAC-SHA256 of ``<id>.<seconds>.<body>``."""
    return "v1," + base64.b64encode(hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()


def check_signature(
    body: bytes,
    given: str | None,
    secrets: Iterable[SigningSecret],
    now: datetime,
    *,
    prefix: str = "",
    encoding: Literal["hex", "base64"] = "hex",
) -> None:
    """Check one header with an HMAC-SHA256 of the body, e.g. GitHub's ``X-Hub-Signature-256`` with ``prefix="sha256="``.

    Raises:
        NotSignedIn: no header (code ``signature-missing``), or one that no secret makes (``bad-signature``).
    """
    check_any_signature(body, [given], secrets, now, prefix=prefix, encoding=encoding)


def check_any_signature(
    body: bytes,
    given: Sequence[str | None],
    secrets: Iterable[SigningSecret],
    now: datetime,
    *,
    prefix: str = "",
    encoding: Literal["hex", "base64"] = "base64",
) -> None:
    """Check several headers of which one must fit, e.g. DocuSign's ``X-DocuSign-Signature-1`` to ``-n``: pass their values, None for absent ones.

    Raises:
        NotSignedIn: all are absent (code ``signature-missing``), or none fits (``bad-signature``).
    """
    found = [value for value in given if value]
    if not found:
        raise NotSignedIn(
            "The request carries no signature that is accepted here.", code="signature-missing", hint="Configure the secret at the sender."
        )
    if not _fits(body, found, secrets, now, prefix=prefix, encoding=encoding):
        raise NotSignedIn("The signature does not hold.", code="bad-signature", hint=_WRONG_KEY_HINT)


def check_timed_signature(
    body: bytes, given: str | None, secrets: Iterable[SigningSecret], now: datetime, *, tolerance: float = TOLERANCE_SECONDS
) -> datetime:
    """Check a header ``t=<seconds since 1970>,v1=<hex>[,v1=<hex>]`` with an HMAC-SHA256 of ``<t>.<body>`` (Stripe's form); return the signed time.

    Other versions than ``v1`` count for nothing, so that a weaker one cannot be put in its place.

    Args:
        tolerance: Seconds that the signed time may differ from ``now``, both ways.

    Raises:
        NotSignedIn: no header or no ``v1`` (code ``signature-missing``), malformed or not ours (``bad-signature``), too old or too
            early (``signature-expired``).
    """
    stamp, found = _parse_timed(given or "")
    if not _fits(stamp.encode() + b"." + body, found, secrets, now, prefix="", encoding="hex"):
        raise NotSignedIn("The signature does not hold.", code="bad-signature", hint=_WRONG_KEY_HINT)
    signed_at = datetime.fromtimestamp(int(stamp), now.tzinfo)
    if abs((now - signed_at).total_seconds()) > tolerance:
        raise NotSignedIn(f"The signature is not of the last {tolerance:g} s.", code="signature-expired", hint="Check both clocks.")
    return signed_at


def _fits(
    signed: bytes, given: Sequence[str], secrets: Iterable[SigningSecret], now: datetime, *, prefix: str, encoding: Literal["hex", "base64"]
) -> bool:
    """Tell whether a secret that holds now made one of the values. All pairs are compared, so that the time tells nothing."""
    values = [value.encode("utf-8", "replace") for value in given[:MAX_PARTS] if len(value) <= MAX_HEADER]
    fits = False
    for secret in secrets:
        if secret.until is not None and now >= secret.until:
            continue
        digest = hmac.new(secret.value, signed, hashlib.sha256).digest()
        wanted = prefix.encode() + (digest.hex().encode() if encoding == "hex" else base64.b64encode(digest))
        for value in values:
            fits |= hmac.compare_digest(wanted, value)
    return fits


def _parse_timed(header: str) -> tuple[str, list[str]]:
    stamps: list[str] = []
    found: list[str] = []
    parts = header.split(",") if len(header) <= MAX_HEADER else []
    for part in parts[:MAX_PARTS]:
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            found.append(value)
    if not found:
        raise NotSignedIn("The request carries no signature that is accepted here.", code="signature-missing", hint="It must hold t= and v1=.")
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdecimal() and len(stamps[0]) <= 11):
        raise NotSignedIn("The signature does not hold.", code="bad-signature", hint="It must hold one t= in seconds.")
    return stamps[0], found
