"""Calls of plugin code: counted always, and told live to whoever listens; nobody listening costs one look at a set."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct

from luminai.contracts.spans import Span, SpanSink
from luminai.telemetry.figures import Figures
from luminai.telemetry.spans import SpanPlace, below, current

_log = logging.getLogger("luminai.trace")
T = TypeVar("T")
_ID: Final = re.compile(r"_[0-9a-f-]{16,}")
"""The part of a task's name that is another each time."""
_OUT: Final = ("ai ", "payments ", "storage ", "sms ", "identity-check ", "http ")
"""What calls of others begin with."""
MAX_WAITING: Final = 1000
MAX_LISTENERS: Final = 8


class Call(Struct, frozen=True, kw_only=True):
    """One call: what of which plugin, milliseconds, ``ok`` or the class of what it raised."""

    at: float
    plugin: str
    what: str
    ms: float
    outcome: str


class Tracer:
    """Hands calls to its listeners; a listener that does not keep up loses calls and is told how many."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.sinks: tuple[SpanSink, ...] = ()
        """Who takes spans; with none, no span is made."""
        self.untraced: frozenset[str] = frozenset()
        """Plugins whose work makes no spans: those that take them, or each sending would be sent."""
        self._listeners: set[_Listener] = set()

    @property
    def is_on(self) -> bool:
        """Whether anybody listens, or takes spans."""
        return bool(self._listeners) or bool(self.sinks)

    @property
    def is_full(self) -> bool:
        """Whether as many listen as may."""
        return len(self._listeners) >= MAX_LISTENERS

    def note(self, plugin: str, what: str, seconds: float, error: BaseException | None = None) -> None:
        """Tell a call; as a span it belongs to where this task stands."""
        self.tell(plugin, what, seconds, error)
        if self.sinks:
            parent = current.get()
            self.end_span(self.begin_span(plugin, parent), parent, what, plugin, seconds, error=type(error).__name__ if error is not None else "")

    def tell(self, plugin: str, what: str, seconds: float, error: BaseException | None = None) -> None:
        """Tell those who listen."""
        outcome = "ok" if error is None else type(error).__name__
        call = Call(at=time.time(), plugin=plugin, what=what, ms=round(seconds * 1000, 3), outcome=outcome)
        for listener in self._listeners:
            listener.put(call)

    @contextmanager
    def span(self, plugin: str, what: str) -> Any:
        """Tell the call that runs in the block."""
        if not self.is_on:
            yield
            return
        began, failed, parent = time.perf_counter(), None, current.get()
        place = self.begin_span(plugin, parent) if self.sinks else None
        if place is not None:
            current.set(place)
        try:
            yield
        except BaseException as error:
            failed = error
            raise
        finally:
            took = time.perf_counter() - began
            self.tell(plugin, what, took, failed)
            if place is not None:
                current.set(parent)
                self.end_span(place, parent, what, plugin, took, error=type(failed).__name__ if failed is not None else "")

    def begin_span(self, plugin: str, parent: SpanPlace | None) -> SpanPlace:
        """Return the place of a span that begins; the first sink decides whether a trace that begins here is recorded."""
        if plugin in self.untraced:
            return below(None, sampled=False)
        return below(parent, sampled=parent is None and bool(self.sinks) and self.sinks[0].sample())

    def end_span(
        self,
        place: SpanPlace,
        parent: SpanPlace | None,
        name: str,
        plugin: str,
        seconds: float,
        *,
        kind: Literal["internal", "server", "client"] = "internal",
        error: str = "",
        attributes: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        """Hand a span that ended to the sinks, if its trace is recorded."""
        if not place.sampled or plugin in self.untraced:
            return
        kind = "client" if kind == "internal" and name.startswith(_OUT) else kind
        span = Span(
            trace=place.trace,
            id=place.span,
            parent=parent.span if parent is not None else "",
            name=name,
            kind=kind,
            plugin=plugin,
            began=time.time_ns() - int(seconds * 1e9),
            seconds=seconds,
            attributes=attributes or {},
            error=error,
        )
        for sink in self.sinks:
            try:
                sink.take(span)
            except Exception:  # noqa: BLE001 - plugin code may raise anything
                _log.exception("span.sink.failed", extra={"sink": sink.name})

    async def traced(self, work: Awaitable[T], plugin: str, name: str) -> T:
        """Return what ``work`` returns, as a span of its own."""
        parent, began, error = current.get(), time.perf_counter(), ""
        place = self.begin_span(plugin, parent)
        current.set(place)
        try:
            return await work
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            short = _ID.sub("", name)
            took = time.perf_counter() - began
            self.end_span(
                place, parent, short if short.startswith("job ") else f"{plugin} {short}", plugin, took, error=error, attributes={"task": name}
            )

    async def listen(self, seconds: float) -> AsyncIterator[Call]:
        """Yield calls for ``seconds``."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    yield await listener.calls.get()
        except TimeoutError:
            return
        finally:
            self._listeners.discard(listener)


class _Listener:
    def __init__(self) -> None:
        self.calls: asyncio.Queue[Call] = asyncio.Queue(MAX_WAITING)
        self.lost = 0

    def put(self, call: Call) -> None:
        if self.calls.full():
            self.lost += 1
        else:
            self.calls.put_nowait(call)
