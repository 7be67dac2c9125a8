"""Moments as whole microseconds since 1970 (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return the number of an aware moment."""
    return (moment - EPOCH) // _MICROSECOND


def moment(number: int) -> datetime:
    """Return the moment of a number."""
    return EPOCH + timedelta(microseconds=number)
