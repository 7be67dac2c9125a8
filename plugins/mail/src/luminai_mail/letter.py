"""From a letter of the hub to the bytes of a message."""

from __future__ import annotations

from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from luminai import InvalidInput, Mail

_POLICY: Final = SMTP.clone(cte_type="7bit")  # no server is asked whether it takes 8 bits


def compose(mail: Mail, *, sender: str, name: str, now: datetime) -> bytes:
    """Return the message (RFC 5322): plain text, beside it HTML if there is any; ``Message-ID`` is the same at each attempt.

    Args:
        now: Aware; stands as ``Date``.

    Raises:
        InvalidInput: a header would not be one line, or the address is none (code ``mail.bad-letter``).
    """
    message = EmailMessage(policy=_POLICY)
    try:
        message["From"] = Address(display_name=name, addr_spec=sender)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = now
        message["Message-ID"] = f"<{mail.id}@{sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's out-of-office answers it
        message.set_content(mail.text)
        if mail.html:
            message.add_alternative(mail.html, subtype="html")
        return message.as_bytes()
    except (MessageError, ValueError, IndexError) as error:  # the parser of addresses knows all three
        raise InvalidInput("The letter does not make a message.", code="mail.bad-letter", hint="Look at its address and title.") from error
