"""State as the sum of its events: streams, one for each thing that a plugin keeps so, with snapshots that only save time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from luminai.contracts.runtime import Event

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Aggregate(Struct, frozen=True, kw_only=True):
    """Something of which there is a stream of events for each key, and a state that follows from them.

    Attributes:
        name: Lower-case words with dashes, at most 40 characters.
        state: Struct type of the state; ``state()`` is that of an empty stream.
        apply: ``(state, event) -> state``, plain and pure: the same events always make the same state. It must know every type and version of
            event that the plugin ever appended.
        version: Rises when ``state`` or ``apply`` changes, so that snapshots of before are not used.
        every: A snapshot after each so many events, 1 to 10,000.
    """

    name: str
    state: type[Struct]
    apply: Callable[[Any, Event], Any]
    version: int = 1
    every: int = 50


class Folded(Struct, frozen=True, kw_only=True):
    """A state after ``number`` events, the last of them at ``at`` (None for an empty stream); ``replayed`` of them were applied just now."""

    state: Any
    number: int
    at: datetime | None
    replayed: int


class Events(Protocol):
    """The plugin's own streams. All of it happens in the caller's unit of work. ``aggregate`` is the name of one that the plugin declares in the
    hook ``aggregates``, ``key`` says of which thing, at most 120 characters.
    """

    def append(self, session: Session, aggregate: str, key: str, events: Sequence[Event], /, *, expected: int | None = None) -> int:
        """Publish events as the next of a stream, and return its new length.

        Args:
            expected: Its length as the caller knows it; None to append whatever it is.

        Raises:
            Conflict: somebody else appended meanwhile (code ``stream-moved``).
            NotFound: the plugin declares no such aggregate (code ``unknown-aggregate``).
            HubError: an event is refused as by ``ctx.db.publish``.
        """
        ...

    def state(
        self, session: Session, aggregate: str, key: str, /, *, number: int | None = None, at: datetime | None = None, full: bool = False
    ) -> Folded:
        """Return the state, now, after the first ``number`` events, or as it was ``at`` a moment.

        Args:
            full: Apply every event from the first on, as if there were no snapshots.
        """
        ...

    def history(self, session: Session, aggregate: str, key: str, /, *, after: int = 0, limit: int = 100) -> list[Event]:
        """Return at most ``limit`` (1 to 1000) events of a stream, in order, those behind the first ``after``."""
        ...

    def snapshot(self, session: Session, aggregate: str, key: str, /) -> int:
        """Keep a snapshot of now, and return how many events it stands for."""
        ...
