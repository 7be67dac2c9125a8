"""``Vault`` over the database: what is sealed, how, and for whom.

Sealed bytes: ``01`` (the form), key version (4 bytes, big-endian), nonce (12, random), AES-256-GCM ciphertext, tag (16): 33 more than the value.
Associated data: subject, place and key version, each with its length, so that sealed bytes open for nobody else and nowhere else.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import event
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import InvalidInput
from luminai.contracts.vault import Vault
from luminai.data.vault.ring import NONCE_BYTES, KeyRing
from luminai.data.vault.subject_keys import DataKey, KeyCache, current_key, destroy_keys, key_of, make_key, not_sealed_here

FORM: Final = 1
MAX_SUBJECT: Final = 120
MAX_PLACE: Final = 300
MAX_VALUE: Final = 64 * 1024 * 1024
_HEAD: Final = struct.Struct(">BI")
_LEAST: Final = _HEAD.size + NONCE_BYTES + 16
_SEEN: Final = "luminai.vault"


class Guess(Struct, frozen=True):
    """A value that was sealed with a key that may be destroyed or wrapped anew by now: it counts where ``HOLDS`` is true of ``given``."""

    sealed: bytes
    given: dict[str, Any]


class SubjectVault:
    """Implements ``Vault`` with a ring of master keys."""

    def __init__(self, ring: KeyRing, clock: Clock) -> None:
        self.ring = ring
        self.cache = KeyCache()
        self._clock = clock

    def seal(self, session: Session, /, *, subject: str, place: str, value: bytes) -> bytes:
        """Return ``value`` sealed. A subject whose key was destroyed gets a new one; what the old one sealed stays closed.

        Raises:
            InvalidInput: subject, place or value is empty or too long (code ``bad-seal``).
            Unavailable: the master key is not there (code ``master-key-missing``).
        """
        return self.seal_all(session, subject=subject, values={place: value})[place]

    def seal_all(self, session: Session, /, *, subject: str, values: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return values sealed, by their places; the key is looked up once. Raises as ``seal`` does."""
        for place, value in values.items():
            _check(subject, place, value)
        key = self._current(session, subject)
        return {place: _sealed(key, subject, place, value) for place, value in values.items()}

    def guess(self, /, *, subject: str, place: str, value: bytes) -> Guess | None:
        """Return ``value`` sealed without a look at the database, None if the subject's key is not at hand; for a statement that says ``HOLDS``.

        Raises:
            InvalidInput: as ``seal`` does.
        """
        _check(subject, place, value)
        known = self.cache.get(subject)
        return Guess(_sealed(known[1], subject, place, value), {"key_subject": subject, "key_wrapped": known[0]}) if known is not None else None

    def open(self, session: Session, /, *, subject: str, place: str, sealed: bytes) -> bytes:
        """Return what was sealed. Raises as the contract says, and ``Unavailable`` while the master key is not there."""
        version = _version(sealed)
        return _opened(self._key(session, subject, version), subject, place, sealed)

    def open_at_hand(self, /, *, subject: str, place: str, sealed: bytes, wrapped: bytes | None) -> bytes | None:
        """Return what was sealed, None if that takes a look at the database.

        Args:
            wrapped: What the database holds of the subject's key, as the caller's own statement found it.

        Raises:
            HubError: as ``open`` does.
        """
        known = self.cache.get(subject)
        if known is None or known[0] != wrapped or known[1].version != _version(sealed):
            return None
        return _opened(known[1], subject, place, sealed)

    def destroy(self, session: Session, subject: str, /) -> int:
        """Destroy a subject's keys in the caller's unit: nothing that they sealed opens again, in no copy of the database either.

        Returns:
            How many keys there were. Each leaves a tombstone, which outlives the restore of an older backup (see ``tombstones``).
        """
        session.info.pop(_SEEN, None)
        count = destroy_keys(session, subject, self._clock.now())
        self.cache.drop(subject)
        return count

    def _current(self, session: Session, subject: str) -> DataKey:
        """Return the key to seal with, asked of the database once in a unit."""
        seen: dict[Any, DataKey] = session.info.setdefault(_SEEN, {})
        key = seen.get((subject, None))
        if key is None:
            key = current_key(session, self.ring, self.cache, subject) or make_key(session, self.ring, subject, self._clock.now())
            seen[subject, None] = key
        return key

    def _key(self, session: Session, subject: str, version: int) -> DataKey:
        """Return the key of a version, asked of the database once in a unit."""
        seen: dict[Any, DataKey] = session.info.setdefault(_SEEN, {})
        key = seen.get((subject, version))
        if key is None:
            key = seen[subject, version] = key_of(session, self.ring, self.cache, subject, version)
        return key


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, _: Any) -> None:
    """A savepoint that is lost takes along a key that was made in it, and brings back what was destroyed."""
    session.info.pop(_SEEN, None)


class PluginVault:
    """A plugin's view of the vault: only its own tables are places."""

    def __init__(self, vault: Vault, plugin_id: str) -> None:
        self._vault = vault
        self._prefix = f"{plugin_id.replace('-', '_')}__"

    def seal(self, session: Session, /, *, subject: str, place: str, value: bytes) -> bytes:
        """Seal; raises ``InvalidInput`` (code ``bad-seal``) for a place in another owner's tables."""
        return self._vault.seal(session, subject=subject, place=self._own(place), value=value)

    def open(self, session: Session, /, *, subject: str, place: str, sealed: bytes) -> bytes:
        """Open; raises as ``seal`` does, and as the contract says."""
        return self._vault.open(session, subject=subject, place=self._own(place), sealed=sealed)

    def _own(self, place: str) -> str:
        if not place.startswith(self._prefix):
            raise InvalidInput(f"The place must begin with {self._prefix}.", code="bad-seal", hint="Write <table>.<column>:<row id>.")
        return place


def _check(subject: str, place: str, value: bytes) -> None:
    if not 1 <= len(subject) <= MAX_SUBJECT or not 1 <= len(place) <= MAX_PLACE or len(value) > MAX_VALUE:
        hint = f"A subject has 1 to {MAX_SUBJECT} characters, a place 1 to {MAX_PLACE}, a value at most {MAX_VALUE:,} bytes."
        raise InvalidInput("That cannot be sealed.", code="bad-seal", hint=hint)


def _sealed(key: DataKey, subject: str, place: str, value: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return _HEAD.pack(FORM, key.version) + nonce + bytes(key.cipher.encrypt(nonce, value, _bound(subject, place, key.version)))


def _version(sealed: bytes) -> int:
    form, version = _HEAD.unpack_from(sealed) if len(sealed) >= _LEAST else (0, 0)
    if form != FORM or version >= 2**31:
        raise not_sealed_here()
    return int(version)


def _opened(key: DataKey, subject: str, place: str, sealed: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    body = _HEAD.size + NONCE_BYTES
    try:
        return bytes(key.cipher.decrypt(sealed[_HEAD.size : body], sealed[body:], _bound(subject, place, key.version)))
    except InvalidTag as error:
        raise not_sealed_here() from error


def _bound(subject: str, place: str, version: int) -> bytes:
    parts = [subject.encode(), place.encode()]
    return b"luminai sealed" + struct.pack(">I", version) + b"".join(struct.pack(">I", len(part)) + part for part in parts)
