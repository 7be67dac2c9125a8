"""How often jobs may begin: an allowance of a plugin, or of an action, that all processes draw on. Plain functions of a ``Session``.

The numbers are those of ``luminai.data.rates`` (GCRA), by the hub's clock as leases are. They change in the transaction that takes the jobs: a claim
that is rolled back has used nothing up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from luminai.config.settings import JobRate
from luminai.data.tables_edge import rates

_PREFIX: Final = "job:"
_ROUNDING: Final = 1e-6


class Allowance(Struct, frozen=True):
    """How many jobs may begin now, and after how many seconds one more may; 0 while one may now."""

    left: int
    wait: float


def allowances(session: Session, limits: Mapping[str, JobRate], now: datetime) -> dict[str, Allowance]:
    """Return what is left of each limit. On PostgreSQL the unit must be the only one that claims."""
    ahead = _ahead(session, limits, now)
    found = {}
    for target, limit in limits.items():
        cost = limit.seconds / limit.starts
        left = int((limit.seconds - ahead[target]) / cost + _ROUNDING)
        found[target] = Allowance(left, 0.0 if left > 0 else ahead[target] + cost - limit.seconds)
    return found


def use(session: Session, limits: Mapping[str, JobRate], begun: Counter[str], now: datetime) -> None:
    """Count jobs that begin, by the full name of their action."""
    used = {target: sum(count for name, count in begun.items() if target in (name, name.partition(".")[0])) for target in limits}
    ahead = _ahead(session, limits, now)
    rows = [
        {"key": _PREFIX + target, "free_at": now.timestamp() + ahead[target] + count * limits[target].seconds / limits[target].starts}
        for target, count in used.items()
        if count
    ]
    if rows:
        session.execute(delete(rates).where(rates.c.key.in_([row["key"] for row in rows])))
        session.execute(insert(rates), rows)


def _ahead(session: Session, limits: Mapping[str, JobRate], now: datetime) -> dict[str, float]:
    """Return the seconds until the whole of each allowance is there again; clocks that differ do not make them more than the limit's own."""
    query = select(rates.c.key, rates.c.free_at).where(rates.c.key.in_([_PREFIX + target for target in limits]))
    free_at = {row.key.removeprefix(_PREFIX): row.free_at for row in session.execute(query)}
    return {target: min(limit.seconds, max(0.0, free_at.get(target, 0.0) - now.timestamp())) for target, limit in limits.items()}
