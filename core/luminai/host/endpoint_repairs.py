"""Endpoints of outbound webhooks that the hub turned off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from luminai.host.repair_items import Fix, Repair

if TYPE_CHECKING:
    from luminai.host.hub import Hub

MAX_ENDPOINTS: Final = 50


async def endpoint_repairs(hub: Hub) -> AsyncIterator[Repair]:
    """Yield an item for each endpoint that is disabled; its owner was told by letter."""
    for one in await hub.endpoints.disabled(limit=MAX_ENDPOINTS):
        yield Repair(
            id=f"endpoint::{one.id}",
            severity="notice",
            title=f"The webhook endpoint {one.title or one.id} is disabled",
            cause=one.reason or "It was turned off.",
            effect="Events are not sent there.",
            fix=Fix(steps=(f"`luminai endpoints log {one.id}` shows what it answered.", f"When it is mended: `luminai endpoints enable {one.id}`.")),
        )
