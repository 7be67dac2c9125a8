"""API keys as the database has them, and what they tell of themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, insert, update
from sqlalchemy.orm import Session

from luminai.data.tables import api_keys

KeyState = Literal["active", "ending", "rotated", "expired", "revoked"]
NOTICE: Final = timedelta(days=14)
"""How long before its end a key is called ``ending``."""


class KeyInfo(Struct, frozen=True, kw_only=True):
    """A key without its secret. Times are aware UTC; ``scopes`` sorted.

    Attributes:
        state: ``ending`` within 14 days and without a successor; ``rotated``: it has one, and holds until ``expires_at``.
        organisation: Which organisation it acts for, with no more than its owner's roles there allow; empty for the subject alone.
        last_four: How its text ends, to know it by; empty for keys made before this was kept.
        expires_at: None for a key that never ends.
        last_used_at: To half a minute.
        replaced_by: Its successor.
    """

    id: str
    name: str
    subject: str
    scopes: tuple[str, ...]
    state: KeyState
    organisation: str = ""
    last_four: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    replaced_by: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it opens anything now."""
        return self.state not in ("expired", "revoked")


def key_info(row: Any, now: datetime) -> KeyInfo:
    """Return a row as people see it."""
    return KeyInfo(
        id=row.id,
        name=row.name,
        subject=row.subject,
        scopes=tuple(row.scopes.split()),
        state=_state(row, now),
        organisation=row.organisation_id,
        last_four=row.last_four or "",
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
    )


def insert_key(session: Session, info: KeyInfo, digest: bytes) -> None:
    """Keep a new key."""
    session.execute(
        insert(api_keys).values(
            id=info.id,
            name=info.name,
            subject=info.subject,
            organisation_id=info.organisation,
            scopes=" ".join(info.scopes),
            digest=digest,
            last_four=info.last_four,
            created_at=info.created_at,
            expires_at=info.expires_at,
        )
    )


def end_keys(session: Session, organisation: str, now: datetime, person: str | None = None) -> None:
    """Revoke every key that acts for an organisation, or those of one person: coming back brings none of them back."""
    theirs = (api_keys.c.organisation_id == organisation) & api_keys.c.revoked_at.is_(None)
    query = update(api_keys).where(theirs if person is None else theirs & (api_keys.c.subject == person))
    session.execute(query.values(revoked_at=now))


def still_holds(now: datetime) -> ColumnElement[bool]:
    """Return the condition of keys that open something now."""
    columns = api_keys.c
    return columns.revoked_at.is_(None) & (columns.expires_at.is_(None) | (columns.expires_at > now))


def _state(row: Any, now: datetime) -> KeyState:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    if row.replaced_by is not None:
        return "rotated"
    return "ending" if row.expires_at is not None and row.expires_at <= now + NOTICE else "active"
