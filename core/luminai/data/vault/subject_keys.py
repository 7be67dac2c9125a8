"""Data keys of subjects in the database; unwrapped ones are kept in memory for a short while."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import LargeBinary, bindparam, exists, func, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError, NotFound, Unavailable
from luminai.data.ids import new_id
from luminai.data.prepared import Prepared
from luminai.data.tables_vault import master_keys, subject_keys
from luminai.data.vault.ring import KEY_BYTES, KeyRing, MasterKey

CACHED: Final = 10_000
CACHED_SECONDS: Final = 60.0
ACTIVE: Final = "active"
RETIRING: Final = "retiring"
DESTROYED: Final = "destroyed"
_KEY: Final = select(subject_keys.c.version, subject_keys.c.id, subject_keys.c.wrapped, subject_keys.c.master_key).where(
    subject_keys.c.subject == bindparam("subject")
)
_CURRENT: Final = Prepared(_KEY.where(subject_keys.c.state == ACTIVE))
HOLDS: Final = exists().where(
    subject_keys.c.subject == bindparam("key_subject"), subject_keys.c.wrapped == bindparam("key_wrapped", type_=LargeBinary())
)
"""Condition of a statement: the database still holds the key of a subject that a ``Guess`` was sealed with."""
_VERSION: Final = Prepared(_KEY.where(subject_keys.c.version == bindparam("version")))


class DataKey(Struct, frozen=True):
    """A data key in use; ``cipher`` is an ``AESGCM``."""

    version: int
    cipher: Any

    def __repr__(self) -> str:
        return f"DataKey({self.version})"


class KeyCache:
    """Unwrapped keys, one a subject, the least used one dropped first. An entry counts only for the wrapped bytes that the database holds now, so
    that a unit that was rolled back, another process or a restored backup can never make it lie."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[bytes, DataKey, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, subject: str) -> tuple[bytes, DataKey] | None:
        """Return a subject's key and the wrapped bytes that it counts for, None when it is not known."""
        with self._lock:
            found = self._kept.get(subject)
            if found is None or found[2] < time.monotonic():
                return None
            self._kept.move_to_end(subject)
            return found[:2]

    def put(self, subject: str, wrapped: bytes, key: DataKey) -> None:
        """Keep a key."""
        with self._lock:
            self._kept[subject] = (wrapped, key, time.monotonic() + CACHED_SECONDS)
            self._kept.move_to_end(subject)
            if len(self._kept) > CACHED:
                self._kept.popitem(last=False)

    def drop(self, subject: str) -> None:
        """Forget a subject."""
        with self._lock:
            self._kept.pop(subject, None)

    def expire(self) -> None:
        """Forget what has not been used for a while."""
        now = time.monotonic()
        with self._lock:
            for subject in [one for one, (_, _, until) in self._kept.items() if until < now]:
                del self._kept[subject]


def current_key(session: Session, ring: KeyRing, cache: KeyCache, subject: str) -> DataKey | None:
    """Return the key to seal with, None if the subject has none.

    Raises:
        Unavailable: the master key is not there (code ``master-key-missing``).
    """
    row = _CURRENT.first(session, {"subject": subject})
    return None if row is None else _unwrapped(ring, cache, subject, row.version, row)


def make_key(session: Session, ring: KeyRing, subject: str, now: datetime) -> DataKey:
    """Make a subject's next key and return it. Raises as ``current_key`` does."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    newest = session.execute(select(func.max(subject_keys.c.version)).where(subject_keys.c.subject == subject)).scalar_one() or 0
    key_id, version, secret, master = new_id("dek"), newest + 1, secrets.token_bytes(KEY_BYTES), active_master(session, ring)
    row = {"subject": subject, "version": version, "id": key_id, "state": ACTIVE, "master_key": master.id, "created_at": now}
    session.execute(insert(subject_keys).values(**row, wrapped=master.wrap(secret, _bound(key_id, subject, version))))
    return DataKey(version, AESGCM(secret))


def key_of(session: Session, ring: KeyRing, cache: KeyCache, subject: str, version: int) -> DataKey:
    """Return the key of a version.

    Raises:
        NotFound: it was destroyed (code ``shredded``).
        HubError: there never was one (code ``not-sealed-here``).
        Unavailable: the master key is not there (code ``master-key-missing``).
    """
    row = _VERSION.first(session, {"subject": subject, "version": version})
    if row is None:
        raise not_sealed_here()
    if row.wrapped is None:
        raise NotFound("This was erased: the key of its subject is destroyed.", code="shredded")
    return _unwrapped(ring, cache, subject, version, row)


def destroy_keys(session: Session, subject: str, now: datetime) -> int:
    """Take the wrapped bytes out of a subject's keys and return how many they were."""
    gone = {"state": DESTROYED, "wrapped": None, "destroyed_at": now}
    done = session.execute(update(subject_keys).where(subject_keys.c.subject == subject, subject_keys.c.state == ACTIVE).values(**gone))
    return int(done.rowcount)  # type: ignore[attr-defined]


def rewrap(session: Session, ring: KeyRing, batch: int) -> int:
    """Wrap up to ``batch`` keys by the active master key that were wrapped by another one; return how many they were."""
    active = active_master(session, ring)
    live = (subject_keys.c.state == ACTIVE) & (subject_keys.c.master_key != active.id)
    rows = session.execute(select(subject_keys).where(live).limit(batch)).all()
    for row in rows:
        old = _master(ring, row.master_key)
        bound = _bound(row.id, row.subject, row.version)
        wrapped = active.wrap(old.unwrap(bytes(row.wrapped), bound), bound)
        same = (subject_keys.c.subject == row.subject) & (subject_keys.c.version == row.version)
        session.execute(update(subject_keys).where(same).values(wrapped=wrapped, master_key=active.id))
    return len(rows)


def opens(row: Any, ring: KeyRing) -> bool:
    """Tell whether a row's wrapped bytes can be unwrapped."""
    from cryptography.exceptions import InvalidTag

    master = ring.find(row.master_key)
    try:
        return master is not None and len(master.unwrap(bytes(row.wrapped), _bound(row.id, row.subject, row.version))) == KEY_BYTES
    except InvalidTag:
        return False


def active_master(session: Session, ring: KeyRing) -> MasterKey:
    """Return the master key that wraps. Read in the unit that wraps by it: a rotation that ends meanwhile and that unit cannot both commit.

    Raises:
        Unavailable: it is not there (code ``master-key-missing``).
    """
    return _master(ring, session.execute(select(master_keys.c.id).where(master_keys.c.state == ACTIVE)).scalar_one_or_none() or "")


def not_sealed_here() -> HubError:
    """Return the refusal of bytes that no key of this hub sealed for this place."""
    hint = "Look at `luminai vault verify` and restore a backup if the database was changed from outside."
    return HubError("These sealed bytes do not open.", code="not-sealed-here", hint=hint)


def _unwrapped(ring: KeyRing, cache: KeyCache, subject: str, version: int, row: Any) -> DataKey:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    wrapped = bytes(row.wrapped)
    known = cache.get(subject)
    if known is not None and known[0] == wrapped and known[1].version == version:
        return known[1]
    try:
        key = DataKey(version, AESGCM(_master(ring, row.master_key).unwrap(wrapped, _bound(row.id, subject, version))))
    except InvalidTag as error:
        raise not_sealed_here() from error
    cache.put(subject, wrapped, key)
    return key


def _master(ring: KeyRing, key_id: str) -> MasterKey:
    found = ring.find(key_id)
    if found is None:
        raise Unavailable("The master key that this needs is not there.", code="master-key-missing", hint="`luminai vault status` shows what to do.")
    return found


def _bound(key_id: str, subject: str, version: int) -> bytes:
    return f"luminai data key\0{key_id}\0{version}\0{subject}".encode()
