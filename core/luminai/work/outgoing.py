"""Letters on their way out: taken under a lease, settled once.

A letter is sent at least once: when the process ends between the server's yes and the mark, the lease runs out and the same letter goes out again,
with the same ``Message-ID``, by which mail servers and programs know a repetition.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import HubError
from luminai.contracts.mail import Mail
from luminai.data.tables_mail import mail
from luminai.work.letters import HOUR, OPEN, READABLE, Content, Head, Seals

ATTEMPTS: Final = 8
LEASE: Final = timedelta(minutes=2)
"""Four times what an attempt may take; a letter in hand is settled or free again within it."""
KEEP: Final = timedelta(days=30)
_FIRST: Final = timedelta(minutes=1)
_LONGEST: Final = timedelta(hours=6)


class Lease(Struct, frozen=True, kw_only=True):
    """A letter in the hands of one worker. ``attempt`` counts from 1."""

    mail: Mail
    token: str
    attempt: int


class Outgoing:
    """The queue as its workers see it, in any number of processes."""

    def __init__(self, database: Database, clock: Clock, seals: Seals) -> None:
        self._db = database
        self._clock = clock
        self._seals = seals

    async def claim(self) -> Lease | None:
        """Take the letter that is due longest, None when none is due. Those that are expired, or tried often enough, are settled on the way."""
        now, token = self._clock.now(), secrets.token_hex(16)
        due = (mail.c.state == OPEN) & (mail.c.next_at <= now)
        query = select(mail).where(due).order_by(mail.c.next_at, mail.c.id).limit(1).with_for_update(skip_locked=True)

        def unit(session: Session) -> Lease | None:
            _expire(session, due, now)
            while (row := session.execute(query).first()) is not None:
                if row.attempts >= ATTEMPTS:
                    _settle(session, mail.c.id == row.id, now, state="failed", error="The process ended each time that it was sent.")
                    continue
                try:
                    found = self._mail(session, row)
                except HubError as error:
                    state = "discarded" if error.code == "shredded" else "failed"
                    _settle(session, mail.c.id == row.id, now, state=state, error=f"{error.code}: {error.detail}")
                    continue
                values = {"lease": token, "attempts": row.attempts + 1, "next_at": now + LEASE}
                session.execute(update(mail).where(mail.c.id == row.id).values(**values))
                return Lease(mail=found, token=token, attempt=row.attempts + 1)
            return None

        return await self._db.write(unit)

    async def is_due(self) -> bool:
        """Tell whether a letter may be taken; unlike ``claim`` this writes nothing."""
        query = select(mail.c.id).where(mail.c.state == OPEN, mail.c.next_at <= self._clock.now()).limit(1)
        return await self._db.read(lambda session: session.execute(query).first() is not None)

    async def sent(self, lease: Lease) -> None:
        """Mark as sent and forget what it said."""
        await self._settle(lease, state="sent")

    async def refused(self, lease: Lease, error: str) -> None:
        """Give up: it will never be taken. An operator may read, retry or discard it."""
        await self._settle(lease, state="failed", error=error)

    async def put_back(self, lease: Lease, error: str, *, wait: float = 0.0) -> str:
        """Have it tried again later, or after the last attempt give up; return the state.

        Args:
            wait: Least seconds until then.
        """
        if lease.attempt >= ATTEMPTS:
            await self.refused(lease, error)
            return "failed"
        pause = max(backoff(lease.attempt), min(timedelta(seconds=wait), _LONGEST))
        values = {"lease": None, "next_at": self._clock.now() + pause, "error": error[:500]}

        def unit(session: Session) -> None:
            session.execute(update(mail).where(_held(lease)).values(**values))

        await self._db.write(unit)
        return OPEN

    async def tidy(self) -> None:
        """Settle what expired, forget addresses' digests after their hour, and delete what was settled 30 days ago."""
        now = self._clock.now()

        def unit(session: Session) -> None:
            _expire(session, (mail.c.state == OPEN) & (mail.c.next_at <= now), now)
            _expire(session, mail.c.state == "failed", now)
            old = mail.c.address_digest.is_not(None) & (mail.c.created_at <= now - HOUR)
            session.execute(update(mail).where(old).values(address_digest=None))
            session.execute(delete(mail).where(mail.c.settled_at < now - KEEP))

        await self._db.write(unit)

    async def _settle(self, lease: Lease, *, state: str, error: str = "") -> None:
        now = self._clock.now()
        await self._db.write(lambda session: _settle(session, _held(lease), now, state=state, error=error))

    def _mail(self, session: Session, row: Any) -> Mail:
        head = self._seals.open(session, row, row.head, Head)
        content = self._seals.open(session, row, row.content, Content)
        return Mail(id=row.id, to=head.to, subject=head.title, text=content.text, html=content.html)


def backoff(attempt: int) -> timedelta:
    """Return the pause after a failed attempt (1 is the first): a minute, doubling, at most 6 hours; two hours in all over eight attempts."""
    return min(_LONGEST, _FIRST * (1 << (attempt - 1)))


def _held(lease: Lease) -> ColumnElement[bool]:
    """Whoever lost the lease settles nothing: somebody else has the letter, or it is settled."""
    return (mail.c.id == lease.mail.id) & (mail.c.lease == lease.token)


def _settle(session: Session, which: ColumnElement[bool], now: datetime, *, state: str, error: str = "") -> None:
    values: dict[str, Any] = {"state": state, "lease": None, "settled_at": now, "error": error[:500]}
    values |= {} if state in READABLE else {"content": None}
    session.execute(update(mail).where(which).values(**values))


def _expire(session: Session, which: ColumnElement[bool], now: datetime) -> None:
    _settle(session, which & (mail.c.expires_at <= now), now, state="expired")
