"""Why something is done: what the events that it publishes say of the chain that they belong to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.telemetry.spans import SpanPlace

_PLACE: Final = "luminai.span"


class Cause(Struct, frozen=True):
    """``correlation`` is the same for all that follows from one beginning; ``causation`` the id of what comes directly before, "" for a request."""

    correlation: str
    causation: str = ""


cause: Final[ContextVar[Cause | None]] = ContextVar("luminai_cause", default=None)
"""Set for a request, a job and a handler of events. Tasks that they start inherit it."""


def stands_at(session: Session, place: SpanPlace | None) -> None:
    """Have the session's unit know the span that it belongs to; its thread cannot see the task's."""
    session.info[_PLACE] = place


def trace_of(session: Session) -> str | None:
    """Return the ``traceparent`` of the span that the session's unit belongs to, None where no trace is kept."""
    place: SpanPlace | None = session.info.get(_PLACE)
    return place.header if place is not None else None
