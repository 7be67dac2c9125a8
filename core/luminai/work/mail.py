"""The queue of letters: put within the unit of work that causes them, and never forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import Conflict, HubError, NotFound, RateLimited, Unavailable
from luminai.contracts.identity import Actor
from luminai.contracts.vault import Vault
from luminai.data.ids import new_id
from luminai.data.tables_mail import mail
from luminai.work.letters import HOUR, OPEN, READABLE, Content, Head, LetterInfo, Seals, address_digest, check_address, check_words
from luminai.work.outgoing import Outgoing

MAX_WAITING: Final = 10_000
MAX_AN_HOUR: Final = 20
"""Letters to one address within an hour."""
BUSY_SECONDS: Final = 30.0


class LetterText(Struct, frozen=True, kw_only=True):
    """What a letter says; empty once it is settled, or when the person's key was destroyed."""

    text: str
    html: str


class MailQueue:
    """Keeps letters.

    Args:
        vault: Seals address, title and text under the key of the letter's subject; None keeps them plainly.
        audit: Where it is recorded that an operator read, retried or discarded a letter.
    """

    def __init__(self, database: Database, clock: Clock, vault: Vault | None = None, audit: AuditLog | None = None) -> None:
        self._db = database
        self._clock = clock
        self._seals = Seals(vault)
        self._audit = audit or AuditLog(database, clock, vault=vault)
        self.outgoing = Outgoing(database, clock, self._seals)
        self.on_put: Callable[[], None] | None = None
        """Called, in whatever thread the unit runs, when a letter was put; its commit follows within moments, or never."""

    def put(
        self,
        session: Session,
        *,
        subject: str,
        to: str,
        title: str,
        text: str,
        html: str = "",
        expires_at: datetime | None = None,
        at_most: int = MAX_AN_HOUR,
    ) -> str:
        """Write a letter in the caller's unit of work and return its id: the letter and its cause are committed together, or neither.

        Args:
            subject: Whose key seals it: a person's id, or ``HUB_SUBJECT``.
            to: One address, ASCII.
            title: The subject line.
            expires_at: After this it is not sent any more, such as a link that is dead by then.
            at_most: Letters to the address within the last hour.

        Raises:
            InvalidInput: no address (code ``bad-address``) or no letter (``bad-letter``).
            RateLimited: the address got ``at_most`` letters within the last hour (code ``too-many-letters``).
            Unavailable: 10,000 letters wait (code ``mail-queue-full``).
        """
        check_address(to)
        check_words(title, text, html)
        now, digest = self._clock.now(), address_digest(to)
        self._check_room(session, digest, now, at_most)
        letter_id = new_id("mail")
        session.execute(
            insert(mail).values(
                id=letter_id,
                subject=subject,
                head=self._seals.close(session, Head(to, title), subject=subject, letter_id=letter_id),
                content=self._seals.close(session, Content(text, html), subject=subject, letter_id=letter_id),
                is_sealed=self._seals.is_sealing,
                address_digest=digest,
                state=OPEN,
                attempts=0,
                created_at=now,
                next_at=now,
                expires_at=expires_at,
                error="",
            )
        )
        if self.on_put is not None:
            self.on_put()
        return letter_id

    async def waiting(self) -> tuple[int, datetime | None]:
        """Return how many letters wait, and since when the oldest does."""
        query = select(func.count(), func.min(mail.c.created_at, type_=mail.c.created_at.type)).where(mail.c.state == OPEN)

        def unit(session: Session) -> tuple[int, datetime | None]:
            count, oldest = session.execute(query).one()
            return count, oldest

        return await self._db.read(unit)

    async def list(self, *, state: str = "", limit: int = 20, before: str | None = None) -> list[LetterInfo]:
        """Return letters, newest first, those behind the id ``before``; an empty ``state`` stands for all."""
        query = select(mail).order_by(mail.c.id.desc()).limit(limit)
        query = query.where(mail.c.state == state) if state else query
        query = query.where(mail.c.id < before) if before else query
        return await self._db.read(lambda session: [self._info(session, row) for row in session.execute(query)])

    async def find(self, letter_id: str) -> LetterInfo:
        """Return one.

        Raises:
            NotFound: there is none (code ``letter-not-found``).
        """
        return await self._db.read(lambda session: self._info(session, _row(session, letter_id)))

    async def read(self, letter_id: str, *, by: Actor) -> LetterText:
        """Return what a letter says, and record who read it.

        Raises:
            NotFound: there is none.
        """

        def unit(session: Session) -> LetterText:
            row = _row(session, letter_id)
            try:
                found = self._seals.open(session, row, row.content, Content) if row.content is not None else None
            except HubError:
                found = None
            if found is None:
                return LetterText(text="", html="")
            self._audit.record(session, by, AuditEntry(action="mail.read", object=letter_id, subject=row.subject))
            return LetterText(text=found.text, html=found.html)

        return await self._db.write(unit)

    async def retry(self, letter_id: str, *, by: Actor) -> LetterInfo:
        """Have a letter sent as soon as possible, with all its attempts before it.

        Raises:
            NotFound: there is none.
            Conflict: it is sent, expired or discarded (code ``letter-settled``), or in hand (``letter-busy``).
        """
        values = {"state": OPEN, "attempts": 0, "next_at": self._clock.now(), "settled_at": None, "lease": None}
        return await self._change(letter_id, values, "mail.retry", by)

    async def discard(self, letter_id: str, *, by: Actor) -> LetterInfo:
        """Give a letter up and forget what it said.

        Raises:
            NotFound, Conflict: as for ``retry``.
        """
        values = {"state": "discarded", "content": None, "settled_at": self._clock.now(), "lease": None}
        return await self._change(letter_id, values, "mail.discard", by)

    async def _change(self, letter_id: str, values: dict[str, Any], action: str, by: Actor) -> LetterInfo:
        now = self._clock.now()

        def unit(session: Session) -> LetterInfo:
            row = _row(session, letter_id)
            if row.state not in READABLE or _is_over(row, now):
                raise Conflict(f"The letter is {_state(row, now)}.", code="letter-settled", hint="Have what caused it happen again.")
            if _is_in_hand(row, now):
                raise Conflict("The letter is being sent.", code="letter-busy", hint="Try again in a moment.", retry_after=BUSY_SECONDS)
            session.execute(update(mail).where(mail.c.id == letter_id).values(**values))
            self._audit.record(session, by, AuditEntry(action=action, object=letter_id, subject=row.subject))
            return self._info(session, _row(session, letter_id))

        return await self._db.write(unit)

    def _check_room(self, session: Session, digest: bytes, now: datetime, at_most: int) -> None:
        recent = select(func.count()).where(mail.c.address_digest == digest, mail.c.created_at > now - HOUR)
        if session.execute(recent).scalar_one() >= at_most:
            detail = f"This address got {at_most} letters within an hour."
            raise RateLimited(
                detail, code="too-many-letters", hint="Look into the mailbox, spam too, or try later.", retry_after=HOUR.total_seconds()
            )
        waiting = select(mail.c.id).where(mail.c.state == OPEN).limit(MAX_WAITING).subquery()
        if session.execute(select(func.count()).select_from(waiting)).scalar_one() >= MAX_WAITING:
            hint = "`luminai mail list` shows them; `luminai config test mail` tries the mail server."
            raise Unavailable(f"{MAX_WAITING} letters wait to be sent.", code="mail-queue-full", hint=hint, retry_after=300)

    def _info(self, session: Session, row: Any) -> LetterInfo:
        now = self._clock.now()
        try:
            head = self._seals.open(session, row, row.head, Head)
        except HubError:
            head = Head("", "")
        return LetterInfo(
            id=row.id,
            subject=row.subject,
            to=head.to,
            title=head.title,
            state=_state(row, now),
            sending=_is_in_hand(row, now),
            attempts=row.attempts,
            created_at=row.created_at,
            next_at=row.next_at if _state(row, now) == OPEN else None,
            expires_at=row.expires_at,
            settled_at=row.settled_at,
            error=row.error,
        )


def _is_over(row: Any, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _is_in_hand(row: Any, now: datetime) -> bool:
    return row.lease is not None and row.next_at > now


def _state(row: Any, now: datetime) -> str:
    state: str = row.state
    return "expired" if state in READABLE and _is_over(row, now) and not _is_in_hand(row, now) else state


def _row(session: Session, letter_id: str) -> Any:
    row = session.execute(select(mail).where(mail.c.id == letter_id)).first()
    if row is None:
        raise NotFound(f"There is no letter {letter_id}.", code="letter-not-found", hint="`luminai mail list` shows them.")
    return row
