"""Sessions: a refresh token that changes with each use, and what ends a session.

A refresh token is 256 random bits, stored as a keyed digest. Each use gives its only child; the child is derived from the parent with the hub's key,
so that a second tab that comes within ten seconds gets the same one. A parent that comes later was stolen, or its thief was first: the session ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from luminai.contracts.vault import Vault
from luminai.data.ids import new_id
from luminai.data.tables_people import one_time_tokens, refresh_tokens, sessions
from luminai.identity.digests import Digests
from luminai.identity.roles import is_administrative, scopes_of

GRACE: Final = timedelta(seconds=10)
ADMIN_ENDS: Final = timedelta(hours=8)
"""Longest session of somebody who may change the hub."""
KEEP_ENDED: Final = timedelta(days=30)
_PREFIX: Final = "lur_"


class Device(Struct, frozen=True):
    """Where a session was opened: what it calls itself, at most 120 characters, and its IP address."""

    name: str
    address: str


class SessionInfo(Struct, frozen=True, kw_only=True):
    """A session for its owner."""

    id: str
    device: str
    address: str
    created_at: datetime
    last_used_at: datetime
    ends_at: datetime
    is_current: bool


class Lengths(Struct, frozen=True):
    """How long sessions last. ``lock`` zero means: never."""

    lock: timedelta
    idle: timedelta
    absolute: timedelta


class Rotation(Struct, frozen=True):
    """What became of a refresh: on ``ok`` the child, else why not."""

    outcome: Literal["ok", "refused", "reused", "locked"]
    session: str = ""
    person: str = ""
    refresh_token: str = ""


class SessionTable:
    """Reads and writes rows; every method belongs inside a unit of work."""

    def __init__(self, vault: Vault, lengths: Lengths) -> None:
        self._vault = vault
        self._lengths = lengths

    def open(self, session: Session, digests: Digests, *, person: str, device: Device, now: datetime) -> tuple[str, str]:
        """Open a session for somebody who has just authenticated, and return its id and first refresh token."""
        session_id, token = new_id("ses"), _PREFIX + secrets.token_urlsafe(32)
        longest = ADMIN_ENDS if is_administrative(scopes_of(session, person)) else self._lengths.absolute
        ends = now + min(longest, self._lengths.absolute)
        sealed = self._vault.seal(session, subject=person, place=_place(session_id), value=msgspec.json.encode(device))
        row = {"id": session_id, "person_id": person, "organisation_id": "", "device": sealed, "ends_at": ends}
        moments = dict.fromkeys(("created_at", "authenticated_at", "last_used_at"), now)
        session.execute(insert(sessions).values(**row, **moments, idle_ends_at=min(ends, now + self._lengths.idle)))
        session.execute(insert(refresh_tokens).values(digest=digests.of("refresh", token), session_id=session_id))
        return session_id, token

    def owner(self, session: Session, digests: Digests, token: str) -> Any:
        """Return the row of a refresh token's session, None when there is none or it has ended."""
        joined = refresh_tokens.join(sessions, sessions.c.id == refresh_tokens.c.session_id)
        query = select(sessions).select_from(joined).where(refresh_tokens.c.digest == digests.of("refresh", token))
        return session.execute(query).first()

    def rotate(
        self, session: Session, digests: Digests, token: str, *, now: datetime, seen: Mapping[str, datetime], is_authenticated: bool = False
    ) -> Rotation:
        """Use a refresh token. A reused one ends its session, which must be committed: nothing is raised.

        Args:
            seen: When sessions were last used, as far as that is not written down yet.
            is_authenticated: The person has just given password or code, which also unlocks.
        """
        digest = digests.of("refresh", token)
        row = self.owner(session, digests, token)
        if row is None or has_ended(row, now):
            return Rotation("refused")
        used_at = session.execute(select(refresh_tokens.c.used_at).where(refresh_tokens.c.digest == digest)).scalar()
        if used_at is not None and now - used_at > GRACE:
            self.end(session, now, sessions.c.id == row.id)
            return Rotation("reused", row.id, row.person_id)
        if self.is_locked(row, now, seen) and not is_authenticated:
            return Rotation("locked", row.id, row.person_id)
        if is_authenticated:
            self.authenticated(session, row.person_id, row.id, now)
        child = _PREFIX + digests.text("refresh-child", token)
        if used_at is None:
            session.execute(update(refresh_tokens).where(refresh_tokens.c.digest == digest).values(used_at=now))
            session.execute(insert(refresh_tokens).values(digest=digests.of("refresh", child), session_id=row.id))
            extended = min(row.ends_at, now + self._lengths.idle)
            session.execute(update(sessions).where(sessions.c.id == row.id).values(idle_ends_at=extended))
        return Rotation("ok", row.id, row.person_id, child)

    def is_locked(self, row: Any, now: datetime, seen: Mapping[str, datetime]) -> bool:
        """Tell whether a session was idle for so long that its person has to authenticate again. A refresh alone is no use of it."""
        lock = self._lengths.lock
        return bool(lock) and now - max(row.last_used_at, seen.get(row.id, row.last_used_at)) >= lock

    def locks_in(self, row: Any, now: datetime) -> timedelta:
        """Return for how long a session that is used now stays open."""
        return self._lengths.lock or row.ends_at - now

    def authenticated(self, session: Session, person: str, session_id: str, now: datetime) -> None:
        """Note that the person has just given password or code."""
        mine = (sessions.c.id == session_id) & (sessions.c.person_id == person)
        session.execute(update(sessions).where(mine).values(authenticated_at=now, last_used_at=now))

    def touch(self, session: Session, seen: Mapping[str, datetime]) -> None:
        """Write down when sessions were last used."""
        for session_id, moment in seen.items():
            later = (sessions.c.id == session_id) & (sessions.c.last_used_at < moment)
            session.execute(update(sessions).where(later).values(last_used_at=moment))

    def end(self, session: Session, now: datetime, *which: ColumnElement[bool]) -> int:
        """End the sessions that meet all conditions, and return how many did."""
        done: Any = session.execute(update(sessions).where(sessions.c.revoked_at.is_(None), *which).values(revoked_at=now))
        return int(done.rowcount)

    def shorten(self, session: Session, person: str, now: datetime) -> None:
        """Let a person's sessions last no longer than those of administrators."""
        mine = (sessions.c.person_id == person) & (sessions.c.ends_at > now + ADMIN_ENDS)
        session.execute(update(sessions).where(mine).values(ends_at=now + ADMIN_ENDS))

    def list(self, session: Session, person: str, now: datetime, *, current: str, limit: int, before: str | None) -> list[SessionInfo]:
        """Return a person's open sessions, newest first, those behind the id ``before``."""
        columns = sessions.c
        mine = (columns.person_id == person) & columns.revoked_at.is_(None) & (columns.ends_at > now) & (columns.idle_ends_at > now)
        query = select(sessions).where(mine).order_by(columns.id.desc()).limit(limit)
        rows = session.execute(query.where(columns.id < before) if before else query)
        return [self._info(session, row, current) for row in rows]

    def tidy(self, session: Session, now: datetime) -> None:
        """Delete sessions 30 days after their end, and tokens that have run out."""
        columns = sessions.c
        gone = or_(columns.ends_at < now - KEEP_ENDED, columns.revoked_at < now - KEEP_ENDED)
        session.execute(delete(refresh_tokens).where(refresh_tokens.c.session_id.in_(select(columns.id).where(gone))))
        session.execute(delete(sessions).where(gone))
        session.execute(delete(one_time_tokens).where(one_time_tokens.c.expires_at < now))

    def _info(self, session: Session, row: Any, current: str) -> SessionInfo:
        raw = self._vault.open(session, subject=row.person_id, place=_place(row.id), sealed=bytes(row.device))
        device = msgspec.json.decode(raw, type=Device)
        moments = {"created_at": row.created_at, "last_used_at": row.last_used_at, "ends_at": row.ends_at}
        return SessionInfo(id=row.id, device=device.name, address=device.address, is_current=row.id == current, **moments)


def has_ended(row: Any, now: datetime) -> bool:
    """Tell whether a session is over."""
    return row.revoked_at is not None or now >= min(row.ends_at, row.idle_ends_at)


def _place(session_id: str) -> str:
    return f"{sessions.name}.device:{session_id}"
