"""The vault of a command that works on the data itself: nothing is read or made before something is sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luminai.contracts.context import Clock
from luminai.data.vault.hub_vault import activate, masters, refusal
from luminai.data.vault.ring import ring_of
from luminai.data.vault.sealing import SubjectVault

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from luminai.config.layers import Configuration


class OfflineVault(SubjectVault):
    """Seals as the running hub does, with the same master key; the first one ever makes it.

    Raises:
        ConfigRejected: the key file cannot be used.
    """

    def __init__(self, config: Configuration, clock: Clock) -> None:
        super().__init__(ring_of(config), clock)

    def seal(self, session: Session, /, *, subject: str, place: str, value: bytes) -> bytes:
        """Seal; raises as ``SubjectVault.seal``, and ``Conflict`` when the master key is missing or another one than the data's."""
        known = masters(session)
        if (refused := refusal(self.ring, known)) is not None:
            raise refused
        if not known.active:
            if not self.ring.ids:
                self.ring.make()
            activate(session, self.ring.ids[0], self._clock.now())
        return super().seal(session, subject=subject, place=place, value=value)
