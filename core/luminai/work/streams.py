"""Streams of the log: numbered events of one key, and the state that follows from them. Plain functions of a ``Session``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from luminai.contracts.runtime import Event
from luminai.contracts.streams import Aggregate, Folded
from luminai.data.tables_events import event_snapshots, events

PAGE: Final = 500
KEPT: Final = 10
"""Snapshots of a stream that stay; what lies before them is replayed from the first event."""
_MINE: Final = (events.c.plugin == bindparam("of"), events.c.key == bindparam("stream"), events.c.number.is_not(None))
_LENGTH: Final = select(func.max(events.c.number)).where(*_MINE)
_LENGTH_AT: Final = _LENGTH.where(events.c.created_at <= bindparam("moment", type_=events.c.created_at.type))
_NEXT: Final = select(events).where(*_MINE, events.c.number > bindparam("after")).order_by(events.c.number).limit(bindparam("most"))
_SNAPSHOT: Final = (
    select(event_snapshots.c.number, event_snapshots.c.state)
    .where(
        event_snapshots.c.plugin == bindparam("of"),
        event_snapshots.c.key == bindparam("stream"),
        event_snapshots.c.version == bindparam("made_by"),
        event_snapshots.c.number <= bindparam("most"),
    )
    .order_by(event_snapshots.c.number.desc())
    .limit(1)
)


class Stream(Struct, frozen=True):
    """One stream: ``key`` with the aggregate's name before it, as the log has it."""

    plugin: str
    key: str


def stream_of(plugin: str, aggregate: str, key: str) -> Stream:
    """Return the stream of one thing."""
    return Stream(plugin, f"{aggregate}:{key}")


def length(session: Session, stream: Stream, *, at: datetime | None = None) -> int:
    """Return the number of a stream's last event, now or at a moment; 0 for none."""
    given = {"of": stream.plugin, "stream": stream.key}
    found: int | None = session.execute(_LENGTH, given).scalar() if at is None else session.execute(_LENGTH_AT, given | {"moment": at}).scalar()
    return found or 0


def read(session: Session, stream: Stream, *, after: int = 0, most: int = PAGE) -> list[Event]:
    """Return the next events of a stream."""
    rows = session.execute(_NEXT, {"of": stream.plugin, "stream": stream.key, "after": after, "most": most})
    same = ("id", "type", "version", "subject", "key", "number", "owner", "correlation", "causation", "payload")
    return [Event(**{name: getattr(row, name) for name in same}, at=row.created_at) for row in rows]


def fold(session: Session, stream: Stream, aggregate: Aggregate, *, number: int, full: bool = False) -> Folded:
    """Return the state after the first ``number`` events: from the nearest snapshot, or with ``full`` from the first event."""
    state, done, at = aggregate.state(), 0, None
    if not full:
        given = {"of": stream.plugin, "stream": stream.key, "made_by": aggregate.version, "most": number}
        kept = session.execute(_SNAPSHOT, given).first()
        if kept is not None:
            state, done = msgspec.convert(kept.state, aggregate.state), kept.number
            at = _at(session, stream, done)
    replayed = 0
    for event in _between(session, stream, done, number):
        state = aggregate.apply(state, event)
        done, at, replayed = event.number, event.at, replayed + 1
    return Folded(state=state, number=done, at=at, replayed=replayed)


def keep_snapshot(session: Session, stream: Stream, aggregate: Aggregate, now: datetime) -> int:
    """Keep the state of now, unless that is kept already; return how many events it stands for."""
    found = fold(session, stream, aggregate, number=length(session, stream))
    if found.replayed:
        mine = (event_snapshots.c.plugin == stream.plugin) & (event_snapshots.c.key == stream.key)
        last = session.execute(
            select(events.c.id).where(events.c.plugin == stream.plugin, events.c.key == stream.key, events.c.number == found.number)
        ).scalar_one()
        row = {"plugin": stream.plugin, "key": stream.key, "number": found.number, "version": aggregate.version, "last_event": last}
        session.execute(insert(event_snapshots).values(**row, state=found.state, created_at=now))
        oldest = select(event_snapshots.c.number).where(mine).order_by(event_snapshots.c.number.desc()).offset(KEPT - 1).limit(1)
        if (least := session.execute(oldest).scalar()) is not None:
            session.execute(delete(event_snapshots).where(mine, event_snapshots.c.number < least))
    return found.number


def _at(session: Session, stream: Stream, number: int) -> datetime | None:
    mine = (events.c.plugin == stream.plugin) & (events.c.key == stream.key) & (events.c.number == number)
    found: datetime | None = session.execute(select(events.c.created_at).where(mine)).scalar()
    return found


def _between(session: Session, stream: Stream, after: int, until: int) -> Iterator[Event]:
    while after < until:
        found: list[Any] = read(session, stream, after=after, most=min(PAGE, until - after))
        if not found:
            return
        for event in found:
            if event.number > until:
                return
            yield event
        after = found[-1].number
