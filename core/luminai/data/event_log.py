"""Events inside units of work: written to the log with the unit's rows, and known to the hub once those are durable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from luminai.contracts.runtime import Event
from luminai.data.after_commit import Word, words
from luminai.data.causes import Cause, stands_at
from luminai.data.ids import new_id
from luminai.data.owners import unit_acts_for
from luminai.data.prepared import Prepared
from luminai.data.tables_events import events
from luminai.telemetry.spans import SpanPlace

T = TypeVar("T")
_PUBLISHED: Final = "luminai.published"
_DOUBTFUL: Final = "luminai.published-doubtful"
_CAUSE: Final = "luminai.cause"
_NO_CAUSE: Final = Cause("")
_PUT: Final = Prepared(insert(events))


class Published(Struct, frozen=True, kw_only=True):
    """An event of a unit; ``payload`` is its JSON as it was at that moment, so that no subscriber sees what another one changed."""

    id: str
    type: str
    version: int
    subject: str
    payload: bytes
    at: datetime
    owner: str = ""
    organisation: str = ""
    key: str = ""
    number: int = 0
    correlation: str = ""
    causation: str = ""

    def told(self) -> Event:
        """Return the event as a subscriber gets it."""
        return Event(
            type=self.type,
            payload=msgspec.json.decode(self.payload),
            subject=self.subject,
            version=self.version,
            key=self.key,
            number=self.number,
            id=self.id,
            at=self.at,
            owner=self.owner,
            correlation=self.correlation,
            causation=self.causation,
        )


class Origin(Struct, frozen=True):
    """Where an event comes from, and how long it is kept."""

    plugin: str
    generation: int = 0
    keep: str = "standard"


def publish(session: Session, event: Event, origin: Origin, at: datetime, *, payload: bytes | None = None, number: int | None = None) -> Published:
    """Write ``event`` to the log in the session's transaction and return it.

    Args:
        payload: Its JSON, where it is there already.
        number: Its place in the stream ``event.key``.
    """
    because: Cause = session.info.get(_CAUSE, _NO_CAUSE)
    whose = unit_acts_for()
    event_id = new_id("evt")
    found = Published(
        id=event_id,
        type=event.type,
        version=event.version,
        subject=event.subject,
        payload=payload if payload is not None else msgspec.json.encode(event.payload),
        at=at,
        owner=whose.subject,
        organisation=whose.organisation,
        key=event.key,
        number=number or 0,
        correlation=because.correlation or event_id,
        causation=because.causation,
    )
    row = {
        "id": event_id,
        "plugin": origin.plugin,
        "type": event.type,
        "version": event.version,
        "subject": event.subject,
        "owner": whose.subject,
        "organisation": whose.organisation,
        "key": event.key,
        "number": number,
        "payload": event.payload,
        "correlation": found.correlation,
        "causation": found.causation,
        "generation": origin.generation,
        "keep": origin.keep if number is None else "lasting",
        "created_at": at,
    }
    _PUT.run(session, row)
    session.info.setdefault(_PUBLISHED, []).append(found)
    return found


class Noted(Generic[T]):
    """A unit that remembers what it published, and wants said, in its last run. A unit may run more than once; only the last run counts.

    Args:
        because: Why the unit is done; its thread cannot see the task's.
        place: The span that it belongs to.
    """

    __slots__ = ("_because", "_place", "_unit", "events", "words")

    def __init__(self, unit: Callable[[Session], T], because: Cause | None = None, place: SpanPlace | None = None) -> None:
        self._unit = unit
        self._because = because
        self._place = place
        self.events: tuple[Published, ...] = ()
        self.words: tuple[Word, ...] = ()

    def __call__(self, session: Session) -> T:
        self.events, self.words = (), ()
        if self._because is not None:
            session.info[_CAUSE] = self._because
        if self._place is not None:
            stands_at(session, self._place)
        result = self._unit(session)
        self.words = words(session)
        published: list[Published] | None = session.info.get(_PUBLISHED)
        if published:
            self.events = still_there(session, published) if _DOUBTFUL in session.info else tuple(published)
        return result


def still_there(session: Session, published: list[Published] | tuple[Published, ...]) -> tuple[Published, ...]:
    """Return those whose rows are in the log."""
    if not published:
        return ()
    found = set(session.execute(select(events.c.id).where(events.c.id.in_([one.id for one in published]))).scalars())
    return tuple(one for one in published if one.id in found)


@sqlalchemy_event.listens_for(Session, "after_soft_rollback")
def _rolled_back(session: Session, _: Any) -> None:
    """A unit may roll a part of itself back and go on: then its rows tell what is left."""
    if _PUBLISHED in session.info:
        session.info[_DOUBTFUL] = True
