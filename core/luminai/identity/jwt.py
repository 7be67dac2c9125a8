"""Access tokens: JWT signed with Ed25519, ten minutes long.

PyJWT checks the signature and the shape of registered claims; it takes things that we do not (a token of another type, a trailing ``=``, duplicate
claims, an expiry in the year 10^30), so the form is judged here before, and times by the hub's clock after.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai.contracts.context import Clock
from luminai.contracts.errors import NotSignedIn
from luminai.identity.signing_keys import KEY_PREFIX, SigningKeys

ALGORITHM: Final = "EdDSA"
ACCESS: Final = "at+jwt"
"""The type of an access token (RFC 9068, 2.1)."""
ISSUER: Final = "luminai"
AUDIENCE: Final = "luminai-hub"
LIFETIME: Final = timedelta(minutes=10)
LEEWAY_SECONDS: Final = 30
MAX_BYTES: Final = 4096
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{1,3600}\.[A-Za-z0-9_-]{86}")
_REQUIRED: Final = ("exp", "iat", "nbf", "iss", "aud", "sub", "jti")


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header may hold: so ``crit``, ``jku``, ``jwk``, ``x5u``, ``x5c``, ``zip`` and ``b64`` are refused, whatever they say."""

    alg: str
    kid: str
    typ: str


class Claims(Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says: times in whole seconds since 1970, ``sub`` the person, ``sid`` the session."""

    iss: str
    aud: str
    sub: str
    sid: str
    jti: str
    iat: int
    nbf: int
    exp: int


class AccessTokens:
    """Signs and verifies."""

    def __init__(self, keys: SigningKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def issue(self, *, person: str, session: str) -> str:
        """Return a new access token."""
        import jwt

        key_id, private = await self._keys.signing()
        now = int(self._clock.now().timestamp())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": person, "sid": session, "jti": secrets.token_urlsafe(16)}
        times = {"iat": now, "nbf": now, "exp": now + int(LIFETIME.total_seconds())}
        return jwt.encode(claims | times, private, algorithm=ALGORITHM, headers={"kid": key_id, "typ": ACCESS})

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token that holds.

        Raises:
            NotSignedIn: it does not; the answer is the same for all reasons (code ``bad-credential``).
        """
        import jwt

        head = _read(token)
        key = await self._keys.verifying(head.kid)
        if key is None:
            raise refused()
        options: Any = {"require": list(_REQUIRED), "strict_aud": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            raw = jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options)
            claims = msgspec.convert(raw, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            raise refused() from None
        now = self._clock.now().timestamp()
        begun = max(claims.iat, claims.nbf) <= now + LEEWAY_SECONDS
        if not begun or now >= claims.exp + LEEWAY_SECONDS or claims.exp - claims.iat > LIFETIME.total_seconds():
            raise refused()
        return claims


def is_ours(credential: str) -> bool:
    """Tell whether a credential claims to be signed by a key of this hub; those of others are for plugins to judge."""
    if len(credential) > MAX_BYTES or credential.count(".") != 2:
        return False
    try:
        header = json.loads(_decode(credential.partition(".")[0]))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and str(header.get("kid", "")).startswith(f"{KEY_PREFIX}_")


def refused() -> NotSignedIn:
    """Return the one answer to every token that does not hold."""
    return NotSignedIn("The credential does not hold.", code="bad-credential", hint="Refresh it, or sign in again.")


def _read(token: str) -> _Header:
    """Return the header of a token in the one form that we write: canonical base64url, no duplicate names, our algorithm, our type."""
    if not _FORM.fullmatch(token):
        raise refused()
    try:
        first, _ = (_objects(part) for part in token.split(".")[:2])
        _decode(token.rpartition(".")[2])
        head = msgspec.convert(first, _Header)
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise refused() from None
    if head.alg != ALGORITHM or head.typ != ACCESS:
        raise refused()
    return head


def _objects(part: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    return json.loads(_decode(part), object_pairs_hook=unique)


def _decode(part: str) -> bytes:
    """Decode base64url; text that encodes the same bytes in another way is refused."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise ValueError("no base64") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ValueError("not canonical")
    return raw
