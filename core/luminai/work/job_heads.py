"""The heads of the queues: which jobs are to begin next. Plain functions of a ``Session``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, literal_column, select, update
from sqlalchemy.orm import Session

from luminai.data.tables_jobs import jobs

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


def _first(columns: Sequence[ColumnElement[Any]], *such: ColumnElement[bool]) -> tuple[Select[Any], Select[Any]]:
    """Return the queries of the first jobs of all queues, and of one."""
    every = _queued(columns).where(*such).limit(bindparam("most"))
    return every, every.where(jobs.c.plugin == bindparam("plugin"), jobs.c.action == bindparam("action"))


_ALL, _OF = _first(_BEGUN_WITH)
_ALL_UNTOLD, _OF_UNTOLD = _first(_TOLD_OF, jobs.c.told_until.is_(None) | (jobs.c.told_until <= bindparam("now")))
_NAMED: Final = _queued(_BEGUN_WITH).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_FIRST: Final = select(jobs.c.plugin, jobs.c.action).where(_QUEUED).order_by(jobs.c.plugin, jobs.c.action).limit(1)
# two steps: SQLite would read every job of a queue for (plugin, action) > (…, …)
_NEXT_ACTION: Final = _FIRST.where(jobs.c.plugin == bindparam("plugin"), jobs.c.action > bindparam("action"))
_NEXT_PLUGIN: Final = _FIRST.where(jobs.c.plugin > bindparam("plugin"))
_WAITING: Final = select(jobs.c.plugin, jobs.c.action).where(_QUEUED, jobs.c.told_until > bindparam("now"))


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
        return session.execute(every, given).all()
    found: list[Any] = []
    for plugin, action in _open_queues(session, busy, full):
        found += session.execute(of, given | {"plugin": plugin, "action": action}).all()
    return sorted(found, key=lambda row: (row.rank, row.id))[:most]


def told(session: Session, now: datetime) -> Counter[str]:
    """Return how many jobs of each action workers were told of, not too long ago, that have not begun."""
    return Counter(f"{row.plugin}.{row.action}" for row in session.execute(_WAITING, {"now": now}))


def tell(session: Session, ids: Collection[str], until: datetime | None) -> None:
    """Note until when those count as told who still wait; None: they do not. After that they are told anew."""
    if ids:
        session.execute(update(jobs).where(jobs.c.id.in_(ids), _QUEUED).values(told_until=until))


def named(session: Session, ids: Collection[str]) -> Sequence[Any]:
    """Return the rows of those of ``ids`` that wait for a worker, in order and locked."""
    return session.execute(_NAMED, {"ids": list(ids)}).all()


def _open_queues(session: Session, busy: Collection[str], full: Collection[str]) -> list[tuple[str, str]]:
    """Walk the index from queue to queue; those of a busy plugin are one step."""
    found: list[tuple[str, str]] = []
    row = session.execute(_FIRST).first()
    while row is not None:
        plugin, action = row
        if plugin not in busy:
            if f"{plugin}.{action}" not in full:
                found.append((plugin, action))
            row = session.execute(_NEXT_ACTION, {"plugin": plugin, "action": action}).first()
            if row is not None:
                continue
        row = session.execute(_NEXT_PLUGIN, {"plugin": plugin}).first()
    return found
