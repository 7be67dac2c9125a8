"""The log of events as people see it, and what is forgotten of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from luminai.config.settings import EventSettings
from luminai.contracts.context import Clock, Database
from luminai.contracts.errors import NotFound
from luminai.contracts.identity import Actor
from luminai.data.tables_events import events
from luminai.data.tables_jobs import jobs
from luminai.work.event_jobs import TRIGGER
from luminai.work.jobs import OPEN
from luminai.work.subscriptions import kept

PRUNED_AT_ONCE: Final = 2000
MAX_COUNTS: Final = 500
MAX_DELIVERIES: Final = 200


class EventInfo(Struct, frozen=True, kw_only=True):
    """An event without its payload.

    Attributes:
        subject: Whom or what it is about; ``owner`` in whose name it was published, "" for the hub's.
        number: Its place in the stream ``key`` of its plugin; 0 outside of streams.
        correlation: The same for all that follows from one beginning; ``causation`` is what comes directly before.
        generation: Of the hub, when it was published.
    """

    id: str
    type: str
    version: int
    subject: str
    owner: str
    organisation: str
    key: str
    number: int
    correlation: str
    causation: str
    generation: int
    at: datetime


class EventDelivery(Struct, frozen=True, kw_only=True):
    """What became of an event for one durable subscription; ``state`` as of jobs."""

    subscription: str
    job: str
    state: str
    attempts: int
    error: str


class EventDetail(EventInfo, frozen=True, kw_only=True):
    """An event with its payload, and for operators what became of it."""

    payload: Any
    deliveries: list[EventDelivery]


class EventCount(Struct, frozen=True, kw_only=True):
    """How many events of a type there were, and how many different people and things they are about."""

    type: str
    count: int
    subjects: int
    first: datetime
    last: datetime


class EventFilter(Struct, frozen=True, kw_only=True):
    """What is listed; empty fields stand for all. ``type`` may be a plugin's id."""

    type: str = ""
    key: str = ""
    correlation: str = ""
    subject: str = ""


class Viewer(Struct, frozen=True):
    """Who looks: only events are there that were published in the name of ``subject`` or are about that one, and of ``plugins`` (None: of all)."""

    subject: str
    plugins: frozenset[str] | None = None

    @classmethod
    def of(cls, actor: Actor) -> Viewer:
        """Return what a credential may see of its owner's events: those of plugins of which it holds a scope."""
        return cls(actor.subject, None if "*" in actor.scopes else frozenset(scope.partition(":")[0] for scope in actor.scopes))


class EventLog:
    """The log; with ``viewer`` None all of it is there."""

    def __init__(self, database: Database, clock: Clock, settings: EventSettings) -> None:
        self._db = database
        self._clock = clock
        self._settings = settings

    async def page(self, wanted: EventFilter, *, viewer: Viewer | None, limit: int, before: str | None) -> list[EventInfo]:
        """Return events, newest first."""
        query = select(*_HEAD).order_by(events.c.id.desc()).limit(limit)
        if wanted.type:
            query = query.where(events.c.type == wanted.type if "." in wanted.type else events.c.plugin == wanted.type)
        for column, value in ((events.c.key, wanted.key), (events.c.correlation, wanted.correlation), (events.c.subject, wanted.subject)):
            query = query.where(column == value) if value else query
        query = query.where(_of(viewer)) if viewer is not None else query
        query = query.where(events.c.id < before) if before else query
        return await self._db.read(lambda session: [_info(row) for row in session.execute(query)])

    async def find(self, event_id: str, *, viewer: Viewer | None) -> EventDetail:
        """Return one with its payload; without ``viewer`` also with its deliveries, at most 200.

        Raises:
            NotFound: there is none, or it is somebody else's (code ``event-not-found``).
        """
        query = select(events).where(events.c.id == event_id)
        query = query.where(_of(viewer)) if viewer is not None else query

        def unit(session: Session) -> EventDetail:
            row = session.execute(query).first()
            if row is None:
                raise NotFound(f"There is no event {event_id}.", code="event-not-found", hint="`luminai events list` shows them.")
            head = {name: getattr(_info(row), name) for name in EventInfo.__struct_fields__}
            return EventDetail(**head, payload=row.payload, deliveries=_deliveries(session, row) if viewer is None else [])

        return await self._db.read(unit)

    async def counts(self, *, days: int) -> list[EventCount]:
        """Return what was published in the last ``days``, the most frequent types first."""
        since = self._clock.now() - timedelta(days=days)
        count = func.count()
        columns = (count.label("count"), func.count(events.c.subject.distinct()).label("subjects"))
        span = (func.min(events.c.created_at).label("first"), func.max(events.c.created_at).label("last"))
        query = select(events.c.type, *columns, *span).where(events.c.id > _id_at(since), events.c.created_at >= since)
        query = query.group_by(events.c.type).order_by(count.desc(), events.c.type).limit(MAX_COUNTS)
        return await self._db.read(
            lambda session: [EventCount(**row._mapping) for row in session.execute(query)],  # noqa: SLF001 - SQLAlchemy's public name
            timeout=30,
        )

    async def prune(self) -> int:
        """Forget events whose time is over, in small portions, and return how many; what a subscriber still waits for stays until it ran.

        A plugin that is off does not hold the log up: what waits for it longer than the log keeps expires.
        """
        now = self._clock.now()
        ends = {keep: now - timedelta(days=days) for keep, days in (("short", self._settings.short_days), ("standard", self._settings.days))}
        waiting = select(func.min(jobs.c.once)).where(jobs.c.trigger.startswith(TRIGGER, autoescape=True), jobs.c.state.in_(OPEN))

        def unit(session: Session) -> int:
            late = jobs.c.trigger.startswith(TRIGGER, autoescape=True) & (jobs.c.state == "parked") & (jobs.c.created_at < min(ends.values()))
            session.execute(update(jobs).where(late).values(state="expired", settled_at=now))
            oldest = session.execute(waiting).scalar()
            count = 0
            for keep, end in ends.items():
                old = (events.c.keep == keep) & (events.c.created_at < end)
                old = old & (events.c.id < oldest) if oldest is not None else old
                some = select(events.c.id).where(old).order_by(events.c.id).limit(PRUNED_AT_ONCE)
                result: Any = session.execute(delete(events).where(events.c.id.in_(some)))
                count += int(result.rowcount)
            return count

        total = 0
        while found := await self._db.write(unit):
            total += found
            if found < PRUNED_AT_ONCE:
                break
        return total


_HEAD: Final = [column for column in events.c if column.name != "payload"]


def _deliveries(session: Session, event: Any) -> list[EventDelivery]:
    targets = [(jobs.c.plugin == one.plugin) & (jobs.c.action == one.action) for one in kept(session) if one.event == event.type]
    if not targets:
        return []
    rows = session.execute(select(jobs).where(jobs.c.once == event.id, or_(*targets)).order_by(jobs.c.id).limit(MAX_DELIVERIES))
    return [
        EventDelivery(subscription=f"{row.plugin}.{row.action}", job=row.id, state=row.state, attempts=row.attempts, error=row.error) for row in rows
    ]


def _of(viewer: Viewer) -> Any:
    own = or_(events.c.owner == viewer.subject, events.c.subject == viewer.subject)
    return own if viewer.plugins is None else own & events.c.plugin.in_(sorted(viewer.plugins))


def _info(row: Any) -> EventInfo:
    same = [name for name in EventInfo.__struct_fields__ if name not in ("number", "at")]
    return EventInfo(**{name: getattr(row, name) for name in same}, number=row.number or 0, at=row.created_at)


def _id_at(moment: datetime) -> str:
    """Return the least id that an event of a moment can have, a minute earlier for clocks that differ: ids begin with milliseconds."""
    return f"evt_{max(0, int((moment - timedelta(minutes=1)).timestamp() * 1000)):012x}"
