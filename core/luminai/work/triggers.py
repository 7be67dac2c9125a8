"""When something is due: four kinds of trigger, each one line of text that is the same in a manifest's hook, over HTTP and on the command line.

``cron: 0 8 * * mon-fri``      minute, hour, day, month, weekday; day and weekday must both fit
``every: 1h30m``               so much elapsed time, counted from the start
``calendar: 1 month 08:00``    by the calendar, counted from the start's date
``at: 2026-12-24T08:00``       once

The rule where clocks are put forward or back: a time of day that there is not (spring) counts as many hours after midnight as it says, so it comes
an hour later by the clock; one that there is twice (autumn) counts the first time. Two kinds go by elapsed time instead and lose and repeat nothing:
``every``, and a ``cron`` whose hour is ``*`` or ``*/n``. Every moment is a whole second in UTC; APScheduler's triggers do the arithmetic.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo, available_timezones

from luminai.contracts.errors import HubError, InvalidInput

MAX_TEXT: Final = 200
LOOKED_AT: Final = 60
"""How many moments ahead are looked at to tell how frequent a trigger is."""
_SECOND: Final = timedelta(seconds=1)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST: Final = 10 * 366 * 86_400
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_SPAN: Final = re.compile(r"(?:\d{1,9}[smhdw])+")
_PART: Final = re.compile(r"(\d{1,9})([smhdw])")
_CALENDAR: Final = re.compile(r"((?:\d{1,3} (?:day|week|month|year)s? )+)(\d{2}):(\d{2})(?::(\d{2}))?")
_STEP: Final = re.compile(r"(\d{1,3}) (day|week|month|year)s?")
_BY_HOURS: Final = re.compile(r"\*(/\d+)?")
_EXAMPLES: Final = "Write `cron: 0 8 * * mon-fri`, `every: 15m`, `calendar: 1 month 08:00` or `at: 2026-12-24T08:00`."


class Trigger(Protocol):
    """Reads nothing but its arguments, so every process finds the same moments."""

    def after(self, moment: datetime, start: datetime) -> datetime | None:
        """Return the first moment behind ``moment`` and not before ``start``; None when there is none. ``start`` has whole seconds."""
        ...


class _Cron:
    def __init__(self, text: str, zone: ZoneInfo) -> None:
        from apscheduler.triggers.cron import CronTrigger  # at first use: a hub without schedules starts without it

        fields = text.split()
        if len(fields) != 5:
            raise _bad(f"A cron trigger has 5 fields, not {len(fields)}.", "They are minute, hour, day, month, weekday: `cron: 0 8 * * mon-fri`.")
        minute, hour, day, month, weekday = fields
        if re.search(r"\d", weekday):
            raise _bad("The weekday has a number.", "Write names, mon-fri or sat,sun: some count from Monday and some from Sunday.")
        try:
            self._rule = CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, second=0, end_date=_LAST, timezone=zone)
        except ValueError as error:
            raise _bad(f"`{text}` is no cron trigger: {error}"[:300], _EXAMPLES) from error
        self._zone = zone
        self._once = _BY_HOURS.fullmatch(hour) is None

    def after(self, moment: datetime, start: datetime) -> datetime | None:
        while True:
            found: datetime | None = self._rule.get_next_fire_time(None, _behind(max(moment, start - _SECOND)))
            if found is None:
                return None
            moment = found.astimezone(UTC)
            if not (self._once and moment.astimezone(self._zone).fold):
                return moment


class _Every:
    def __init__(self, text: str) -> None:
        if not _SPAN.fullmatch(text):
            raise _bad(f"`{text}` is no span of time.", "Write it in w, d, h, m and s, such as `every: 15m` or `every: 1h30m`.")
        seconds = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
        if not 0 < seconds <= _LONGEST:
            raise _bad(f"`{text}` is not above 0 and at most ten years.", "Such as `every: 15m`.")
        self._seconds = seconds

    def after(self, moment: datetime, start: datetime) -> datetime | None:
        from apscheduler.triggers.interval import IntervalTrigger

        found: datetime = IntervalTrigger(seconds=self._seconds, start_date=start, timezone=UTC).get_next_fire_time(None, _behind(moment))
        return found


class _Calendar:
    def __init__(self, text: str, zone: ZoneInfo) -> None:
        found = _CALENDAR.fullmatch(text)
        counts = dict.fromkeys(("day", "week", "month", "year"), 0)
        for count, unit in _STEP.findall(found[1] if found else ""):
            counts[unit] += int(count)
        if found is None or not any(counts.values()):
            raise _bad(f"`{text}` is no step of the calendar with a time of day.", "Such as `calendar: 2 weeks 07:30` or `calendar: 1 month 08:00`.")
        try:
            self._time = datetime(2000, 1, 1, int(found[2]), int(found[3]), int(found[4] or 0), tzinfo=UTC).timetz().replace(tzinfo=zone)
        except ValueError as error:
            raise _bad(f"`{text}` has no time of day.", "From 00:00 to 23:59:59.") from error
        self._steps = {f"{unit}s": count for unit, count in counts.items()}
        self._days = counts["day"] + 7 * counts["week"] if not counts["month"] + counts["year"] else 0
        self._zone = zone

    def after(self, moment: datetime, start: datetime) -> datetime | None:
        from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger

        first = start.astimezone(self._zone).date()
        if self._days:  # steps of equal length need not be walked one by one
            first += timedelta(days=self._days * max(0, (moment.astimezone(self._zone).date() - first).days // self._days - 1))
        # it is asked for noons, which every day has; the time of day is put in here, by the rule above
        rule = CalendarIntervalTrigger(**self._steps, hour=12, start_date=first, timezone=self._zone)
        noon: datetime | None = None
        while True:
            noon = rule.get_next_fire_time(noon, moment)
            found = self._on(noon.date())
            if found > _LAST:
                return None
            if found > moment and found >= start:
                return found

    def _on(self, day: date) -> datetime:
        return datetime.combine(day, self._time).astimezone(UTC)


class _At:
    def __init__(self, text: str, zone: ZoneInfo) -> None:
        try:
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise _bad(f"`{text}` is no moment.", "Such as `at: 2026-12-24T08:00`, in the schedule's zone unless an offset is given.") from error
        self._moment = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC).replace(microsecond=0)

    def after(self, moment: datetime, start: datetime) -> datetime | None:  # noqa: ARG002 - it says itself when
        return self._moment if self._moment > moment else None


@lru_cache(maxsize=4096)
def read_trigger(text: str, zone: str) -> Trigger:
    """Return the trigger that a line of text means in a time zone.

    Raises:
        InvalidInput: it is none (code ``bad-trigger``), or the zone does not exist (code ``unknown-zone``).
    """
    kind, _, rest = text.partition(":")
    place, rest = read_zone(zone), rest.strip()
    if len(text) > MAX_TEXT:
        raise _bad(f"A trigger has at most {MAX_TEXT} characters.", _EXAMPLES)
    try:
        if kind == "cron":
            return _Cron(rest.lower(), place)
        if kind == "every":
            return _Every(rest)
        if kind == "calendar":
            return _Calendar(rest, place)
        if kind == "at":
            return _At(rest, place)
    except OverflowError as error:
        raise _bad(f"`{text}` is out of all bounds.", _EXAMPLES) from error
    raise _bad(f"`{text[:80]}` is no trigger.", _EXAMPLES)


def read_zone(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database.

    Raises:
        InvalidInput: there is none of that name (code ``unknown-zone``).
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"Did you mean {near[0]}?" if near else "Write a name such as Europe/Berlin, or UTC."
        raise InvalidInput(f"There is no time zone {name[:80]!r}.", code="unknown-zone", hint=hint) from error


def first_of(trigger: Trigger, start: datetime, now: datetime, *, least: int) -> datetime:
    """Return the first moment behind ``now``.

    Args:
        least: The seconds that must lie between two of the next 60 moments.

    Raises:
        InvalidInput: there is none (code ``schedule-never-fires``), or two are too close (code ``schedule-too-frequent``).
    """
    first = trigger.after(now, start)
    if first is None:
        raise InvalidInput("It never fires.", code="schedule-never-fires", hint="No moment from now on fits, such as 30 February or one in the past.")
    before = first
    for _ in range(LOOKED_AT):
        found = trigger.after(before, start)
        if found is None:
            break
        if (found - before).total_seconds() < least:
            raise too_frequent(found - before, least)
        before = found
    return first


def too_frequent(gap: timedelta, least: int) -> HubError:
    """Return the refusal of a trigger with two moments that are too close."""
    hint = "The operator allows less with `min-interval` under [schedules]."
    return InvalidInput(f"It fires {gap.total_seconds():g} s apart, {least} s is the least here.", code="schedule-too-frequent", hint=hint)


def moments(trigger: Trigger, start: datetime, since: datetime, *, most: int, until: datetime = _LAST) -> list[datetime]:
    """Return up to ``most`` moments behind ``since``, none behind ``until``."""
    found: list[datetime] = []
    at: Any = since
    while len(found) < most and (at := trigger.after(at, start)) is not None and at <= until:
        found.append(at)
    return found


def _behind(moment: datetime) -> datetime:
    """Return the first whole second behind a moment: APScheduler's triggers find what is at or behind it."""
    return moment.replace(microsecond=0) + _SECOND


def _bad(detail: str, hint: str) -> HubError:
    return InvalidInput(detail, code="bad-trigger", hint=hint)
