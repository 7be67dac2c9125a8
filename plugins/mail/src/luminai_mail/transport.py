"""The transport that the hub sends its letters by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from luminai import Clock, Health, HealthState, Mail, Unavailable
from luminai_mail.config import MailConfig
from luminai_mail.connection import Connection
from luminai_mail.letter import compose


class SmtpTransport:
    """Implements ``MailTransport``: a connection a letter, nothing is kept open.

    Args:
        folder: Where a relative ``ca-file`` lies.
        run_sync: Runs a blocking function in a thread.
    """

    name = "smtp"

    def __init__(self, config: MailConfig, *, folder: Path, clock: Clock, run_sync: Callable[..., Awaitable[Any]]) -> None:
        self._config = config
        self._folder = folder
        self._clock = clock
        self._run_sync = run_sync

    async def send(self, mail: Mail) -> None:
        """Hand a letter over to the mail server."""
        config = self._config
        message = compose(mail, sender=config.from_address, name=config.from_name, now=self._clock.now())
        await self._visit(lambda connection: connection.hand_over(mail.to, message))

    async def look(self, *, login: bool) -> None:
        """See that the server answers.

        Raises:
            Unavailable: it does not, or refuses the login.
        """
        await self._visit(lambda connection: connection.look(login=login))

    async def health(self) -> Health:
        """Tell whether the server answers; without login, which some services count. Letters wait while it does not, so nothing is lost."""
        try:
            await self.look(login=False)
        except Unavailable as error:
            return Health(HealthState.DEGRADED, error.detail)
        return Health(HealthState.OK)

    async def _visit(self, work: Callable[[Connection], None]) -> None:
        connection = Connection(self._config, self._folder)
        try:
            await self._run_sync(work, connection)
        except asyncio.CancelledError:
            connection.abort()
            raise
