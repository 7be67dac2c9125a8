"""Why something is done: what the events that it publishes say of the chain that they belong to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from msgspec import Struct


class Cause(Struct, frozen=True):
    """``correlation`` is the same for all that follows from one beginning; ``causation`` the id of what comes directly before, "" for a request."""

    correlation: str
    causation: str = ""


cause: Final[ContextVar[Cause | None]] = ContextVar("luminai_cause", default=None)
"""Set for a request, a job and a handler of events. Tasks that they start inherit it."""
