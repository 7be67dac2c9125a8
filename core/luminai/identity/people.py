"""Accounts as they are kept: found by a keyed digest of the address, readable as long as the person's own key exists."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError, NotFound
from luminai.contracts.vault import Vault
from luminai.data.ids import new_id
from luminai.data.tables_organisations import invitations
from luminai.data.tables_people import identity_checks, memberships, outside_identities, people, recovery_codes, refresh_tokens, sessions
from luminai.identity import one_time
from luminai.identity.digests import Digests
from luminai.work.letters import check_address

PREFIX: Final = "usr"
SecondFactor = Literal["totp", "sms"]
Status = Literal["invited", "active", "suspended", "erased"]
PersonName = Annotated[str, Meta(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
IdentityState = Literal["none", "pending", "verified", "rejected", "expired"]
Theme = Literal["system", "dark", "light", "high-contrast"]
Locale = Annotated[str, Meta(max_length=35, pattern=r"^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*\Z", description="A language tag (BCP 47).")]


class Preferences(Struct, frozen=True, forbid_unknown_fields=True):
    """How a person likes it."""

    theme: Theme = "system"
    audio: bool = True
    locale: Locale = "en"


class PreferencesChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of it changes."""

    theme: Theme | UnsetType = UNSET
    audio: bool | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET


class Person(Struct, frozen=True, kw_only=True):
    """A person, without anything secret. ``email`` and ``name`` are empty once erased.

    Attributes:
        second_factors: The preferred one first.
        identity_state: Of the newest check of who the person is.
        verified_at: When the person has shown that the e-mail address is theirs.
    """

    id: str
    email: str
    name: str
    status: Status
    preferences: Preferences
    has_second_factor: bool
    second_factors: tuple[SecondFactor, ...]
    identity_state: IdentityState
    verified_at: datetime | None
    created_at: datetime
    updated_at: datetime


class _Profile(Struct, frozen=True):
    email: str
    name: str


class PeopleTable:
    """Reads and writes rows; every method belongs inside a unit of work."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def row(self, session: Session, person: str) -> Any:
        """Return the row of a person.

        Raises:
            NotFound: there is none (code ``person-not-found``).
        """
        row = session.execute(select(people).where(people.c.id == person)).first()
        if row is None:
            raise NotFound(f"There is no person {person}.", code="person-not-found", hint="`luminai people list` shows them.")
        return row

    def by_email(self, session: Session, digest: bytes) -> Any:
        """Return the row of an address, None when there is none."""
        return session.execute(select(people).where(people.c.email_digest == digest)).first()

    def view(self, session: Session, row: Any) -> Person:
        """Return a row for readers."""
        profile = self.profile(session, row)
        return Person(
            id=row.id,
            email=profile.email,
            name=profile.name,
            status=row.status,
            preferences=msgspec.convert(row.preferences, Preferences),
            has_second_factor=bool(second_factors(row)),
            second_factors=second_factors(row),
            identity_state=row.identity_state,
            verified_at=row.verified_at,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    def profile(self, session: Session, row: Any) -> _Profile:
        """Return address and name, both empty when they are erased."""
        if row.profile is None:
            return _Profile("", "")
        try:
            raw = self._vault.open(session, subject=row.id, place=_place("profile", row.id), sealed=bytes(row.profile))
        except HubError:  # shredded
            return _Profile("", "")
        return msgspec.json.decode(raw, type=_Profile)

    def add(
        self, session: Session, digests: Digests, *, email: str, name: str, status: Status, now: datetime, password: str | None, locale: str
    ) -> str:
        """Make an account and return its id."""
        person = new_id(PREFIX)
        row = {"id": person, "email_digest": email_digest(digests, email), "status": status, "password": password, "totp_last_step": 0}
        preferences = Preferences(locale=locale)
        profile = self._sealed_profile(session, person, email, name)
        session.execute(insert(people).values(**row, profile=profile, preferences=preferences, created_at=now, updated_at=now))
        return person

    def rename(self, session: Session, row: Any, name: str, now: datetime) -> None:
        """Change a person's name."""
        email = self.profile(session, row).email
        self.set(session, row.id, now, profile=self._sealed_profile(session, row.id, email, name))

    def set(self, session: Session, person: str, now: datetime, **values: Any) -> None:
        """Change columns."""
        session.execute(update(people).where(people.c.id == person).values(**values, updated_at=now))

    def seal(self, session: Session, person: str, column: str, value: bytes) -> bytes:
        """Seal a value for a column of the person's row."""
        return self._vault.seal(session, subject=person, place=_place(column, person), value=value)

    def open(self, session: Session, row: Any, column: str) -> bytes:
        """Open a sealed column.

        Raises:
            NotFound: the person's key was destroyed (code ``shredded``).
        """
        return self._vault.open(session, subject=row.id, place=_place(column, row.id), sealed=bytes(getattr(row, column)))

    def erase(self, session: Session, person: str, now: datetime) -> None:
        """Take everything out but the id, which keeps what others hold of it unattached. The person's key is the vault's to destroy."""
        address = select(people.c.email_digest).where(people.c.id == person)
        session.execute(delete(invitations).where(invitations.c.email_digest.in_(address)))  # also from before there was an account
        ids = select(sessions.c.id).where(sessions.c.person_id == person)
        session.execute(delete(refresh_tokens).where(refresh_tokens.c.session_id.in_(ids)))
        for table in (sessions, recovery_codes, identity_checks, memberships, outside_identities):
            session.execute(delete(table).where(table.c.person_id == person))
        one_time.void(session, person)
        columns = ("email_digest", "profile", "password", "totp_secret", "totp_pending", "phone", "phone_pending", "verified_at")
        nothing = dict.fromkeys(columns)
        self.set(session, person, now, status="erased", preferences=Preferences(), identity_state="none", **nothing)

    def _sealed_profile(self, session: Session, person: str, email: str, name: str) -> bytes:
        return self.seal(session, person, "profile", msgspec.json.encode(_Profile(email, name)))


def second_factors(row: Any) -> tuple[SecondFactor, ...]:
    """Return the second factors of a person's row, the preferred one first."""
    held: tuple[tuple[SecondFactor, Any], ...] = (("totp", row.totp_secret), ("sms", row.phone))
    return tuple(name for name, value in held if value is not None)


def checked_email(text: str) -> str:
    """Return an address without space around it.

    Raises:
        InvalidInput: it is none (code ``bad-address``).
    """
    return check_address(text.strip())


def email_digest(digests: Digests, email: str) -> bytes:
    """Return what an account is found by; case does not count, not even before the @, as nearly all servers take it."""
    return digests.of("email", email.strip().casefold())


def _place(column: str, person: str) -> str:
    return f"{people.name}.{column}:{person}"
