"""From an Authorization header to an actor, with a short memory so that most requests ask no database.

A verified credential is remembered for ``CACHE_SECONDS``; what is revoked, suspended or taken away in this process takes effect at once, in another
one within that time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from luminai.contracts.context import Clock
from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import Actor
from luminai.contracts.runtime import Authenticator
from luminai.identity.access import Access
from luminai.identity.jwt import is_ours
from luminai.identity.keys import KeyStore
from luminai.identity.roles import within
from luminai.identity.tokens import parse_key

CACHE_SECONDS: Final = 5.0
CACHE_SIZE: Final = 10_000
MAX_CREDENTIAL: Final = 8192


class Verifier:
    """Callable as the guard's ``authenticate``: for API keys and people's access tokens. Plugins' ``authenticators`` are asked for any other."""

    def __init__(self, keys: KeyStore, access: Access, clock: Clock) -> None:
        self._keys = keys
        self._access = access
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Actor]] = OrderedDict()
        self._used: dict[str, None] = {}
        self.authenticators: tuple[Authenticator, ...] = ()
        self.forgotten: Callable[[str], None] = lambda _: None
        """Told whose credentials are verified anew from now on."""

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

    def forget(self, whose: str = "") -> None:
        """Verify anew from now on, after a revocation: a key, the credentials of a session or a person, or all."""
        if not whose:
            self._known.clear()
        for name in [name for name, (_, actor) in self._known.items() if whose in (actor.id, actor.session, actor.subject)]:
            del self._known[name]
        self.forgotten(whose)

    async def again(self, authorization: bytes) -> tuple[Actor, float]:
        """Return the actor of a credential that opened a stream as it stands now, and for how many seconds it holds at most. This is no use of it.

        Raises:
            NotSignedIn: as above.
        """
        return await self._verify(authorization, is_use=False)

    async def note_use(self) -> None:
        """Write down which keys and sessions were used since the last call."""
        await self._access.note_use()
        used, self._used = self._used, {}
        keys = [actor_id for actor_id in used if actor_id.startswith("key_")]
        if keys:
            try:
                await self._keys.touch(keys)
            except Exception:
                self._used = used | self._used
                raise

    async def _verify(self, authorization: bytes, *, is_use: bool = True) -> tuple[Actor, float]:
        try:
            scheme, _, credential = authorization.decode("ascii").partition(" ")
        except UnicodeDecodeError:
            raise _refused() from None
        credential = credential.lstrip(" ")  # RFC 9110, 11.4: spaces before it, and nothing else around it
        if not credential or len(credential) > MAX_CREDENTIAL:
            raise _refused()
        if scheme.lower() == "bearer" and credential.startswith("lum_"):
            return await self._verify_key(credential)
        if scheme.lower() == "bearer" and is_ours(credential):
            return await self._access.actor_of(credential, is_use=is_use)
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
        if not info.holds:
            raise _refused()
        lifetime = (info.expires_at - now).total_seconds() if info.expires_at else CACHE_SECONDS
        rights = await self._access.rights(info.subject, info.organisation)
        scopes = frozenset(info.scopes) if rights is None else within(info.scopes, rights)
        if not scopes:
            raise _refused()
        return Actor(id=info.id, subject=info.subject, scopes=scopes, name=info.name, organisation=info.organisation), lifetime


def _refused() -> NotSignedIn:
    return NotSignedIn("The credential does not hold.", code="bad-credential", hint="Check the key; it may be mistyped, revoked or expired.")
