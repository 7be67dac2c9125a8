"""Tickets for browsers, which cannot send a credential when they open a socket or an event stream: one use, 30 seconds, one path.

A ticket stands in an address, where proxies and histories may keep it, so it is worth nothing a moment later. It opens what its owner's credential
opens: that credential is kept with it, encrypted by a key that only the ticket itself gives, and is verified anew when the ticket is used. So
whatever ends the credential ends the stream that came of its ticket too.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import NotSignedIn, RateLimited
from luminai.contracts.identity import Actor
from luminai.data.tables_edge import stream_tickets
from luminai.identity.digests import DigestKey

PREFIX: Final = "lut_"
LIFETIME: Final = timedelta(seconds=30)
MAX_WAITING: Final = 20
"""Unused tickets of one subject."""
MAX_PATH: Final = 512
MAX_ORIGIN: Final = 300
_FORM: Final = re.compile(r"lut_[A-Za-z0-9_-]{43}")
_NONCE: Final = bytes(12)
"""The same for all: each ticket is a key of its own, and encrypts once."""


class Tickets:
    """Tickets over the database, so that one is used once whichever process it comes to."""

    def __init__(self, database: Database, clock: Clock, digests: DigestKey) -> None:
        self._db = database
        self._clock = clock
        self._digests = digests

    async def issue(self, actor: Actor, credential: bytes, *, path: str, origin: bytes) -> str:
        """Return a new ticket for whoever sent ``credential`` (the value of an Authorization header).

        Args:
            path: Of the socket or event stream, without a query.
            origin: Of the page that asked, b"" for none: only that page may use the ticket.

        Raises:
            RateLimited: as many wait already (code ``too-many-tickets``).
        """
        ticket = PREFIX + secrets.token_urlsafe(32)
        page = _text(origin)
        now, digests = self._clock.now(), await self._digests.get()
        row = {"digest": digests.of("ticket", ticket), "subject": actor.subject, "path": path, "origin": page, "expires_at": now + LIFETIME}
        sealed = _cipher(ticket).encrypt(_NONCE, credential, None)
        columns = stream_tickets.c
        hint = "Use them, or wait until they expire."
        too_many = RateLimited("Too many tickets wait to be used.", code="too-many-tickets", hint=hint, retry_after=LIFETIME.total_seconds())

        def unit(session: Session) -> None:
            mine = (columns.subject == actor.subject) & (columns.expires_at > now)
            if session.execute(select(func.count()).select_from(stream_tickets).where(mine)).scalar_one() >= MAX_WAITING:
                raise too_many
            session.execute(insert(stream_tickets).values(**row, credential=sealed))

        await self._db.write(unit)
        return ticket

    async def redeem(self, ticket: str, *, path: str, origin: bytes | None, is_socket: bool) -> bytes:
        """Use a ticket up and return the credential that it stands for. One that is shown at another place is used up too.

        A page that opens a stream from its own origin names none, so there a missing one is no other.

        Raises:
            NotSignedIn: it is unknown, used, expired, or for another path or page (code ``bad-ticket``); the answer is the same for all.
        """
        if not _FORM.fullmatch(ticket):
            raise refused()
        digest = (await self._digests.get()).of("ticket", ticket)
        columns = stream_tickets.c
        taken = delete(stream_tickets).where(columns.digest == digest)
        taken_row = taken.returning(columns.path, columns.origin, columns.credential, columns.expires_at)
        row = await self._db.write(lambda session: session.execute(taken_row).first())
        if row is None or row.expires_at <= self._clock.now() or row.path != path:
            raise refused()
        page = _text(origin or b"")
        if row.origin and row.origin != page and (page or is_socket):
            raise refused()
        credential: bytes = _cipher(ticket).decrypt(_NONCE, bytes(row.credential), None)
        return credential

    async def tidy(self) -> None:
        """Delete those that have expired."""
        expired = delete(stream_tickets).where(stream_tickets.c.expires_at <= self._clock.now())

        def unit(session: Session) -> None:
            session.execute(expired)

        await self._db.write(unit)


def refused() -> NotSignedIn:
    """Return the answer to a ticket that opens nothing."""
    hint = "POST /api/auth/ticket gives one: for one path, one use and 30 seconds."
    return NotSignedIn("The ticket does not hold.", code="bad-ticket", hint=hint)


def _cipher(ticket: str) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hashlib.blake2b(ticket.encode(), digest_size=32, person=b"luminai-ticket").digest())


def _text(origin: bytes) -> str:
    return origin.decode("latin-1").lower()[:MAX_ORIGIN]
