"""What is asked of a schedule before it is kept, whoever wants it: a plugin, an operator or a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct

from luminai.contracts.errors import HubError, InvalidInput, ProblemItem, TooLarge
from luminai.host.actions import DeclaredAction
from luminai.work.schedule_due import Misfire
from luminai.work.triggers import first_of, read_trigger, read_zone

Overlap = Literal["action", "allow", "skip", "queue", "replace"]
MAX_JITTER: Final = 3600
MAX_GRACE: Final = 604_800
_YEARS: Final = range(1970, 2200)


class Timing(Struct, frozen=True, kw_only=True):
    """When a schedule runs, and what happens when it cannot; as ``Schedule`` of the contract, with the ``start`` known."""

    trigger: str
    start: datetime
    zone: str = "UTC"
    misfire: Misfire = "once"
    grace: int = 60
    overlap: Overlap = "action"
    jitter: int = 0


def check(action: DeclaredAction, raw: bytes, timing: Timing, now: datetime, *, least: int) -> datetime:
    """Return the first moment behind ``now``.

    Raises:
        InvalidInput: with every problem that there is, and the code of the first.
        TooLarge: the input has more than 64 KiB.
    """
    found: list[HubError] = []

    def attempt(pointer: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except TooLarge:
            raise
        except HubError as error:
            items = [
                ProblemItem(detail=item.detail, pointer=f"{pointer}{item.pointer}", code=error.code, hint=item.hint)
                for item in error.errors or (ProblemItem(detail=error.detail, hint=error.hint),)
            ]
            found.append(InvalidInput(error.detail, code=error.code, hint=error.hint, errors=items, plugin=error.plugin))
            return None

    attempt("/input", lambda: action.key(action.decode(raw)))
    zone = timing.zone if attempt("/zone", lambda: read_zone(timing.zone)) else "UTC"
    trigger = attempt("/trigger", lambda: read_trigger(timing.trigger, zone))
    attempt("/overlap", lambda: _check_overlap(action, timing.overlap))
    attempt("/start", lambda: _check_bounds(timing))
    first: datetime | None = None
    if trigger is not None and timing.start.year in _YEARS:
        first = attempt("/trigger", lambda: first_of(trigger, timing.start, now, least=least))
    if found:
        items = [item for error in found for item in error.errors]
        raise InvalidInput(found[0].detail, code=found[0].code, hint=found[0].hint, errors=items, plugin=found[0].plugin)
    assert first is not None  # noqa: S101 - there was no problem, so it was found
    return first


def whole(moment: datetime) -> datetime:
    """Return a moment in UTC without the part of its second, as ``start`` is kept.

    Raises:
        InvalidInput: it has no time zone (code ``bad-schedule``).
    """
    if moment.tzinfo is None:
        raise InvalidInput("start has no time zone.", code="bad-schedule", hint="Write datetime(…, tzinfo=UTC), or +00:00 behind it.")
    return moment.astimezone(UTC).replace(microsecond=0)


def _check_overlap(action: DeclaredAction, overlap: str) -> None:
    if overlap != "action" and action.action.concurrency != "allow":
        hint = "Leave `overlap` out."
        raise InvalidInput(f"{action.name} itself says `{action.action.concurrency}` for jobs side by side.", code="bad-overlap", hint=hint)


def _check_bounds(timing: Timing) -> None:
    if timing.start.year not in _YEARS or not 0 <= timing.grace <= MAX_GRACE or not 0 <= timing.jitter <= MAX_JITTER:
        detail = f"start is between 1970 and 2199, grace at most {MAX_GRACE} s, jitter at most {MAX_JITTER} s."
        raise InvalidInput(detail, code="bad-schedule")
