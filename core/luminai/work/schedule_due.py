"""What a schedule that is due runs: the misfire rule, and a delay that every process finds alike. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Literal

from msgspec import Struct

from luminai.work.triggers import Trigger, moments

Misfire = Literal["skip", "once", "all"]
MAX_CATCHUP: Final = 100
"""Moments of one schedule that are run at one time; of more that were missed the oldest are run, and the rest is let go."""
_SECOND: Final = timedelta(seconds=1)


class Due(Struct, frozen=True, kw_only=True):
    """The ``runs`` of a schedule at one look, the moment that comes ``then`` (None: never again), and whether more was missed than is run."""

    runs: list[datetime]
    then: datetime | None
    is_cut: bool = False


def due(trigger: Trigger, start: datetime, planned: datetime, now: datetime, misfire: Misfire, grace: timedelta) -> Due:
    """Tell what is to be run of a schedule whose ``planned`` moment has come.

    A moment is missed when it is longer ago than ``grace``. ``skip`` runs what is not missed; ``once`` runs the newest moment alone if any was
    missed; ``all`` runs every one.
    """
    then = trigger.after(now, start)
    if then is not None and trigger.after(planned, start) == then:  # what is usual: this one alone
        return Due(runs=[] if misfire == "skip" and now - planned > grace else [planned], then=then)
    if misfire == "all":
        runs = [planned, *moments(trigger, start, planned, most=MAX_CATCHUP, until=now)]
        return Due(runs=runs[:MAX_CATCHUP], then=then, is_cut=len(runs) > MAX_CATCHUP)
    edge = now - grace
    if planned >= edge:
        runs = [planned, *moments(trigger, start, planned, most=MAX_CATCHUP - 1, until=now)]
    elif misfire == "once":
        runs = [newest(trigger, start, planned, now)]
    else:
        runs = moments(trigger, start, edge - timedelta(microseconds=1), most=MAX_CATCHUP, until=now)
    return Due(runs=runs, then=then)


def newest(trigger: Trigger, start: datetime, planned: datetime, now: datetime) -> datetime:
    """Return the last moment not behind ``now``, found by halving: what lies between may be a great many."""
    last, edge = planned, now
    while edge - last > _SECOND:
        middle = last + (edge - last) / 2
        found = trigger.after(middle, start)
        if found is not None and found <= now:
            last = found
        else:
            edge = middle
    return last


def delay(schedule_id: str, moment: datetime, jitter: int) -> timedelta:
    """Return how much later a run begins, below ``jitter`` seconds: the same for everybody who asks."""
    if not jitter:
        return timedelta(0)
    number = int.from_bytes(sha256(f"{schedule_id}:{moment.isoformat()}".encode()).digest()[:8])
    return timedelta(milliseconds=number % (jitter * 1000))


def key_of(schedule_id: str, moment: datetime) -> str:
    """Return the text by which the ledger knows a run again."""
    return f"{schedule_id}:{moment:%Y%m%dT%H%M%SZ}"
