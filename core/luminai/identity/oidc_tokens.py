"""ID tokens of an OpenID provider, judged by OpenID Connect Core 3.1.3.7, and stricter where PyJWT or the standard is lenient."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from luminai.identity.oidc_keys import ProviderKeys, VerifyingKey
from luminai.identity.outside_providers import Given, read_claims, refused

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
MAX_BYTES: Final = 16_384
LEEWAY_SECONDS: Final = 30
MAX_AGE_SECONDS: Final = 600
"""A token is made while somebody waits for it: one that is older than the round trip may last was made for another."""
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HASHES: Final = {"RS256": hashlib.sha256, "ES256": hashlib.sha256, "EdDSA": hashlib.sha512}
"""What ``at_hash`` is made with: the hash of the signature's algorithm; Ed25519 has SHA-512."""


class _Header(Struct, frozen=True):
    """Header parameters that bring or place a key, or change how the token is read, are refused, whatever they say."""

    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: Any = None
    b64: Any = None
    zip: Any = None
    jwk: Any = None
    jku: Any = None
    x5c: Any = None
    x5u: Any = None


class Claims(Struct, frozen=True):
    """What a token says; times in seconds since 1970."""

    iss: str
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str | None = None
    azp: str | None = None
    at_hash: str | None = None
    auth_time: float | None = None
    email: str | None = None
    email_verified: bool | str | None = None
    name: str | None = None


async def verified_claims(token: str, access_token: str, *, given: Given, keys: ProviderKeys, keys_url: str, nonce: str, now: datetime) -> Claims:
    """Return the claims of an ID token that holds.

    Args:
        access_token: Came with it; ``at_hash`` must fit it.
        keys_url: Where the provider's keys are.
        nonce: What the request said.

    Raises:
        NotSignedIn: it does not hold; the detail says why (code ``provider-answer-refused``).
        Upstream: the provider's keys cannot be read.
    """
    head = _header(token)
    key_id = head.kid or ""
    raw = _signed(token, await keys.fitting(keys_url, key_id, head.alg), given)
    if raw is None and not key_id:  # without an id nobody can tell that the key is another one now
        raw = _signed(token, await keys.fitting(keys_url, key_id, head.alg, anew=True), given)
    if raw is None:
        raise refused("no key of the service has signed it")
    claims: Claims = read_claims(raw, Claims)
    _check_receiver(claims, given.client_id)
    moment = now.timestamp()
    if not (claims.exp > moment - LEEWAY_SECONDS and moment - MAX_AGE_SECONDS - LEEWAY_SECONDS <= claims.iat <= moment + LEEWAY_SECONDS):
        raise refused("it is expired, too old, or from the future")
    if not (claims.nonce is None and not given.has_nonce) and not secrets.compare_digest((claims.nonce or "").encode(), nonce.encode()):
        raise refused("it was made for another sign-in")
    if claims.at_hash is not None and not secrets.compare_digest(claims.at_hash.encode(), _hash_of(access_token, head.alg).encode()):
        raise refused("the access token is not the one that it came with")
    return claims


def authenticated_at(claims: Claims, now: datetime) -> datetime | None:
    """Return when the person authenticated at the provider, None if it does not say. It is never later than now."""
    if claims.auth_time is None or not 0 <= claims.auth_time <= now.timestamp():
        return None
    return datetime.fromtimestamp(claims.auth_time, UTC)


def _header(token: str) -> _Header:
    if len(token) > MAX_BYTES or not _FORM.fullmatch(token):
        raise refused("it is no token")
    first = token.partition(".")[0]
    try:
        head = msgspec.json.decode(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)), type=_Header)
    except (ValueError, RecursionError):
        raise refused("it is no token") from None
    if head.alg not in ALGORITHMS:
        raise refused("it is signed in a way that the hub does not take")
    if (head.typ or "JWT").upper() != "JWT" or any(getattr(head, name) is not None for name in ("crit", "b64", "zip", "jwk", "jku", "x5c", "x5u")):
        raise refused("its header says what no ID token may say")
    return head


def _signed(token: str, keys: list[VerifyingKey], given: Given) -> Any:
    """Return the claims if one of the keys has signed the token for us, None when none has."""
    import jwt

    lenient: Any = {
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "verify_jti": False,
        "require": ["iss", "sub", "aud", "exp", "iat"],
    }
    for one in keys:
        try:
            return jwt.decode(token, one.key, algorithms=[one.algorithm], audience=given.client_id, issuer=given.issuer, options=lenient)
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidIssuerError:
            raise refused("it is of another issuer") from None
        except jwt.InvalidAudienceError:
            raise refused("it was made for another client") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise refused("it cannot be read") from None
    return None


def _check_receiver(claims: Claims, client_id: str) -> None:
    """Refuse a token that was made for others too, unless it says that we asked for it."""
    several = isinstance(claims.aud, list) and len(claims.aud) > 1
    if (claims.azp is not None or several) and claims.azp != client_id:
        raise refused("another client has asked for it")


def _hash_of(access_token: str, algorithm: str) -> str:
    digest = _HASHES[algorithm](access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
