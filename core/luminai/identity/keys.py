"""API keys: made once, shown once, stored as a digest, revoked for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import InvalidInput, NotFound, NotSignedIn
from luminai.data.ids import new_id
from luminai.data.tables import api_keys, setup_tokens
from luminai.identity.tokens import digest, new_key, new_setup_token

MAX_SCOPES: Final = 64
SETUP_MINUTES: Final = 15
SETUP_NAME: Final = "operator"


class KeyInfo(Struct, frozen=True, kw_only=True):
    """A key without its secret. Times are aware UTC; ``scopes`` sorted."""

    id: str
    name: str
    subject: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class StoredKey(Struct, frozen=True):
    """What authentication compares with."""

    info: KeyInfo
    digest: bytes


class KeyStore:
    """The hub's API keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def create(self, name: str, scopes: Sequence[str], *, subject: str = "operator", expires_at: datetime | None = None) -> tuple[KeyInfo, str]:
        """Make a key and return it with its text, which is not kept.

        Raises:
            InvalidInput: no or too long a name, no or too many scopes, or an expiry in the past.
        """
        info = self._info(name, scopes, subject, expires_at)
        text, secret = new_key(info.id)
        await self._db.write(lambda session: _insert(session, info, secret))
        return info, text

    async def list(self, *, limit: int = 20, cursor: str | None = None) -> tuple[list[KeyInfo], str | None]:
        """Return a page of keys, newest first, and the next cursor."""

        def unit(session: Session) -> list[KeyInfo]:
            query = select(api_keys).order_by(api_keys.c.id.desc()).limit(limit + 1)
            if cursor:
                query = query.where(api_keys.c.id < cursor)
            return [_info(row) for row in session.execute(query)]

        found = await self._db.read(unit)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def revoke(self, key_id: str) -> None:
        """End a key; ending it twice is the same.

        Raises:
            NotFound: there is no such key.
        """
        now = self._clock.now()

        def unit(session: Session) -> bool:
            row = session.execute(select(api_keys.c.revoked_at).where(api_keys.c.id == key_id)).first()
            if row is not None and row.revoked_at is None:
                session.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
            return row is not None

        if not await self._db.write(unit):
            raise NotFound(f"There is no key {key_id}.", code="key-not-found", hint="`luminai keys list` shows them.")

    async def find(self, key_id: str) -> StoredKey | None:
        """Return a key for authentication."""

        def unit(session: Session) -> StoredKey | None:
            row = session.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
            return StoredKey(_info(row), bytes(row.digest)) if row else None

        return await self._db.read(unit)

    async def touch(self, key_ids: Sequence[str]) -> None:
        """Note that these keys were used."""
        now = self._clock.now()

        def unit(session: Session) -> None:
            session.execute(update(api_keys).where(api_keys.c.id.in_(key_ids)).values(last_used_at=now))

        await self._db.write(unit)

    async def offer_setup(self) -> str | None:
        """Return a fresh one-time set-up token if the hub has never had a key, else None. An older token is void from then on."""
        token, secret = new_setup_token()
        expires = self._clock.now() + timedelta(minutes=SETUP_MINUTES)

        def unit(session: Session) -> bool:
            session.execute(delete(setup_tokens))
            if session.execute(select(api_keys.c.id).limit(1)).first() is not None:
                return False
            session.execute(insert(setup_tokens).values(name=SETUP_NAME, digest=secret, expires_at=expires))
            return True

        return token if await self._db.write(unit) else None

    async def redeem_setup(self, token: str, name: str) -> tuple[KeyInfo, str]:
        """Turn the set-up token into the operator's key, once.

        Raises:
            NotSignedIn: wrong, used or expired token (code ``setup-token-refused``).
        """
        info = self._info(name, ("*",), SETUP_NAME, None)
        text, secret = new_key(info.id)
        given, now = digest(token.strip().lower()), self._clock.now()

        def unit(session: Session) -> bool:
            row = session.execute(select(setup_tokens).where(setup_tokens.c.digest == given)).first()
            if row is None or row.expires_at < now:
                return False
            session.execute(delete(setup_tokens))
            _insert(session, info, secret)
            return True

        if not await self._db.write(unit):
            hint = "Restart the hub for a new one (it offers one as long as there is no key), or use `luminai keys create` while it is stopped."
            raise NotSignedIn("The set-up token is wrong, used or expired.", code="setup-token-refused", hint=hint)
        return info, text

    def _info(self, name: str, scopes: Sequence[str], subject: str, expires_at: datetime | None) -> KeyInfo:
        name = name.strip()
        if not 1 <= len(name) <= 80 or not name.isprintable():
            raise InvalidInput("A key needs a name of 1 to 80 printable characters.")
        if not 1 <= len(scopes) <= MAX_SCOPES:
            raise InvalidInput(f"A key needs 1 to {MAX_SCOPES} scopes.", hint="`luminai plugins list` shows the scopes of each plugin.")
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("The expiry lies in the past.")
        return KeyInfo(id=new_id("key"), name=name, subject=subject, scopes=tuple(sorted(set(scopes))), created_at=now, expires_at=expires_at)


def _insert(session: Session, info: KeyInfo, secret: bytes) -> None:
    session.execute(
        insert(api_keys).values(
            id=info.id,
            name=info.name,
            subject=info.subject,
            scopes=" ".join(info.scopes),
            digest=secret,
            created_at=info.created_at,
            expires_at=info.expires_at,
        )
    )


def _info(row: object) -> KeyInfo:
    fields = row._mapping  # type: ignore[attr-defined]  # noqa: SLF001 - SQLAlchemy's public name for it
    return KeyInfo(
        id=fields["id"],
        name=fields["name"],
        subject=fields["subject"],
        scopes=tuple(fields["scopes"].split()),
        created_at=fields["created_at"],
        expires_at=fields["expires_at"],
        revoked_at=fields["revoked_at"],
        last_used_at=fields["last_used_at"],
    )
