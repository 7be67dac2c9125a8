"""API keys that an operator should look after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from luminai.host.repair_items import Fix, Repair

if TYPE_CHECKING:
    from luminai.host.hub import Hub

MAX_KEYS: Final = 50


async def key_repairs(hub: Hub) -> AsyncIterator[Repair]:
    """Yield programs' keys that end soon, and keys that never end. An item each, so that one can be put aside for good and the next is told."""
    for info in await hub.keys.to_look_after(limit=MAX_KEYS):
        if info.expires_at is None:
            yield Repair(
                id=f"endless-key::{info.id}",
                severity="notice",
                title=f"The API key {info.name} never ends",
                cause=f"{info.id} of {info.subject} was made without an end.",
                effect="If somebody else gets hold of it, it works for them until you notice.",
                fix=Fix(steps=(f"`luminai keys rotate {info.id}` makes one that ends.", "Or ignore this item, with the reason.")),
            )
        else:
            yield Repair(
                id=f"ending-key::{info.id}",
                severity="warning",
                title=f"The API key {info.name} ends on {info.expires_at:%Y-%m-%d}",
                cause=f"{info.id} of {info.subject} has no successor.",
                effect="From then on, what uses it is refused.",
                fix=Fix(steps=(f"`luminai keys rotate {info.id}`, and give the new one to what uses it.",)),
            )
