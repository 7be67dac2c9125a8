"""Where in a trace the work of this task stands, by W3C Trace Context (Recommendation of 2021-11-23)."""

from __future__ import annotations

import random
import re
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

_HEADER: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NOWHERE: Final = (b"0" * 32, b"0" * 16)


class SpanPlace(Struct, frozen=True):
    """The span that the work belongs to; of one that is not ``sampled`` nothing is recorded."""

    trace: str
    span: str
    sampled: bool

    @property
    def header(self) -> str:
        """The value of ``traceparent`` for calls from here."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"


current: Final[ContextVar[SpanPlace | None]] = ContextVar("luminai_span", default=None)


def read_header(value: bytes) -> SpanPlace | None:
    """Return what a ``traceparent`` says, None where it says nothing valid (3.2.2): version ff, ids of zeros, more than version 00 has."""
    found = _HEADER.fullmatch(value)
    if found is None or found[1] == b"ff" or found[2] == _NOWHERE[0] or found[3] == _NOWHERE[1] or (found[1] == b"00" and found[5] is not None):
        return None
    return SpanPlace(found[2].decode(), found[3].decode(), bool(int(found[4], 16) & 1))


def below(parent: SpanPlace | None, *, sampled: bool = True) -> SpanPlace:
    """Return the place of a new span below ``parent``, or of a new trace, which is ``sampled`` or not."""
    span = f"{random.getrandbits(64) or 1:016x}"
    if parent is not None:
        return SpanPlace(parent.trace, span, parent.sampled)
    return SpanPlace(f"{random.getrandbits(128) or 1:032x}", span, sampled)
