"""The Ed25519 keys that sign access tokens. Each goes from next to active to retiring to destroyed.

The next key is published a day before it signs, so that every process knows it in time; a retired one still verifies for as long as the last
token that it signed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.ids import new_id
from luminai.data.tables_people import signing_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_PREFIX: Final = "sig"
ACTIVE: Final = timedelta(days=30)
PUBLISHED: Final = timedelta(hours=24)
RETIRING: Final = timedelta(minutes=15)
FRESH_SECONDS: Final = 30.0
"""How old the copy in memory may be."""
ASK_SECONDS: Final = 1.0
"""Least time between two looks into the database for a key that is not in memory."""


class SigningKeyInfo(Struct, frozen=True, kw_only=True):
    """A key without its secret; ``state`` is next, active, retiring or destroyed, since ``changed_at``."""

    id: str
    state: str
    created_at: datetime
    changed_at: datetime


class _Ring(Struct, frozen=True):
    """What one process holds in memory. ``verifying`` has for each key the moment until which it verifies, None for open end."""

    read_at: float
    signing: tuple[str, Any]
    verifying: dict[str, tuple[Any, datetime | None]]


class SigningKeys:
    """The table of keys: which one signs, which ones verify."""

    def __init__(self, database: Database, clock: Clock, vault: Vault) -> None:
        self._db = database
        self._clock = clock
        self._vault = vault
        self._ring: _Ring | None = None

    async def signing(self) -> tuple[str, Ed25519PrivateKey]:
        """Return id and private key of the active one."""
        return (await self._current()).signing

    async def verifying(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a public key, None when there is none of that id or it verifies no more. An unknown id asks the database once a second at most."""
        ring = await self._current()
        if key_id not in ring.verifying and self._clock.monotonic() - ring.read_at >= ASK_SECONDS:
            ring = await self._read()
        key, until = ring.verifying.get(key_id, (None, None))
        return key if until is None or self._clock.now() < until else None

    async def list(self) -> list[SigningKeyInfo]:
        """Return all, newest first."""
        query = select(signing_keys).order_by(signing_keys.c.id.desc()).limit(100)

        def unit(session: Session) -> list[SigningKeyInfo]:
            rows = session.execute(query)
            return [SigningKeyInfo(id=row.id, state=row.state, created_at=row.created_at, changed_at=row.changed_at) for row in rows]

        return await self._db.read(unit)

    async def rotate(self, also: Callable[[Session, str], None]) -> str:
        """Have the next key sign from now on, and return its id. ``also(session, id)`` is done in the same unit."""
        now = self._clock.now()

        def unit(session: Session) -> str:
            promoted = self._rotate(session, now)
            also(session, promoted)
            return promoted

        promoted = await self._db.write(unit)
        await self._read()
        return promoted

    async def keep(self) -> None:
        """Rotate when the active key is 30 days old and the next one is a day, and destroy what retired: to be called now and then."""
        now = self._clock.now()
        columns = signing_keys.c

        def unit(session: Session) -> bool:
            old = (columns.state == "retiring") & (columns.changed_at <= now - RETIRING)
            destroyed = update(signing_keys).where(old).values(state="destroyed", private_key=None, changed_at=now)
            gone = session.execute(destroyed.returning(columns.id)).all()
            active = session.execute(select(columns.changed_at).where(columns.state == "active")).scalar()
            following = session.execute(select(columns.created_at).where(columns.state == "next")).scalar()
            if active is None or following is None or active > now - ACTIVE or following > now - PUBLISHED:
                return bool(gone)
            self._rotate(session, now)
            return True

        if await self._db.write(unit):
            await self._read()

    async def _current(self) -> _Ring:
        if self._ring is None or self._clock.monotonic() - self._ring.read_at >= FRESH_SECONDS:
            return await self._read()
        return self._ring

    async def _read(self) -> _Ring:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

        now, read_at = self._clock.now(), self._clock.monotonic()

        def look(session: Session) -> tuple[list[Any], bytes | None]:
            rows = list(session.execute(select(signing_keys).where(signing_keys.c.state != "destroyed")))
            active = next((row for row in rows if row.state == "active"), None)
            return rows, None if active is None else self._open(session, active)

        rows, private = await self._db.read(look)
        if private is None:
            await self._db.write(lambda session: self._begin(session, now))
            rows, private = await self._db.read(look)
        if private is None:
            raise RuntimeError("there is no active signing key")
        signing = next(row.id for row in rows if row.state == "active")
        verifying = {
            row.id: (Ed25519PublicKey.from_public_bytes(bytes(row.public_key)), row.changed_at + RETIRING if row.state == "retiring" else None)
            for row in rows
        }
        self._ring = _Ring(read_at, (signing, Ed25519PrivateKey.from_private_bytes(private)), verifying)
        return self._ring

    def _begin(self, session: Session, now: datetime) -> None:
        if session.execute(select(signing_keys.c.id).where(signing_keys.c.state == "active")).first() is None:
            self._make(session, "active", now)
            self._make(session, "next", now)

    def _rotate(self, session: Session, now: datetime) -> str:
        self._begin(session, now)
        columns = signing_keys.c
        promoted: str = session.execute(select(columns.id).where(columns.state == "next")).scalar_one()
        session.execute(update(signing_keys).where(columns.state == "active").values(state="retiring", changed_at=now))
        session.execute(update(signing_keys).where(columns.id == promoted).values(state="active", changed_at=now))
        self._make(session, "next", now)
        return promoted

    def _make(self, session: Session, state: str, now: datetime) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        key_id = new_id(KEY_PREFIX)
        sealed = self._vault.seal(session, subject=HUB_SUBJECT, place=_place(key_id), value=private.private_bytes_raw())
        public = private.public_key().public_bytes_raw()
        row = {"id": key_id, "state": state, "public_key": public, "private_key": sealed, "created_at": now, "changed_at": now}
        session.execute(insert(signing_keys).values(**row))

    def _open(self, session: Session, row: Any) -> bytes:
        return self._vault.open(session, subject=HUB_SUBJECT, place=_place(row.id), sealed=bytes(row.private_key))


def _place(key_id: str) -> str:
    return f"{signing_keys.name}.private_key:{key_id}"
