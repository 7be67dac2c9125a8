"""When triggers fire: four kinds, clocks put forward and back, and what becomes of moments that were missed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai.contracts.errors import HubError
from luminai.work.schedule_due import MAX_CATCHUP, delay, due, newest
from luminai.work.triggers import first_of, moments, read_trigger

BERLIN = "Europe/Berlin"
START = datetime(2026, 1, 1, tzinfo=UTC)
SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
"""Noon before the night in which Berlin's clocks go from 02:00 to 03:00, and from 03:00 back to 02:00."""


def fires(text: str, since: datetime, count: int, zone: str = "UTC", start: datetime = START) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in moments(read_trigger(text, zone), start, since, most=count)]


def refusal(text: str, zone: str = "UTC", *, least: int = 1) -> tuple[str, str]:
    with pytest.raises(HubError) as refused:
        first_of(read_trigger(text, zone), START, START, least=least)
    return refused.value.code, refused.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cron: 0 8 * * mon-fri", ["01-01 08:00", "01-02 08:00", "01-05 08:00"]),
        ("cron: */20 6 1 jan,jul *", ["01-01 06:00", "01-01 06:20", "01-01 06:40"]),
        ("cron: 0 9 last * *", ["01-31 09:00", "02-28 09:00", "03-31 09:00"]),
        ("cron: 0 8 1-7 * SUN", ["01-04 08:00", "02-01 08:00", "03-01 08:00"]),
        ("every: 1h30m", ["01-01 01:30", "01-01 03:00", "01-01 04:30"]),
        ("every: 2w", ["01-15 00:00", "01-29 00:00", "02-12 00:00"]),
        ("calendar: 10 days 07:30", ["01-01 07:30", "01-11 07:30", "01-21 07:30"]),
        ("calendar: 1 month 08:00", ["01-01 08:00", "02-01 08:00", "03-01 08:00"]),
        ("at: 2026-02-03T04:05", ["02-03 04:05"]),
        ("at: 2026-02-03T04:05+02:00", ["02-03 02:05"]),
    ],
)
def test_trigger__fires_when_it_says(text: str, expected: list[str]) -> None:
    assert fires(text, START, 3) == expected


def test_month_by_month__leaves_out_months_without_that_day() -> None:
    assert fires("calendar: 1 month 08:00", START, 3, start=datetime(2026, 1, 31, tzinfo=UTC)) == ["01-31 08:00", "03-31 08:00", "05-31 08:00"]


@pytest.mark.parametrize(
    ("text", "spring", "autumn"),
    [
        # 02:30 is not there in spring, so it is an hour later by the clock; it is there twice in autumn, and the first one counts
        ("cron: 30 2 * * *", ["03-29 01:30", "03-30 00:30"], ["10-25 00:30", "10-26 01:30"]),
        ("calendar: 1 day 02:30", ["03-29 01:30", "03-30 00:30"], ["10-25 00:30", "10-26 01:30"]),
        # by elapsed time: nothing is left out and nothing twice
        ("cron: 30 * * * *", ["03-28 12:30", "03-28 13:30"], ["10-24 12:30", "10-24 13:30"]),
        ("every: 24h", ["03-29 00:00", "03-30 00:00"], ["10-25 00:00", "10-26 00:00"]),
    ],
)
def test_clocks_put_forward_and_back__run_once_by_the_stated_rule(text: str, spring: list[str], autumn: list[str]) -> None:
    assert fires(text, SPRING, 2, BERLIN) == spring
    assert fires(text, AUTUMN, 2, BERLIN) == autumn


def test_every_hour__runs_25_times_on_the_long_day_and_23_on_the_short_one() -> None:
    day = {"spring": datetime(2026, 3, 28, 23, tzinfo=UTC), "autumn": datetime(2026, 10, 24, 22, tzinfo=UTC)}
    for season, hours in (("spring", 23), ("autumn", 25)):
        begin = day[season] - timedelta(seconds=1)
        found = moments(read_trigger("cron: 0 * * * *", BERLIN), START, begin, most=99, until=begin + timedelta(hours=hours))
        assert len(found) == hours == len({*found})


def test_moment_that_is_not_there_or_there_twice__is_the_later_and_the_first() -> None:
    assert fires("at: 2026-03-29T02:30", START, 1, BERLIN) == ["03-29 01:30"]
    assert fires("at: 2026-10-25T02:30", START, 1, BERLIN) == ["10-25 00:30"]


@pytest.mark.parametrize(
    ("text", "zone", "code"),
    [
        ("cron: 0 0 30 2 *", "UTC", "schedule-never-fires"),
        ("at: 2020-01-01T00:00", "UTC", "schedule-never-fires"),
        ("cron: 0 8 * * *", "Europe/Berlni", "unknown-zone"),
        ("cron: 0 8 * * *", "../etc/passwd", "unknown-zone"),
        ("cron: 0 8 * * 1-5", "UTC", "bad-trigger"),
        ("cron: 0 8 * * */2", "UTC", "bad-trigger"),
        ("cron: 0 8 * *", "UTC", "bad-trigger"),
        ("cron: 99 8 * * *", "UTC", "bad-trigger"),
        ("every: 0s", "UTC", "bad-trigger"),
        ("every: 999999999w", "UTC", "bad-trigger"),
        ("every: soon", "UTC", "bad-trigger"),
        ("calendar: 0 days 08:00", "UTC", "bad-trigger"),
        ("calendar: 1 month 25:00", "UTC", "bad-trigger"),
        ("at: tomorrow", "UTC", "bad-trigger"),
        ("at: 0001-01-01T00:00+23:00", "UTC", "bad-trigger"),
        ("@daily", "UTC", "bad-trigger"),
        (f"cron: {'0,' * 200}0 8 * * *", "UTC", "bad-trigger"),
    ],
)
def test_bad_trigger__is_refused_with_a_hint(text: str, zone: str, code: str) -> None:
    found, hint = refusal(text, zone)
    assert found == code
    assert hint


def test_weekday_numbers_and_zones__are_refused_with_the_remedy() -> None:
    assert "mon-fri" in refusal("cron: 0 8 * * 1-5")[1]
    assert refusal("cron: 0 8 * * *", "Europe/Berlni")[1] == "Did you mean Europe/Berlin?"


def test_trigger_more_frequent_than_allowed__is_refused_wherever_the_two_moments_are() -> None:
    assert refusal("every: 59s", least=60)[0] == "schedule-too-frequent"
    assert refusal("cron: 0,1 8 * * *", least=61)[0] == "schedule-too-frequent"
    assert first_of(read_trigger("every: 60s", "UTC"), START, START, least=60) == START + timedelta(seconds=60)


NOW = START + timedelta(seconds=200)


@pytest.mark.parametrize(
    ("misfire", "seconds"), [("skip", [70, 80, 90, 100]), ("once", [100]), ("all", list(range(10, 101, 10)))], ids=["skip", "once", "all"]
)
def test_schedule_100_seconds_behind__runs_what_its_misfire_rule_says(misfire: str, seconds: list[int]) -> None:
    planned, now = START + timedelta(seconds=10), START + timedelta(seconds=104)
    found = due(read_trigger("every: 10s", "UTC"), START, planned, now, misfire, timedelta(seconds=34))  # type: ignore[arg-type]
    assert [(run - START).total_seconds() for run in found.runs] == seconds
    assert found.then == START + timedelta(seconds=110)


def test_late_within_grace__runs_every_moment_whatever_the_rule() -> None:
    planned = START + timedelta(seconds=10)
    for misfire in ("skip", "once", "all"):
        found = due(read_trigger("every: 10s", "UTC"), START, planned, START + timedelta(seconds=31), misfire, timedelta(seconds=60))  # type: ignore[arg-type]
        assert [(run - START).total_seconds() for run in found.runs] == [10, 20, 30]


def test_years_behind__is_bounded_and_quick() -> None:
    trigger, now = read_trigger("every: 1s", "UTC"), START + timedelta(days=3000)
    planned = START + timedelta(seconds=1)
    assert due(trigger, START, planned, now, "once", timedelta(0)).runs == [now]
    everything = due(trigger, START, planned, now, "all", timedelta(0))
    assert (len(everything.runs), everything.runs[0], everything.is_cut) == (MAX_CATCHUP, planned, True)


def test_one_off__runs_late_or_not_at_all_and_never_again() -> None:
    trigger, planned = read_trigger("at: 2026-01-01T08:00", "UTC"), START + timedelta(hours=8)
    late = planned + timedelta(hours=1)
    for misfire, runs in (("skip", []), ("once", [planned]), ("all", [planned])):
        found = due(trigger, START, planned, late, misfire, timedelta(seconds=60))  # type: ignore[arg-type]
        assert (found.runs, found.then) == (runs, None)


@given(
    st.sampled_from(["cron: */7 3-5 * * *", "cron: 30 2 * * *", "every: 37m", "calendar: 3 days 02:15", "cron: 0 0 29 2 *"]),
    st.integers(0, 63_000_000).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_moments__rise_and_halving_finds_the_newest(text: str, since: datetime, span: timedelta) -> None:
    trigger = read_trigger(text, BERLIN)
    found = moments(trigger, START, since, most=50)
    assert all(before < after for before, after in zip([since, *found], found, strict=False))
    assert all(moment.microsecond == 0 for moment in found)
    now = found[0] + span
    then = trigger.after(newest(trigger, START, found[0], now), START)
    assert newest(trigger, START, found[0], now) <= now
    assert then is None or then > now


def test_jitter__is_spread_below_its_bound_and_the_same_for_everybody() -> None:
    found = [delay("sch_1", START + timedelta(minutes=number), 30) for number in range(200)]
    assert found == [delay("sch_1", START + timedelta(minutes=number), 30) for number in range(200)]
    assert all(timedelta(0) <= one < timedelta(seconds=30) for one in found)
    assert len({*found}) > 150
    assert delay("sch_1", START, 0) == timedelta(0)
