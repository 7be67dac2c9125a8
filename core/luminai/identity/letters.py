"""What the hub writes to people about their accounts. The secret part of a link stands behind its ``#``: browsers keep that to themselves."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError
from luminai.identity.one_time import LIFETIMES
from luminai.work.mail import MAX_AN_HOUR

_log = logging.getLogger("luminai.identity")
NOTICES_AN_HOUR: Final = 12
"""Once an address got so many letters within an hour, it gets no more that only tell of something."""


class LetterQueue(Protocol):
    """Takes letters within a unit of work, as ``MailQueue`` does."""

    def put(
        self, session: Session, *, subject: str, to: str, title: str, text: str, expires_at: datetime | None = None, at_most: int = ...
    ) -> Any: ...


class Letters:
    """Writes letters. One that cannot be queued is logged and left out: an answer must not tell whether an address has an account.

    Args:
        address: The hub's address for people, such as ``https://hub.example``.
    """

    def __init__(self, queue: LetterQueue, address: str) -> None:
        self._queue = queue
        self.address = address.rstrip("/")

    def verify(self, session: Session, person: str, to: str, token: str, now: datetime) -> None:
        """Have the owner of an address confirm it."""
        text = f"Somebody, probably you, opened an account at {self.address} with this address.\n\nConfirm it within 24 hours:\n\n"
        self._put(session, person, to, "Confirm your address", text + self._link("verify", token), now + LIFETIMES["verify"])

    def known_already(self, session: Session, person: str, to: str) -> None:
        """Tell somebody who signs up again that the account is there."""
        text = f"Somebody, probably you, tried to open an account at {self.address} with this address. There is one already.\n\n"
        text += "Sign in, or reset the password if you forgot it. If it was not you, there is nothing to do."
        self._put(session, person, to, "You have an account already", text)

    def reset(self, session: Session, person: str, to: str, token: str, now: datetime) -> None:
        """Give a way to a new password."""
        text = f"Somebody, probably you, asked for a new password at {self.address}.\n\nChoose one within 30 minutes:\n\n"
        text += self._link("reset", token) + "\n\nIf it was not you, there is nothing to do: the old one still holds."
        self._put(session, person, to, "Choose a new password", text, now + LIFETIMES["reset"])

    def invite(self, session: Session, person: str, to: str, token: str, now: datetime) -> None:
        """Ask somebody in."""
        text = f"You are invited to {self.address}.\n\nChoose a password within 7 days:\n\n{self._link('reset', token)}"
        self._put(session, person, to, "You are invited", text, now + LIFETIMES["invite"])

    def organisation(self, session: Session, subject: str, to: str, name: str, token: str, expires_at: datetime) -> None:
        """Ask somebody into an organisation. Its name was chosen by a stranger, so only words of it are told: no address can stand in it."""
        words = "".join(character if character.isalnum() or character in " &'-" else " " for character in name)
        text = f"You are invited to the organisation “{' '.join(words.split())}” at {self.address}.\n\n"
        text += f"Sign in with this address, or open an account with it, and join within 7 days:\n\n{self._link('invitation', token)}\n\n"
        text += "If you do not know who this is, there is nothing to do."
        self._put(session, subject, to, "You are invited to an organisation", text, expires_at, at_most=NOTICES_AN_HOUR)

    def link(self, session: Session, person: str, to: str, token: str, expires_at: datetime) -> None:
        """Have the owner of an address confirm that a sign-in elsewhere is theirs."""
        text = f"Somebody, probably you, signs in at {self.address} through another service that names this address.\n\n"
        text += f"Confirm it within 30 minutes, in the same browser:\n\n{self._link('link', token)}\n\nIf it was not you, there is nothing to do."
        self._put(session, person, to, "Confirm that it is you", text, expires_at)

    def notice(self, session: Session, subject: str, to: str, what: str, *, by: str, at: datetime) -> None:
        """Tell that something sensitive was done. A flood of such letters leaves room for those that somebody waits for."""
        text = f"At {self.address}, on {at:%Y-%m-%d %H:%M} UTC, {what}\n\nWho did it: {by}.\n\n"
        text += "If you do not expect this, reset your password now, which ends all sessions, and tell the operator."
        self._put(session, subject, to, "A change that concerns you", text, at_most=NOTICES_AN_HOUR)

    def key_ends(self, session: Session, person: str, to: str, name: str, ends: datetime) -> None:
        """Remind somebody of a key of theirs."""
        text = f"Your API key “{name}” at {self.address} ends on {ends:%Y-%m-%d %H:%M} UTC. What uses it is refused from then on.\n\n"
        text += "Rotate it before (`POST /api/users/keys/<id>/rotate`), and give the new one to what uses it. "
        text += "If nothing does, there is nothing to do."
        self._put(session, person, to, "An API key of yours ends soon", text, ends, at_most=NOTICES_AN_HOUR)

    def _link(self, page: str, token: str) -> str:
        return f"{self.address}/account/{page}#token={token}"

    def _put(
        self, session: Session, person: str, to: str, title: str, text: str, expires_at: datetime | None = None, at_most: int = MAX_AN_HOUR
    ) -> None:
        try:
            self._queue.put(session, subject=person, to=to, title=title, text=text, expires_at=expires_at, at_most=at_most)
        except HubError as error:
            _log.warning("letter.left-out", extra={"person": person, "code": error.code})
