"""How hubs that share a Redis keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luminai.host.hub import Hub


async def name_in_redis(hub: Hub) -> str:
    """Return the part of its keys that no other hub has: all processes of one database have the same, and outside of it nobody can tell it."""
    return (await hub.identity.digests.get()).text("live")[:22]
