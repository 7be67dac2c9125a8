"""Spans of traces: what took how long as part of what, and who takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Protocol, runtime_checkable

from msgspec import Struct

SPAN_POINT: Final = "hub.spans/1"
"""The extension point that takes a ``SpanSink``. While none is there, no span is made."""


class Span(Struct, frozen=True, kw_only=True):
    """A piece of work that ended, of a trace (W3C Trace Context).

    Attributes:
        trace: 32 hexadecimal digits; ``id`` and ``parent`` 16, an empty ``parent`` is a trace's root.
        name: A few words of a bounded number, such as ``GET /api/chat/{id}``, ``chat turn``, ``ai stream``, ``job index``.
        plugin: Whose code it was.
        began: Nanoseconds since 1970.
        seconds: How long it took.
        error: The class of what was raised, or the status of an answer from 500; empty when it went well. Never an error's words.
    """

    trace: str
    id: str
    parent: str
    name: str
    kind: Literal["internal", "server", "client"]
    plugin: str
    began: int
    seconds: float
    attributes: Mapping[str, str | int | float | bool] = {}
    error: str = ""


@runtime_checkable
class SpanSink(Protocol):
    """Takes spans; what its own plugin does is not traced."""

    name: str

    def sample(self) -> bool:
        """Tell whether a trace that begins here is recorded; one that came from elsewhere was decided there."""
        ...

    def take(self, span: Span, /) -> None:
        """Take a span; returns at once and never waits."""
        ...
