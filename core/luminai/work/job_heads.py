"""The heads of the queues: which jobs are to begin next. Plain functions of a ``Session``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, bindparam, literal_column, select, update
from sqlalchemy.orm import Session

from luminai.data.tables_jobs import jobs

TOLD_MOST: Final = 50
"""Jobs of one action that workers were told of and that have not begun."""
_QUEUED: Final = jobs.c.state == literal_column("'queued'")
_ALL: Final = select(jobs).where(_QUEUED).order_by(jobs.c.rank, jobs.c.id).limit(bindparam("most")).with_for_update(skip_locked=True)
_OF: Final = _ALL.where(jobs.c.plugin == bindparam("plugin"), jobs.c.action == bindparam("action"))
_FIRST: Final = select(jobs.c.plugin, jobs.c.action).where(_QUEUED).order_by(jobs.c.plugin, jobs.c.action).limit(1)
# two steps: SQLite would read every job of a queue for (plugin, action) > (…, …)
_NEXT_ACTION: Final = _FIRST.where(jobs.c.plugin == bindparam("plugin"), jobs.c.action > bindparam("action"))
_NEXT_PLUGIN: Final = _FIRST.where(jobs.c.plugin > bindparam("plugin"))
_UNTOLD: Final = jobs.c.told_until.is_(None) | (jobs.c.told_until <= bindparam("now"))
_ALL_UNTOLD, _OF_UNTOLD = _ALL.where(_UNTOLD), _OF.where(_UNTOLD)
_WAITING: Final = select(jobs.c.plugin, jobs.c.action).where(_QUEUED, jobs.c.told_until > bindparam("now"))


def heads(session: Session, *, most: int, busy: Collection[str], full: Collection[str], untold_at: datetime | None = None) -> Sequence[Any]:
    """Return the rows of up to ``most`` jobs that may begin, the most urgent first, and of those the oldest, locked.

    With something left out, each other queue is looked at by itself: a million jobs that may not begin now do not stand before the others.

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


def still_queued(session: Session, ids: Collection[str]) -> set[str]:
    """Return those of ``ids`` that wait for a worker."""
    return set(session.execute(select(jobs.c.id).where(jobs.c.id.in_(ids), _QUEUED)).scalars()) if ids else set()


def named(ids: Collection[str]) -> Select[Any]:
    """Return the query of those of ``ids`` that wait for a worker, in order and locked."""
    return select(jobs).where(jobs.c.id.in_(ids), _QUEUED).order_by(jobs.c.rank, jobs.c.id).with_for_update(skip_locked=True)


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
