"""The heads of the queues: which jobs are to begin next. Plain functions of a ``Session``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, bindparam, case, cast, literal_column, null, select, update
from sqlalchemy.orm import Session

from luminai.data.among import among
from luminai.data.prepared import Prepared
from luminai.data.tables_jobs import jobs
from luminai.data.types import UTCDateTime

TOLD_MOST: Final = 50
"""Jobs of one action that workers were told of and that have not begun."""
_QUEUED: Final = jobs.c.state == literal_column("'queued'")
_TOLD_OF: Final = (jobs.c.id, jobs.c.plugin, jobs.c.action, jobs.c.rank)
_BEGUN_WITH: Final = (
    *_TOLD_OF,
    *(jobs.c.subject, jobs.c.organisation, jobs.c.actor, jobs.c.trigger, jobs.c.input, jobs.c.run_at, jobs.c.expires_at),
    *(jobs.c.attempts, jobs.c.attempts_before, jobs.c.same, jobs.c.trace),
)


def _queued(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    return select(*columns).where(_QUEUED).order_by(jobs.c.rank, jobs.c.id).with_for_update(skip_locked=True)


def _first(columns: Sequence[ColumnElement[Any]], *such: ColumnElement[bool]) -> tuple[Prepared, Prepared]:
    """Return the queries of the first jobs of all queues, and of one."""
    every = _queued(columns).where(*such).limit(bindparam("most"))
    return Prepared(every), Prepared(every.where(jobs.c.plugin == bindparam("plugin"), jobs.c.action == bindparam("action")))


_ALL, _OF = _first(_BEGUN_WITH)
_ALL_UNTOLD, _OF_UNTOLD = _first(_TOLD_OF, jobs.c.told_until.is_(None) | (jobs.c.told_until <= bindparam("now")))
_NAMED: Final = Prepared(_queued(_BEGUN_WITH).where(among(jobs.c.id, "ids")))


def _walk() -> Prepared:
    """Return the query of all queues: it goes from one to the next by the index, and reads one entry of each."""
    start = cast(literal_column("''"), String())
    at = select(start.label("plugin"), cast(null(), String()).label("action")).cte("queue", recursive=True)
    # steps of two kinds, to a plugin and to an action of it: SQLite would read every job of a queue for (plugin, action) > (…, …)
    # in the order of the index of what is queued: with less of it PostgreSQL takes a smaller index, of all jobs that ever were
    action = select(jobs.c.action).where(_QUEUED, jobs.c.plugin == at.c.plugin, jobs.c.action > at.c.action)
    action = action.order_by(jobs.c.action, jobs.c.rank, jobs.c.id).limit(1)
    plugin = select(jobs.c.plugin).where(_QUEUED, jobs.c.plugin > at.c.plugin)
    plugin = plugin.order_by(jobs.c.plugin, jobs.c.action, jobs.c.rank, jobs.c.id).limit(1)
    is_over = at.c.action.is_(None)
    step = select(case((is_over, plugin.scalar_subquery()), else_=at.c.plugin), case((is_over, start), else_=action.scalar_subquery()))
    at = at.union_all(step.where(at.c.plugin.is_not(None)))
    return Prepared(select(at.c.plugin, at.c.action).where(at.c.action != start))


_QUEUES: Final = _walk()
_WAITING: Final = Prepared(select(jobs.c.plugin, jobs.c.action).where(_QUEUED, jobs.c.told_until > bindparam("now")))
_TELL: Final = Prepared(update(jobs).where(among(jobs.c.id, "ids"), _QUEUED).values(told_until=bindparam("until", type_=UTCDateTime())))


def heads(session: Session, *, most: int, busy: Collection[str], full: Collection[str], untold_at: datetime | None = None) -> Sequence[Any]:
    """Return the rows of up to ``most`` jobs that may begin, the most urgent first, and of those the oldest, locked.

    With something left out, each other queue is looked at by itself: a million jobs that may not begin now do not stand before the others.

    Those that are told of have no more columns than that takes.

    Args:
        busy: Plugins of which nothing is taken.
        full: Full names of actions of which nothing is taken.
        untold_at: Only those of which no worker was told, or too long before that moment.
    """
    every, of = (_ALL, _OF) if untold_at is None else (_ALL_UNTOLD, _OF_UNTOLD)
    given = {"most": most} if untold_at is None else {"most": most, "now": untold_at}
    if not busy and not full:
        return every.rows(session, given)
    found: list[Any] = []
    for plugin, action in _QUEUES.rows(session):
        if plugin in busy or f"{plugin}.{action}" in full:
            continue
        found += of.rows(session, given | {"plugin": plugin, "action": action})
    return sorted(found, key=lambda row: (row.rank, row.id))[:most]


def told(session: Session, now: datetime) -> Counter[str]:
    """Return how many jobs of each action workers were told of, not too long ago, that have not begun."""
    return Counter(f"{row.plugin}.{row.action}" for row in _WAITING.rows(session, {"now": now}))


def tell(session: Session, ids: Collection[str], until: datetime | None) -> None:
    """Note until when those count as told who still wait; None: they do not. After that they are told anew."""
    if ids:
        _TELL.run(session, {"ids": list(ids), "until": until})


def named(session: Session, ids: Collection[str]) -> Sequence[Any]:
    """Return the rows of those of ``ids`` that wait for a worker, in order and locked."""
    return _NAMED.rows(session, {"ids": list(ids)})
