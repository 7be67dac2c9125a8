"""Short messages of the hub to telephones, and who carries them."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

SMS_POINT: Final = "hub.sms/1"
"""The extension point that takes a ``ShortMessageTransport``; the first one carries all messages."""


class ShortMessage(Struct, frozen=True, kw_only=True):
    """A message. ``to`` is a number as in ``+41791234567`` (E.164), already checked; ``text`` has at most 300 characters."""

    id: str
    to: str
    text: str


@runtime_checkable
class ShortMessageTransport(Protocol):
    """Hands messages over to a telephone network."""

    name: str

    async def send(self, message: ShortMessage) -> None:
        """Return when the network has taken the message; within 10 seconds.

        Raises:
            Unavailable: it cannot be sent now. Somebody waits for it, so it is not tried again.
            InvalidInput: it will never be taken (the number does not exist).
        """
        ...
