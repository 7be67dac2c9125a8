"""A letter's parts as they are kept, and what is taken for an address."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.errors import InvalidInput, Unavailable
from luminai.contracts.vault import Vault
from luminai.data.tables_mail import mail

T = TypeVar("T", bound=Struct)
MAX_TITLE: Final = 200
MAX_TEXT: Final = 100_000
"""Characters of plain text; HTML may have twice as many."""
HOUR: Final = timedelta(hours=1)
OPEN: Final = "waiting"
READABLE: Final = (OPEN, "failed")
"""States in which the content is still there."""
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ADDRESS: Final = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


class Head(Struct, frozen=True):
    """To whom, and the subject line."""

    to: str
    title: str


class Content(Struct, frozen=True):
    """What it says."""

    text: str
    html: str


class LetterInfo(Struct, frozen=True, kw_only=True):
    """A letter without what it says.

    Attributes:
        subject: Whom it concerns: a person's id, or ``hub``.
        to: The address; empty when the person's key was destroyed, as is ``title``.
        state: waiting (also between attempts), sent, failed (given up, kept for an operator), expired, discarded.
        sending: Somebody has it in hand now.
        error: Why the last attempt failed.
    """

    id: str
    subject: str
    to: str
    title: str
    state: str
    sending: bool
    attempts: int
    created_at: datetime
    next_at: datetime | None
    expires_at: datetime | None
    settled_at: datetime | None
    error: str


class Seals:
    """Seals and opens the parts of a letter; without a vault they are kept plainly, and each row says which."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault

    @property
    def is_sealing(self) -> bool:
        """Whether new letters are sealed."""
        return self._vault is not None

    def close(self, session: Session, part: Struct, *, subject: str, letter_id: str) -> bytes:
        """Return a part as it is stored."""
        raw = msgspec.json.encode(part)
        return raw if self._vault is None else self._vault.seal(session, subject=subject, place=_place(letter_id, type(part)), value=raw)

    def open(self, session: Session, row: Any, raw: bytes, kind: type[T]) -> T:
        """Return a part of a row.

        Raises:
            NotFound: the person's key was destroyed (code ``shredded``).
            HubError: another hub sealed it, or this one has no vault (code ``not-sealed-here``).
        """
        if row.is_sealed:
            if self._vault is None:
                raise Unavailable("The letter is sealed, and this hub has no key.", code="not-sealed-here", hint="Start the hub that wrote it.")
            raw = self._vault.open(session, subject=row.subject, place=_place(row.id, kind), sealed=bytes(raw))
        return msgspec.json.decode(raw, type=kind)


def check_address(address: str) -> str:
    """Return the address.

    Raises:
        InvalidInput: it is none that mail can be sent to (code ``bad-address``): ASCII, at most 254 characters (RFC 5321, 4.5.3.1), without quotes.
    """
    if not _ADDRESS.fullmatch(address):
        hint = "One address such as name@example.org; write an international domain in its xn-- form."
        raise InvalidInput("That is no e-mail address.", code="bad-address", hint=hint)
    return address


def check_words(title: str, text: str, html: str) -> None:
    """Refuse what does not make a letter.

    Raises:
        InvalidInput: the title is no single printable line, or a part is empty or too long (code ``bad-letter``).
    """
    if not 1 <= len(title) <= MAX_TITLE or not title.isprintable():
        raise InvalidInput(f"A title is one line of 1 to {MAX_TITLE} printable characters.", code="bad-letter")
    if not 1 <= len(text) <= MAX_TEXT or len(html) > 2 * MAX_TEXT or _NO_TEXT.search(text) or _NO_TEXT.search(html):
        hint = f"1 to {MAX_TEXT} characters of text, at most twice as many of HTML, no control characters but tab and line ends."
        raise InvalidInput("That does not make a letter.", code="bad-letter", hint=hint)


def address_digest(address: str) -> bytes:
    """Return what equal addresses have in common; the part before the @ counts without case too, as nearly all servers take it."""
    return hashlib.sha256(address.casefold().encode()).digest()


def _place(letter_id: str, kind: type[Struct]) -> str:
    return f"{mail.name}.{'head' if kind is Head else 'content'}:{letter_id}"
