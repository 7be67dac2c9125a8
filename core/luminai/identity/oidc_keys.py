"""The keys of an OpenID provider: one algorithm a key, chosen by the key and never by the token.

The set is read from the address that the provider's own description names, and again at most every 60 s when a token names a key that is not in it.
Where that fails, the old set stays (PyJWT's CVE-2026-48524: unknown ids asked without end, and an error wiped the cache).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from luminai.contracts.context import Clock
from luminai.contracts.errors import HubError
from luminai.contracts.outbound import HttpClient
from luminai.identity.outside_providers import ask, unavailable

APART_SECONDS: Final = 60.0
FRESH_SECONDS: Final = 3600.0
"""After that long the set is read again, so that a key which the provider has withdrawn stops counting."""
MAX_KEYS: Final = 64
RSA_BITS: Final = (2048, 8192)
_KINDS: Final = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""The one algorithm of each kind and curve of key."""
_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")
"""All that is read of a key; private parts are not even looked at."""

_log = logging.getLogger("luminai.identity")


class VerifyingKey(Struct, frozen=True):
    """``key`` is a public key of ``cryptography``; ``id`` is "" where the provider gives none."""

    id: str
    algorithm: str
    key: Any


class _Set(Struct):
    keys: list[dict[str, Any]]


class ProviderKeys:
    """The key set of one provider."""

    def __init__(self, http: HttpClient, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._keys: tuple[VerifyingKey, ...] = ()
        self._url = ""
        self._asked_at = float("-inf")
        self._reading = asyncio.Lock()

    async def fitting(self, url: str, key_id: str, algorithm: str, *, anew: bool = False) -> list[VerifyingKey]:
        """Return the keys that a token may be signed by: that of its key id, or without one the only key of its algorithm.

        Args:
            url: Where the set is.
            anew: Read the set again first, if that was not done within 60 s.

        Raises:
            Upstream: there is no set and none can be had (code ``provider-unavailable``).
        """
        async with self._reading:
            age = self._clock.monotonic() - self._asked_at
            if not self._keys or self._url != url:
                await self._read(url)
            elif age >= FRESH_SECONDS or (anew and age >= APART_SECONDS):
                await self._try(url)
            found = self._of(key_id, algorithm)
            if not found and self._clock.monotonic() - self._asked_at >= APART_SECONDS:
                await self._try(url)
                found = self._of(key_id, algorithm)
            return found

    def _of(self, key_id: str, algorithm: str) -> list[VerifyingKey]:
        usable = [one for one in self._keys if one.algorithm == algorithm and (one.id == key_id or not key_id)]
        return usable if len(usable) == 1 else []

    async def _try(self, url: str) -> None:
        try:
            await self._read(url)
        except HubError as error:
            _log.warning("identity.provider-keys.kept", extra={"url": url, "reason": error.detail})

    async def _read(self, url: str) -> None:
        self._asked_at = self._clock.monotonic()
        found = await ask(self._http, "GET", url, _Set)
        keys = tuple(key for one in found.keys[:MAX_KEYS] if (key := key_of(one)) is not None)
        if not keys:
            raise unavailable("its key set has no key that the hub takes")
        self._keys, self._url = keys, url


def key_of(described: Mapping[str, Any]) -> VerifyingKey | None:
    """Return a key of a set (RFC 7517), None for one that signs nothing that the hub takes: RS256 from 2048 bits, ES256 and Ed25519."""
    import jwt

    algorithm = next((name for (kind, curve), name in _KINDS.items() if described.get("kty") == kind and described.get("crv") == curve), None)
    if algorithm is None or described.get("alg", algorithm) != algorithm or described.get("use", "sig") != "sig":
        return None
    key_id = described.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > 255:
        return None
    try:
        key = jwt.PyJWK({name: described[name] for name in _PUBLIC if name in described}, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if algorithm == "RS256" and not RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        return None
    return VerifyingKey(key_id, algorithm, key)
