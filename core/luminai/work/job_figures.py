"""How many jobs wait, and how long: looked up by the indexes of live jobs, so that a ledger of millions of settled ones does not matter."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import func, literal_column, select
from sqlalchemy.orm import Session

from luminai.data.tables_jobs import jobs
from luminai.work.jobs import IS_LATER, LATER

LIVE: Final = ("queued", "scheduled", "retrying", "running", "waiting", "parked")
MAX_COUNTED: Final = 100_000
_RANKS: Final = 10
_COUNTS: Final = {
    state: select(func.count()).select_from(
        select(literal_column("1"))
        .where(jobs.c.state == literal_column(f"'{state}'"), *([IS_LATER] if state in LATER else []))
        .limit(MAX_COUNTED)
        .subquery()
    )
    for state in LIVE
}
"""The partial index of those for a later moment serves only a query that says so in the index's own words."""
_OLDEST: Final = [
    select(jobs.c.run_at).where(jobs.c.state == literal_column("'queued'"), jobs.c.rank == rank).order_by(jobs.c.id).limit(1)
    for rank in range(_RANKS)
]
"""The head of each rank's queue."""


class Backlog(Struct, frozen=True):
    """Jobs by live state, each counted up to 100,000, and since when the oldest at the head of a queue may run."""

    states: dict[str, int]
    oldest: datetime | None


def backlog(session: Session) -> Backlog:
    """Return what waits."""
    states = {state: session.execute(query).scalar_one() for state, query in _COUNTS.items()}
    heads = [session.execute(query).scalar() for query in _OLDEST] if states["queued"] else []
    return Backlog(states, min((one for one in heads if one is not None), default=None))
