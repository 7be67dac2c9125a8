"""API keys: made once, shown once, stored as a digest, replaced with an overlap, revoked for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from luminai.audit.log import ANONYMOUS, AuditLog
from luminai.config.settings import MAX_KEY_DAYS, Settings
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, Forbidden, InvalidInput, NotFound, NotSignedIn
from luminai.contracts.identity import Actor
from luminai.data.ids import new_id
from luminai.data.tables import api_keys, setup_tokens
from luminai.identity.key_rows import NOTICE, KeyInfo, insert_key, key_info, still_holds
from luminai.identity.memberships import no_organisation
from luminai.identity.people import PREFIX
from luminai.identity.roles import roles_of
from luminai.identity.tokens import digest, new_key, new_setup_token

MAX_SCOPES: Final = 64
OVERLAP: Final = timedelta(days=1)
MAX_OVERLAP: Final = timedelta(days=7)
SETUP_MINUTES: Final = 15
SETUP_NAME: Final = "operator"
COMMAND_LINE: Final = "command line"
"""Who acts when a command works on the data folder itself."""


class StoredKey(Struct, frozen=True):
    """What authentication compares with."""

    info: KeyInfo
    digest: bytes


class KeyStore:
    """The hub's API keys."""

    def __init__(self, database: Database, clock: Clock, audit: AuditLog | None = None, *, settings: Settings | None = None) -> None:
        self._db = database
        self._clock = clock
        self._audit = audit or AuditLog(database, clock)
        self._settings = settings or Settings()

    def expiry(self, days: int | Literal["none"] | None) -> datetime | None:
        """Return when a key made now ends: after ``days``, by ``identity.key-days`` for None, and never (None) for ``none``.

        Raises:
            InvalidInput: less than one day, or more than a year (code ``bad-expiry``).
        """
        days = self._settings.identity.key_days if days is None else days
        if days == "none":
            return None
        if not 1 <= days <= MAX_KEY_DAYS:
            raise InvalidInput(f"A key lasts 1 to {MAX_KEY_DAYS} days.", code="bad-expiry", hint="`none` makes one that never ends.")
        return self._clock.now() + timedelta(days=days)

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        subject: str = SETUP_NAME,
        organisation: str = "",
        expires_at: datetime | None = None,
        by: Actor | str = COMMAND_LINE,
        at_most: int | None = None,
    ) -> tuple[KeyInfo, str]:
        """Make a key and return it with its text, which is not kept. Without ``expires_at`` it never ends.

        Raises:
            InvalidInput: no or too long a name, no or too many scopes, or an expiry in the past.
            NotFound: the subject belongs to no such organisation (code ``organisation-not-found``).
            Conflict: the subject has ``at_most`` keys that hold (code ``too-many-keys``).
        """
        info, text, secret = self._made(name, scopes, subject, expires_at, organisation)

        def unit(session: Session) -> None:
            if at_most is not None:
                mine = select(func.count()).where(api_keys.c.subject == subject, still_holds(info.created_at))
                if session.execute(mine).scalar_one() >= at_most:
                    raise Conflict(f"You have {at_most} keys.", code="too-many-keys", hint="Revoke one that you no longer need.")
            _insert(session, info, secret)
            self._audit.record(session, by, _entry("key.create", info))

        await self._db.write(unit)
        return info, text

    async def list(
        self, *, limit: int = 20, cursor: str | None = None, subject: str | None = None, organisation: str | None = None
    ) -> tuple[list[KeyInfo], str | None]:
        """Return a page of keys, newest first, and the next cursor: all, those of ``subject``, or those that act for ``organisation``."""
        query = select(api_keys).order_by(api_keys.c.id.desc()).limit(limit + 1)
        query = query.where(api_keys.c.id < cursor) if cursor else query
        query = query.where(api_keys.c.subject == subject) if subject is not None else query
        query = query.where(api_keys.c.organisation_id == organisation) if organisation is not None else query
        found = [*await self._read(query)]
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def to_look_after(self, *, limit: int) -> Sequence[KeyInfo]:
        """Return keys without a successor that never end, and programs' keys that end within 14 days."""
        columns, now = api_keys.c, self._clock.now()
        ending = (columns.expires_at <= now + NOTICE) & ~columns.subject.startswith(f"{PREFIX}_", autoescape=True)
        wanted = still_holds(now) & columns.replaced_by.is_(None) & (columns.expires_at.is_(None) | ending)
        return await self._read(select(api_keys).where(wanted).order_by(columns.id).limit(limit))

    async def rotate(
        self,
        key_id: str,
        *,
        overlap: timedelta = OVERLAP,
        expires_in_days: int | Literal["none"] | None = None,
        owner: str | None = None,
        by: Actor | str = COMMAND_LINE,
    ) -> tuple[KeyInfo, KeyInfo, str]:
        """Replace a key by one of the same name, subject, organisation and scopes; return the old one, the new one and the new one's text.

        The old one holds until ``overlap`` is over, at most until its own end. The new one lasts as long as the old one was made for.

        Raises:
            InvalidInput: an overlap below 0 or above 7 days (code ``bad-overlap``).
            NotFound: there is no such key, or none of ``owner``.
            Forbidden: it is another subject's (code ``key-of-another``), acts for another organisation than the actor (``other-organisation``), or
                holds scopes that the actor does not (``scope-beyond-own``).
            Conflict: it has ended (code ``key-ended``), or was replaced before (code ``key-rotated``).
        """
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise InvalidInput(f"The overlap is 0 to {MAX_OVERLAP.days} days.", code="bad-overlap")
        now = self._clock.now()

        def unit(session: Session) -> tuple[KeyInfo, KeyInfo, str]:
            old = self._find(session, key_id, owner)
            _check_rotation(old, by)
            lasted = old.expires_at - old.created_at if old.expires_at is not None and expires_in_days is None else None
            ends = now + min(lasted, timedelta(days=MAX_KEY_DAYS)) if lasted is not None else self.expiry(expires_in_days)
            info, text, secret = self._made(old.name, old.scopes, old.subject, ends, old.organisation)
            until = min(now + overlap, old.expires_at or now + overlap)
            session.execute(update(api_keys).where(api_keys.c.id == key_id).values(expires_at=until, replaced_by=info.id))
            _insert(session, info, secret)
            entry = _entry("key.rotate", info)
            detail = {**entry.detail, "successor": info.id, "old_holds_until": until.isoformat()}
            self._audit.record(session, by, replace(entry, object=key_id, detail=detail))
            return self._find(session, key_id, owner), info, text

        return await self._db.write(unit)

    async def revoke(self, key_id: str, *, owner: str | None = None, organisation: str | None = None, by: Actor | str = COMMAND_LINE) -> None:
        """End a key; ending it twice is the same.

        Raises:
            NotFound: there is no such key, none of ``owner``, or none that acts for ``organisation``.
        """
        now = self._clock.now()

        def unit(session: Session) -> None:
            info = self._find(session, key_id, owner, organisation)
            if info.revoked_at is None:
                session.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
                self._audit.record(session, by, AuditEntry(action="key.revoke", object=key_id, subject=info.subject))

        await self._db.write(unit)

    async def find(self, key_id: str) -> StoredKey | None:
        """Return a key for authentication."""

        def unit(session: Session) -> StoredKey | None:
            row = session.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
            return StoredKey(key_info(row, self._clock.now()), bytes(row.digest)) if row else None

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
        info, text, secret = self._made(name, ("*",), SETUP_NAME, self.expiry(None))
        given, now = digest(token.strip().lower()), self._clock.now()

        def unit(session: Session) -> bool:
            row = session.execute(select(setup_tokens).where(setup_tokens.c.digest == given)).first()
            if row is None or row.expires_at < now:
                return False
            session.execute(delete(setup_tokens))
            insert_key(session, info, secret)
            self._audit.record(session, ANONYMOUS, _entry("setup.redeem", info))
            return True

        if not await self._db.write(unit):
            hint = "Restart the hub for a new one (it offers one as long as there is no key), or use `luminai keys create` while it is stopped."
            raise NotSignedIn("The set-up token is wrong, used or expired.", code="setup-token-refused", hint=hint)
        return info, text

    async def _read(self, query: Any) -> Sequence[KeyInfo]:
        now = self._clock.now()
        return await self._db.read(lambda session: [key_info(row, now) for row in session.execute(query)])

    def _find(self, session: Session, key_id: str, owner: str | None, organisation: str | None = None) -> KeyInfo:
        row = session.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
        if row is None or owner not in (None, row.subject) or organisation not in (None, row.organisation_id):
            raise NotFound(f"There is no key {key_id}.", code="key-not-found", hint="`luminai keys list` shows them.")
        return key_info(row, self._clock.now())

    def _made(
        self, name: str, scopes: Sequence[str], subject: str, expires_at: datetime | None, organisation: str = ""
    ) -> tuple[KeyInfo, str, bytes]:
        name = name.strip()
        if not 1 <= len(name) <= 80 or not name.isprintable():
            raise InvalidInput("A key needs a name of 1 to 80 printable characters.", code="bad-name")
        if not 1 <= len(scopes) <= MAX_SCOPES:
            raise InvalidInput(f"A key needs 1 to {MAX_SCOPES} scopes.", hint="`luminai plugins list` shows the scopes of each plugin.")
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("The expiry lies in the past.")
        key_id = new_id("key")
        is_live = self._settings.hub.environment == "production"
        is_person = subject.startswith(f"{PREFIX}_")
        text, secret = new_key(key_id, environment="live" if is_live else "test", kind="person" if is_person else "service")
        state: Literal["active", "ending"] = "ending" if expires_at is not None and expires_at <= now + NOTICE else "active"
        info = KeyInfo(
            id=key_id,
            name=name,
            subject=subject,
            scopes=tuple(sorted(set(scopes))),
            state=state,
            organisation=organisation,
            last_four=text[-4:],
            created_at=now,
            expires_at=expires_at,
        )
        return info, text, secret


def _check_rotation(old: KeyInfo, by: Actor | str) -> None:
    """Refuse to hand out a credential that the actor could not have made. Raises as ``KeyStore.rotate``."""
    if isinstance(by, Actor):
        if by.subject != old.subject:
            hint = "Its owner rotates it. You can revoke it."
            raise Forbidden(f"The key {old.id} is somebody else's.", code="key-of-another", hint=hint)
        if by.organisation != old.organisation:
            hint = "PUT /api/auth/organisation enters an organisation, DELETE goes out."
            raise Forbidden(f"The key {old.id} acts for another organisation than you do now.", code="other-organisation", hint=hint)
        beyond = [scope for scope in old.scopes if not by.may(scope)]
        if beyond:
            raise beyond_own(beyond[0])
    if not old.holds:
        raise Conflict(f"The key {old.id} has ended.", code="key-ended", hint="`luminai keys create` makes another one.")
    if old.replaced_by is not None:
        raise Conflict(f"The key {old.id} was replaced by {old.replaced_by}.", code="key-rotated", hint="Rotate that one.")


def beyond_own(scope: str) -> Forbidden:
    """Return the refusal of a scope that the actor does not hold."""
    return Forbidden(f"You cannot give {scope}, which you do not hold yourself.", code="scope-beyond-own")


def _insert(session: Session, info: KeyInfo, secret: bytes) -> None:
    """Keep a new key. Whether its owner is a member is looked up here: what let the owner in may be some seconds old."""
    if info.organisation and not roles_of(session, info.subject, organisation=info.organisation):
        raise no_organisation(info.organisation)
    insert_key(session, info, secret)


def _entry(action: str, info: KeyInfo) -> AuditEntry:
    detail: dict[str, Any] = {"name": info.name, "scopes": [*info.scopes], "expires_at": info.expires_at.isoformat() if info.expires_at else None}
    if info.organisation:
        detail["organisation"] = info.organisation
    return AuditEntry(action=action, object=info.id, subject=info.subject, detail=detail)
