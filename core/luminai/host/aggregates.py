"""The aggregates of one generation, and ``ctx.events``: a plugin's own streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, InvalidInput, NotFound
from luminai.contracts.runtime import Event
from luminai.contracts.streams import Aggregate, Folded
from luminai.host.plugin_database import PluginDatabase
from luminai.work.streams import Stream, fold, keep_snapshot, length, read, stream_of

MAX_NAME: Final = 40
MAX_KEY: Final = 120
MAX_EVENTS: Final = 1000
MAX_EVERY: Final = 10_000
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class AggregateTable:
    """Aggregates by plugin and name."""

    def __init__(self) -> None:
        self._declared: dict[tuple[str, str], Aggregate] = {}

    def add(self, owner: str, aggregates: Iterable[Aggregate]) -> None:
        """Enter a plugin's aggregates.

        Raises:
            Conflict: a name that is no plain name or is given twice, a state that cannot begin empty, a number out of bounds (``bad-aggregate``).
        """
        for one in aggregates:
            fault = _fault(one)
            if fault or (owner, one.name) in self._declared:
                what = f"aggregate {one.name[:80]!r}: {fault or 'it is there twice'}"
                raise Conflict(what, code="bad-aggregate", hint="See Aggregate in the reference.")
            self._declared[owner, one.name] = one

    def remove(self, owner: str) -> None:
        """Take out a plugin's aggregates."""
        self._declared = {name: one for name, one in self._declared.items() if name[0] != owner}

    def find(self, owner: str, name: str) -> Aggregate:
        """Return a plugin's aggregate.

        Raises:
            NotFound: a running plugin of that id has none of that name (code ``unknown-aggregate``).
        """
        found = self._declared.get((owner, name))
        if found is None:
            hint = f"Declare it in the hook aggregates of {owner[:40]}."
            raise NotFound(f"{owner[:40]} has no aggregate {name[:80]}.", code="unknown-aggregate", hint=hint)
        return found


class PluginStreams:
    """Implements ``Events`` for one plugin."""

    def __init__(self, plugin: str, table: Callable[[], AggregateTable], database: PluginDatabase, clock: Clock) -> None:
        self._plugin = plugin
        self._table = table
        self._database = database
        self._clock = clock

    def append(self, session: Session, aggregate: str, key: str, events: Sequence[Event], /, *, expected: int | None = None) -> int:
        """Publish events as the next of a stream, and return its new length."""
        kind, stream = self._find(aggregate, key)
        if len(events) > MAX_EVENTS:
            raise InvalidInput(f"More than {MAX_EVENTS} events at once.", code="too-many-events", plugin=self._plugin)
        before = length(session, stream)
        if expected is not None and expected != before:
            hint = "Read the state again, decide again, append again."
            raise Conflict(f"The stream {stream.key} has {before} events, not {expected}.", code="stream-moved", hint=hint, plugin=self._plugin)
        after = before
        for event in events:
            after += 1
            self._database.log(session, replace(event, key=stream.key), after)
        if after // kind.every > before // kind.every:
            keep_snapshot(session, stream, kind, self._clock.now())
        return after

    def state(
        self, session: Session, aggregate: str, key: str, /, *, number: int | None = None, at: datetime | None = None, full: bool = False
    ) -> Folded:
        """Return the state, now, after so many events, or as it was at a moment."""
        kind, stream = self._find(aggregate, key)
        return state_of(session, stream, kind, number=number, at=at, full=full)

    def history(self, session: Session, aggregate: str, key: str, /, *, after: int = 0, limit: int = 100) -> list[Event]:
        """Return events of a stream, in order."""
        _, stream = self._find(aggregate, key)
        return read(session, stream, after=after, most=min(max(limit, 1), MAX_EVENTS))

    def snapshot(self, session: Session, aggregate: str, key: str, /) -> int:
        """Keep a snapshot of now."""
        kind, stream = self._find(aggregate, key)
        return keep_snapshot(session, stream, kind, self._clock.now())

    def _find(self, aggregate: str, key: str) -> tuple[Aggregate, Stream]:
        if not 1 <= len(key) <= MAX_KEY:
            raise InvalidInput(f"The key of a stream has 1 to {MAX_KEY} characters.", code="bad-stream-key", plugin=self._plugin)
        return self._table().find(self._plugin, aggregate), stream_of(self._plugin, aggregate, key)


def state_of(session: Session, stream: Stream, kind: Aggregate, *, number: int | None, at: datetime | None, full: bool) -> Folded:
    """Return a stream's state; ``at`` counts where both are given."""
    last = length(session, stream, at=at)
    return fold(session, stream, kind, number=last if number is None or at is not None else min(max(number, 0), last), full=full)


def _fault(one: Any) -> str:
    if not _NAME.fullmatch(one.name) or len(one.name) > MAX_NAME:
        return "its name is no plain name of lower-case words"
    if not (isinstance(one.state, type) and issubclass(one.state, Struct)):
        return "state must be a Struct type"
    try:
        one.state()
    except TypeError:
        return "every field of its state needs a default"
    if one.version < 1 or not 1 <= one.every <= MAX_EVERY:
        return f"versions begin with 1, and every is 1 to {MAX_EVERY:,}"
    return ""
