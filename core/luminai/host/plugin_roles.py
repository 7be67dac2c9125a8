"""What the roles of the hub may do with the plugins that run, as those say in their manifests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from luminai.audit.log import HUB
from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import HubError
from luminai.host.generation import Generation
from luminai.identity.roles import PluginRoles, differing, follow

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.host")


async def follow_plugins(hub: Hub, generation: Generation) -> None:
    """Let the roles that no operator has written allow what the running plugins say, in full or not at all."""
    wanted = PluginRoles({loaded.id: loaded.planned.manifest.roles for loaded in generation.plugins})

    def unit(session: Session) -> list[str]:
        changed = follow(session, wanted)
        for role in changed:
            hub.audit.record(session, HUB, AuditEntry(action="role.follow", object=role))
        return changed

    try:
        if await hub.database.read(lambda session: differing(session, wanted)) and await hub.database.write(unit):
            hub.identity.forget("")
    except HubError:  # it serves already; the next change tries again
        _log.exception("roles.follow.failed")
