"""The mail transport of the serving generation, lent to the hub's worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from luminai.contracts.mail import MAIL_POINT, Mail, MailTransport
from luminai.host.calls import call_within
from luminai.host.generation import Generation
from luminai.host.lending import lend

SEND_SECONDS: Final = 30.0


class ContainedTransport:
    """Implements ``MailTransport`` around a plugin's: one letter has 30 seconds, and whatever the plugin raises or cancels stays inside."""

    def __init__(self, transport: MailTransport) -> None:
        self._transport = transport
        self.name = transport.name

    async def send(self, mail: Mail) -> None:
        """Send by the plugin.

        Raises:
            DeadlineExceeded: it did not return in time.
            Exception: what it raised.
        """
        await call_within(SEND_SECONDS, self._send(mail))

    async def _send(self, mail: Mail) -> None:
        await self._transport.send(mail)


@contextmanager
def lend_transport(generation: Generation) -> Iterator[MailTransport | None]:
    """Lend the transport of a generation, None without one."""
    with lend(generation, MAIL_POINT) as transport:
        yield ContainedTransport(transport) if transport is not None else None
