"""What is remembered between a browser's leaving for a sign-in elsewhere and its coming back, and until a new identity has found its person.

A round trip is tied to its browser: its row is found only by ``state``, which comes back in the address, together with the cookie. PKCE verifier and
nonce are derived from both, so the database holds nothing that would help a thief.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.vault import HUB_SUBJECT, Vault
from luminai.data.tables_people import outside_trips, waiting_identities
from luminai.identity.digests import Digests
from luminai.identity.outside_providers import OutsidePerson, Round

TRIP: Final = timedelta(minutes=10)
WAITING: Final = timedelta(minutes=30)
MAX_NEXT: Final = 512


class Trip(Struct, frozen=True, kw_only=True):
    """A round trip that has come back. ``person`` and ``session`` are whose account the identity joins, "" for signing in."""

    provider: str
    person: str
    session: str
    next_path: str
    round: Round


class Waiting(Struct, frozen=True, kw_only=True):
    """An identity that waits. ``is_verified``: the provider says that the address is that person's."""

    issuer: str
    sub_digest: bytes
    email: str
    is_verified: bool
    name: str


class _Profile(Struct, frozen=True):
    email: str
    is_verified: bool
    name: str


def round_of(digests: Digests, *, state: str, cookie: str, redirect_uri: str) -> Round:
    """Return what ties a round trip, which follows from its two secrets."""
    verifier = digests.text("outside-verifier", state, cookie)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    nonce = digests.text("outside-nonce", state, cookie)
    return Round(redirect_uri=redirect_uri, state=state, nonce=nonce, verifier=verifier, challenge=challenge)


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def put_trip(session: Session, digests: Digests, *, state: str, cookie: str, now: datetime, **row: str) -> None:
    """Note that a browser leaves; ``row`` has provider, person_id, session_id and next_path."""
    session.execute(insert(outside_trips).values(digest=digests.of("outside-trip", state, cookie), expires_at=now + TRIP, **row))


def take_trip(session: Session, digests: Digests, *, state: str, cookie: str, now: datetime) -> Any:
    """Use a round trip up and return its row; None when there is none, it is of another browser, was used, or is too old."""
    columns = outside_trips.c
    mine = (columns.digest == digests.of("outside-trip", state, cookie)) & (columns.expires_at > now)
    return session.execute(delete(outside_trips).where(mine).returning(*columns)).first()


def put_waiting(session: Session, digests: Digests, vault: Vault, *, cookie: str, sub_digest: bytes, found: OutsidePerson, now: datetime) -> None:
    """Let an identity wait for its person, in the browser with this cookie."""
    digest = digests.of("outside-waiting", cookie)
    profile = msgspec.json.encode(_Profile(found.email, found.is_verified, found.name))
    sealed = vault.seal(session, subject=HUB_SUBJECT, place=_place(digest), value=profile)
    row = {"digest": digest, "issuer": found.issuer, "sub_digest": sub_digest, "profile": sealed}
    session.execute(insert(waiting_identities).values(**row, expires_at=now + WAITING))


def waiting_in(session: Session, digests: Digests, vault: Vault, *, cookie: str, now: datetime) -> Waiting | None:
    """Return the identity that waits in a browser, None when there is none (any more)."""
    columns = waiting_identities.c
    digest = digests.of("outside-waiting", cookie)
    row = session.execute(select(waiting_identities).where(columns.digest == digest, columns.expires_at > now)).first()
    if row is None:
        return None
    raw = vault.open(session, subject=HUB_SUBJECT, place=_place(digest), sealed=bytes(row.profile))
    profile = msgspec.json.decode(raw, type=_Profile)
    return Waiting(issuer=row.issuer, sub_digest=bytes(row.sub_digest), email=profile.email, is_verified=profile.is_verified, name=profile.name)


def take_waiting(session: Session, digests: Digests, *, cookie: str, now: datetime) -> bool:
    """Use a waiting identity up; tell whether it was still there."""
    columns = waiting_identities.c
    taken = delete(waiting_identities).where(columns.digest == digests.of("outside-waiting", cookie), columns.expires_at > now)
    return session.execute(taken.returning(columns.digest)).first() is not None


def tidy(session: Session, now: datetime) -> None:
    """Forget what is over."""
    for table in (outside_trips, waiting_identities):
        session.execute(delete(table).where(table.c.expires_at <= now))


def _place(digest: bytes) -> str:
    return f"{waiting_identities.name}.profile:{digest.hex()}"
