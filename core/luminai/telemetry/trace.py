"""Calls of plugin code, told live to whoever listens; nobody listening costs one look at a set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct

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
        self._listeners: set[_Listener] = set()

    @property
    def is_on(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    @property
    def is_full(self) -> bool:
        """Whether as many listen as may."""
        return len(self._listeners) >= MAX_LISTENERS

    def note(self, plugin: str, what: str, seconds: float, error: BaseException | None = None) -> None:
        """Tell a call."""
        outcome = "ok" if error is None else type(error).__name__
        call = Call(at=time.time(), plugin=plugin, what=what, ms=round(seconds * 1000, 3), outcome=outcome)
        for listener in self._listeners:
            listener.put(call)

    @contextmanager
    def span(self, plugin: str, what: str) -> Any:
        """Tell the call that runs in the block."""
        if not self._listeners:
            yield
            return
        began = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self.note(plugin, what, time.perf_counter() - began, error)
            raise
        self.note(plugin, what, time.perf_counter() - began)

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
