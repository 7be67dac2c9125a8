"""The hub's own key for digests: what is stored of tokens, codes and addresses is worthless without it.

Addresses and six-digit codes can be guessed, so a plain hash of them could be reversed by trying; a keyed one cannot.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Database
from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.tables_people import identity_secrets

_NAME: Final = "digests"
_PLACE: Final = f"{identity_secrets.name}.sealed:{_NAME}"


class Digests:
    """Keyed digests. ``purpose`` keeps a digest from holding for anything else."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, purpose: str, *parts: str) -> bytes:
        """Return 32 bytes."""
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in (purpose, *parts):
            raw = part.encode()
            mac.update(len(raw).to_bytes(4) + raw)
        return mac.digest()

    def text(self, purpose: str, *parts: str) -> str:
        """Return the same as 43 characters."""
        return as_text(self.of(purpose, *parts))


class DigestKey:
    """Reads the key on first use, and makes it on the very first."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._db = database
        self._vault = vault
        self._digests: Digests | None = None

    async def get(self) -> Digests:
        """Return the digests."""
        if self._digests is None:
            self._digests = Digests(await self._db.write(self._find))
        return self._digests

    def _find(self, session: Session) -> bytes:
        sealed = session.execute(select(identity_secrets.c.sealed).where(identity_secrets.c.id == _NAME)).scalar()
        if sealed is not None:
            return self._vault.open(session, subject=HUB_SUBJECT, place=_PLACE, sealed=bytes(sealed))
        key = secrets.token_bytes(32)
        sealed = self._vault.seal(session, subject=HUB_SUBJECT, place=_PLACE, value=key)
        session.execute(insert(identity_secrets).values(id=_NAME, sealed=sealed))
        return key


def as_text(raw: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
