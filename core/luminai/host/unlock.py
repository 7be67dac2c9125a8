"""The vault of a hub that starts; safe mode also starts with one that stays locked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from luminai.contracts.errors import HubError, ProblemItem
from luminai.data.vault.hub_vault import HubVault
from luminai.data.vault.ring import FILE_NAME, KeyRing, ring_of

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.hub")
NO_FILE: Final = "locked"
"""A key file that there never is: with a wrong key at hand, a locked vault would seal new data that the right key does not open."""


async def open_vault(hub: Hub) -> HubVault:
    """Return the vault with its master key checked.

    In safe mode a key that is missing, wrong or exposed keeps what is sealed locked, not the hub from starting; ``hub.faults`` then says why.

    Raises:
        HubError: the master key does not open the data, or cannot be used (not in safe mode).
    """
    try:
        vault = HubVault(ring_of(hub.config), hub.database, hub.clock)
        await vault.start()
    except HubError as locked:
        if not hub.safe_mode:
            raise
        _log.error("vault.locked", extra={"code": locked.code, "reason": locked.detail, "hint": locked.hint})
        hub.faults = (*hub.faults, ProblemItem(detail=locked.detail, code=locked.code, hint=locked.hint, file=FILE_NAME))
        return HubVault(KeyRing(hub.data_dir / "keys" / NO_FILE), hub.database, hub.clock)
    return vault
