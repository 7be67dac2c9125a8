"""Durable subscriptions that the hub keeps for plugins, also while those are off. Plain functions of a ``Session``."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.data.tables_events import subscriptions


class Kept(Struct, frozen=True):
    """A durable subscription: ``action`` is the name that its jobs run under, ``event`` the full name of what it listens to."""

    plugin: str
    action: str
    event: str


def kept(session: Session) -> list[Kept]:
    """Return all that are kept."""
    rows = session.execute(select(subscriptions).order_by(subscriptions.c.plugin, subscriptions.c.action))
    return [Kept(row.plugin, row.action, row.event) for row in rows]


def keep(session: Session, declared: Collection[Kept], running: Collection[str], now: datetime) -> list[Kept]:
    """Keep what the ``running`` plugins declare, forget what they no longer do, and return what was never there before."""
    known = set(kept(session))
    gone = [one for one in known if one.plugin in running and one not in declared]
    for one in gone:
        session.execute(delete(subscriptions).where(subscriptions.c.plugin == one.plugin, subscriptions.c.action == one.action))
    new = [one for one in declared if one not in known]
    for one in new:
        session.execute(insert(subscriptions).values(plugin=one.plugin, action=one.action, event=one.event, since=now))
    return new
