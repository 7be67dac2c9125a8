"""Months from an anchor: the n-th begins n months after the anchor, never a month after the last, so that the 31st comes back after February."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


def month_start(anchor: datetime, number: int, zone: str = "UTC") -> datetime:
    """Return when month ``number`` (0 is the first) of an anchor begins, in UTC: the same day and time in ``zone``, or the month's last day."""
    local = anchor.astimezone(ZoneInfo(zone))
    months = local.year * 12 + local.month - 1 + number
    year, month = months // 12, months % 12 + 1
    day = min(local.day, monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(UTC)


def month_of(anchor: datetime, now: datetime, zone: str = "UTC") -> int:
    """Return the number of the month that ``now`` lies in; 0 before the anchor."""
    number = max(0, (now.year - anchor.year) * 12 + now.month - anchor.month + 1)
    while number > 0 and month_start(anchor, number, zone) > now:
        number -= 1
    return number


def day_start(now: datetime) -> datetime:
    """Return 00:00 UTC of the day."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def share_left(start: datetime, end: datetime, now: datetime, amount: int, *, up: bool) -> int:
    """Return the part of ``amount`` that falls to the time from ``now`` to ``end``. The remainder is the person's: ``up`` for what they get, down for
    what they pay.
    """
    whole = (end - start) // timedelta(microseconds=1)
    left = min(whole, max(0, (end - now) // timedelta(microseconds=1)))
    return (-(-amount * left // whole) if up else amount * left // whole) if whole > 0 else 0
