"""What identity is made of, put together once a hub."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.orm import Session

from luminai.audit.log import AuditLog
from luminai.config.settings import Settings
from luminai.contracts.context import Clock
from luminai.contracts.vault import Vault
from luminai.data.database import HubDatabase
from luminai.identity import invitations, outside_trips
from luminai.identity.access import Access
from luminai.identity.digests import DigestKey
from luminai.identity.jwt import AccessTokens
from luminai.identity.letters import LetterQueue, Letters
from luminai.identity.notices import Notices
from luminai.identity.passwords import Passwords
from luminai.identity.people import PeopleTable
from luminai.identity.sessions import Lengths, SessionTable
from luminai.identity.signing_keys import SigningKeys
from luminai.identity.throttle import Throttle

if TYPE_CHECKING:
    from luminai.identity.outside_providers import OutsideProvider

_log = logging.getLogger("luminai.identity")
KEEP_SECONDS: Final = 600.0


class Identity:
    """The parts, for the functions of this room.

    Args:
        queue: Takes letters to people.
        has_mail: Tells whether letters can be sent at all now.
        lend: Gives what a running plugin has put into an extension point of the hub, None without one, behind its guard.
        providers: Services to sign in through, by name.
    """

    def __init__(
        self,
        database: HubDatabase,
        clock: Clock,
        *,
        vault: Vault,
        queue: LetterQueue,
        has_mail: Callable[[], bool],
        lend: Callable[[str], AbstractContextManager[Any]],
        audit: AuditLog,
        settings: Settings,
        providers: Mapping[str, OutsideProvider],
    ) -> None:
        self.database = database
        self.clock = clock
        self.audit = audit
        self.vault = vault
        self.providers = providers
        self.settings = settings.identity
        lengths = Lengths(
            lock=timedelta(minutes=self.settings.lock_minutes),
            idle=timedelta(hours=self.settings.idle_hours),
            absolute=timedelta(days=self.settings.session_days),
        )
        self.digests = DigestKey(database, vault)
        self.passwords = Passwords()
        self.throttle = Throttle(database, clock)
        self.people = PeopleTable(vault)
        self.sessions = SessionTable(vault, lengths)
        self.signing_keys = SigningKeys(database, clock, vault)
        self.tokens = AccessTokens(self.signing_keys, clock)
        self.access = Access(database, clock, self.tokens, self.sessions)
        server = settings.server
        self.letters = Letters(queue, server.public_url or f"http://{server.host}:{server.port}")
        audit.on_record = Notices(self)
        self.lend = lend
        self._has_mail = has_mail
        self.forget: Callable[[str], None] = lambda _: None
        """Called with a session's or a person's id when what it may do has changed: nothing that is remembered of it holds any more."""
        self._is_private = not server.public_url and _is_loopback(server.host)

    @property
    def registration(self) -> str:
        """``open``, ``invite`` or ``closed``. Where nothing is set, it is open only while nobody but this machine can reach the hub."""
        wanted = self.settings.registration
        if wanted != "auto":
            return wanted
        return "open" if self._is_private else "invite"

    @property
    def has_mail(self) -> bool:
        """Whether letters can be sent."""
        return self._has_mail()

    @property
    def must_verify(self) -> bool:
        """Whether an address must be confirmed before its owner can sign in. Where nothing is set: wherever letters can be sent."""
        wanted = self.settings.verify_email
        return wanted == "required" or (wanted == "auto" and self.has_mail)

    @property
    def enters_at_once(self) -> bool:
        """Whether whoever opens an account is signed in by that: only where the operator says that no address is confirmed.

        The answer then tells which addresses have an account, so that it is nothing to begin with.
        """
        return self.settings.verify_email == "off"

    async def keep(self) -> None:
        """Now and then rotate keys that are due and forget what is over."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                await self.tidy()
            except Exception:  # noqa: BLE001 - one bad turn must not end the upkeep
                _log.exception("identity.keep.failed")

    async def tidy(self) -> None:
        """One turn of ``keep``."""
        now = self.clock.now()

        def unit(session: Session) -> None:
            self.sessions.tidy(session, now)
            outside_trips.tidy(session, now)
            invitations.tidy(session, now)
            self.throttle.tidy(session)

        await self.signing_keys.keep()
        await self.database.write(unit)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
