"""Events outlive those whom they name: a name of an outside service is taken out of a plugin's events. And what was made of a person's events goes
before they do."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Text, cast, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from luminai.data.tables_events import event_snapshots, events

GHOST: Final = "ghost"
_PEOPLE: Final = frozenset({"account", "actor", "author", "by", "login", "owner", "sender", "user", "username"})
PAGE: Final = 200


def take_out(session: Session, plugin: str, name: str) -> int:
    """Put ``ghost`` wherever a field of a plugin's events that stands for a person holds ``name``; return in how many events."""
    wanted = name.casefold()
    mentions = func.lower(cast(events.c.payload, Text)).contains(wanted, autoescape=True)
    query = select(events.c.id, events.c.payload).where(events.c.type.startswith(f"{plugin}.", autoescape=True), mentions)
    count, last = 0, ""
    while rows := session.execute(query.where(events.c.id > last).order_by(events.c.id).limit(PAGE)).all():
        for row in rows:
            payload = _without(row.payload, wanted)
            if payload != row.payload:
                session.execute(update(events).where(events.c.id == row.id).values(payload=payload))
                count += 1
        last = rows[-1].id
    if count:  # a state that was folded from them may hold the name too
        session.execute(delete(event_snapshots).where(event_snapshots.c.plugin == plugin))
    return count


def forget_snapshots(session: Session, person: str) -> None:
    """Delete the snapshots of every stream that has an event of a person: they hold what it said, whoever's event was the last."""
    theirs = events.alias("theirs")
    mine = theirs.c.number.is_not(None) & or_(theirs.c.subject == person, theirs.c.owner == person)
    same = exists().where(mine, theirs.c.plugin == event_snapshots.c.plugin, theirs.c.key == event_snapshots.c.key)
    session.execute(delete(event_snapshots).where(same))


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {
            key: GHOST if key in _PEOPLE and isinstance(inner, str) and inner.casefold() == name else _without(inner, name)
            for key, inner in value.items()
        }
    return [_without(inner, name) for inner in value] if isinstance(value, list) else value
