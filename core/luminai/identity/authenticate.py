"""From an Authorization header to an actor, with a short memory so that most requests ask no database.

A verified credential is remembered for ``CACHE_SECONDS``; a revocation in this process takes effect at once, in another one within that time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Final

from luminai.contracts.context import Clock
from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import Actor
from luminai.contracts.runtime import Authenticator
from luminai.identity.keys import KeyStore
from luminai.identity.tokens import parse_key

CACHE_SECONDS: Final = 5.0
CACHE_SIZE: Final = 10_000
MAX_CREDENTIAL: Final = 8192


class Verifier:
    """Callable as the guard's ``authenticate``. ``authenticators`` of plugins are asked for credentials that are no API keys."""

    def __init__(self, keys: KeyStore, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Actor]] = OrderedDict()
        self._used: dict[str, None] = {}
        self.authenticators: tuple[Authenticator, ...] = ()

    async def __call__(self, authorization: bytes) -> Actor:
        """Return the actor of a header's value ``Bearer <credential>``.

        Raises:
            NotSignedIn: malformed, unknown, revoked or expired; the answer is the same for all.
        """
        name = hashlib.blake2b(authorization, digest_size=16).digest()
        known = self._known.get(name)
        now = self._clock.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        actor, lifetime = await self._verify(authorization)
        self._known[name] = (now + min(CACHE_SECONDS, lifetime), actor)
        self._known.move_to_end(name)
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        self._used[actor.id] = None
        return actor

    def forget(self) -> None:
        """Verify everything anew from now on (after a revocation)."""
        self._known.clear()

    async def note_use(self) -> None:
        """Write down which keys were used since the last call."""
        used, self._used = [actor_id for actor_id in self._used if actor_id.startswith("key_")], {}
        if used:
            await self._keys.touch(used)

    async def _verify(self, authorization: bytes) -> tuple[Actor, float]:
        try:
            scheme, _, credential = authorization.decode("ascii").partition(" ")
        except UnicodeDecodeError:
            raise _refused() from None
        credential = credential.strip()
        if not credential or len(credential) > MAX_CREDENTIAL:
            raise _refused()
        if scheme.lower() == "bearer" and credential.startswith("lum_"):
            return await self._verify_key(credential)
        for authenticator in self.authenticators:
            actor = await authenticator.authenticate(scheme.lower(), credential)
            if actor is not None:
                return actor, CACHE_SECONDS
        raise _refused()

    async def _verify_key(self, credential: str) -> tuple[Actor, float]:
        parsed = parse_key(credential)
        stored = await self._keys.find(parsed.id) if parsed else None
        if parsed is None or stored is None or not secrets.compare_digest(stored.digest, parsed.digest):
            raise _refused()
        info, now = stored.info, self._clock.now()
        if info.revoked_at is not None or (info.expires_at is not None and info.expires_at <= now):
            raise _refused()
        lifetime = (info.expires_at - now).total_seconds() if info.expires_at else CACHE_SECONDS
        return Actor(id=info.id, subject=info.subject, scopes=frozenset(info.scopes), name=info.name), lifetime


def _refused() -> NotSignedIn:
    return NotSignedIn("The credential does not hold.", code="bad-credential", hint="Check the key; it may be mistyped, revoked or expired.")
