"""What the clock brings: calls whose process died are ended, old records go."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from luminai import EndState, PluginContext
from luminai_ai_gateway.config import GatewayConfig
from luminai_ai_gateway.models import calls
from luminai_ai_gateway.record import RUNNING

PAGE: Final = 500
MOST_PAGES: Final = 200


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of an action that takes none."""


class Kept(Struct, frozen=True, kw_only=True):
    """How many records of lost calls were ended, and how many old ones deleted."""

    ended: Annotated[int, Meta(ge=0)]
    deleted: Annotated[int, Meta(ge=0)]


async def upkeep(ctx: PluginContext) -> Kept:
    """End what was lost first, then delete what is old, some rows at a time. What lost calls hold is released by the meter itself."""
    config: GatewayConfig = ctx.config
    now = ctx.clock.now()
    old = now - timedelta(days=config.keep_days)
    lost = select(calls.c.id).where(calls.c.state == RUNNING, calls.c.lease_until < now).limit(PAGE)
    values = {"state": str(EndState.CUT), "code": "lost", "reason": "the hub ended while the call ran", "key": None, "ended_at": now}

    def end(session: Session) -> int:
        found = list(session.execute(lost).scalars())
        session.execute(update(calls).where(calls.c.id.in_(found), calls.c.state == RUNNING).values(**values))
        return len(found)

    def remove(session: Session) -> int:
        found = list(session.execute(select(calls.c.id).where(calls.c.created_at < old).limit(PAGE)).scalars())
        session.execute(delete(calls).where(calls.c.id.in_(found)))
        return len(found)

    db, counts = ctx.db.as_system(), [0, 0]
    for place, unit in enumerate((end, remove)):
        for _ in range(MOST_PAGES):
            done = await db.write(unit)
            counts[place] += done
            if done < PAGE:
                break
    return Kept(ended=counts[0], deleted=counts[1])
