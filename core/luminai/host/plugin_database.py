"""The hub's database as one plugin has it: confined to the rows of whoever acts, its events checked and handed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session

from luminai.contracts.context import Isolation, Once
from luminai.contracts.runtime import Event
from luminai.data.database import HubDatabase
from luminai.data.event_log import Published
from luminai.data.owners import Acting, acting
from luminai.host.events import EventTable

T = TypeVar("T")
HandOn = Callable[[Session, Published], None]


class PluginDatabase:
    """Implements ``OwnedDatabase`` for one plugin: the hub's, confined to the rows of whoever acts. Events are checked against what it declares.

    Args:
        events: Returns the event table of the generation that the plugin runs in now.
        also: Told each event in its unit, to hand it on outside.
        whose: Tells for whom is acted, whose rows are there; None: everybody's.
    """

    __slots__ = ("_also", "_database", "_events", "_plugin", "_whose", "dialect")

    def __init__(
        self, plugin: str, database: HubDatabase, events: Callable[[], EventTable], also: HandOn, whose: Callable[[], Acting | None] = acting.get
    ) -> None:
        self._plugin = plugin
        self._database = database
        self._events = events
        self._also = also
        self._whose = whose
        self.dialect = database.dialect

    def read(self, unit: Callable[[Session], T], /, *, timeout: float = 10.0) -> Coroutine[Any, Any, T]:
        """Run ``unit`` in a read-only transaction."""
        return self._database.read(unit, timeout=timeout, whose=self._whose())

    def write(
        self, unit: Callable[[Session], T], /, *, timeout: float = 10.0, once: Once | None = None, isolation: Isolation = "serializable"
    ) -> Coroutine[Any, Any, T]:
        """Run ``unit`` in one transaction; return after the commit is durable."""
        return self._database.write(unit, timeout=timeout, once=once, isolation=isolation, whose=self._whose())

    def stream(self, query: Select[Any], /, *, batch: int = 500) -> AsyncIterator[Any]:
        """Walk a large result row by row from one snapshot."""
        return self._database.stream(query, batch=batch, whose=self._whose())

    def as_subject(self, subject: str, /, *, organisation: str = "") -> PluginDatabase:
        """Return the same database, confined to the rows of ``subject`` and of ``organisation``, whoever acts."""
        whose = Acting(subject, organisation)
        return PluginDatabase(self._plugin, self._database, self._events, self._also, lambda: whose)

    def as_system(self) -> PluginDatabase:
        """Return the same database with the rows of all."""
        return PluginDatabase(self._plugin, self._database, self._events, self._also, lambda: None)

    def publish(self, session: Session, event: Event, /) -> str:
        """Write ``event``, and a job for each durable subscription to it, in the unit's own transaction; return its id.

        Raises:
            Unprocessable: the plugin declares no such type, or the event does not fit it.
            TooLarge: its payload is above 64 KiB.
        """
        return self.log(session, event, None)

    def log(self, session: Session, event: Event, number: int | None) -> str:
        """Publish, with a place in the stream ``event.key`` if there is one. Raises as ``publish`` does."""
        table = self._events()
        origin, payload = table.check(self._plugin, event)
        found = self._database.log(session, event, origin, payload=payload, number=number)
        fan_out = table.fan_out(event.type)
        if fan_out is not None:
            fan_out.put(session, found, found.at)
        self._also(session, found)
        return found.id
