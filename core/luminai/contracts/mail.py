"""Letters of the hub to people, and who carries them."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

MAIL_POINT: Final = "hub.mail/1"
"""The extension point that takes a ``MailTransport``; the first one carries all mail."""


class Mail(Struct, frozen=True, kw_only=True):
    """A letter: plain text always, HTML where it helps.

    Attributes:
        id: Stays the same over attempts; a transport puts it into ``Message-ID``.
        to: One address, already checked.
        subject: One line without control characters, at most 200 characters.
    """

    id: str
    to: str
    subject: str
    text: str
    html: str = ""


@runtime_checkable
class MailTransport(Protocol):
    """Hands letters over to a mail server."""

    name: str

    async def send(self, mail: Mail) -> None:
        """Return when the server has taken the letter.

        Raises:
            Unavailable: it cannot be sent now; it will be tried again.
            InvalidInput: it will never be taken (the address does not exist); it will not be tried again.
        """
        ...
