"""What a test may look at afterwards: events of the log, log lines of each plugin, problems of the hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from luminai.contracts.runtime import Event
    from luminai.host.report import PluginStatus
    from luminai.testing.harness import HubUnderTest

T = TypeVar("T")


def matching(items: Iterable[T], **wanted: Any) -> list[T]:
    """Return the items whose fields are as ``wanted``: equal to a value, found by a compiled pattern, or accepted by a function.

    Items are objects with attributes, or mappings; a field that an item lacks never matches.
    """
    return [item for item in items if all(_fits(item, name, value) for name, value in wanted.items())]


def one_matching(items: Iterable[T], **wanted: Any) -> T:
    """Return the only item that matches.

    Raises:
        AssertionError: none or several match; all items are shown.
    """
    every = list(items)
    found = matching(every, **wanted)
    if len(found) != 1:
        shown = "\n  ".join(map(_show, every)) or "nothing"
        raise AssertionError(f"{len(found)} match {wanted}, expected one. There is:\n  {shown}")
    return found[0]


class Records(logging.Handler):
    """Log records as they come; events and problems are read from a hub when asked for."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.lines.append(record)

    def logs(self, plugin: str = "", **wanted: Any) -> list[logging.LogRecord]:
        """Return the log records of a plugin (its own logger's, and the hub's about it), or all; ``wanted`` as in ``matching``.

        ``event`` stands for the message, ``level`` for its name in lower case.
        """
        names = {"event": "msg", "level": "levelname"}
        fields = {names.get(name, name): value.upper() if name == "level" else value for name, value in wanted.items()}
        return matching([line for line in self.lines if not plugin or plugin_of(line) == plugin], **fields)

    async def events(self, hub: HubUnderTest, **wanted: Any) -> list[Event]:
        """Return the events that were published, in order, read from the log; ``wanted`` as in ``matching``."""
        from sqlalchemy import select

        from luminai.contracts.runtime import Event
        from luminai.data.tables_events import events

        def unit(session: Any) -> list[Event]:
            rows = session.execute(select(events).order_by(events.c.id))
            return [
                Event(type=row.type, payload=row.payload, subject=row.subject, version=row.version, key=row.key, number=row.number or 0)
                for row in rows
            ]

        return matching(await hub.hub.database.read(unit), **wanted)

    def problems(self, hub: HubUnderTest, **wanted: Any) -> list[PluginStatus]:
        """Return the plugins that do not run although they should, with code, phase and reason; ``wanted`` as in ``matching``."""
        return matching([status for status in hub.hub.report.plugins if status.code], **wanted)


def plugin_of(record: logging.LogRecord) -> str:
    """Return the id of the plugin that a record is of or about, "" for none."""
    own = record.name.partition("luminai.plugins.")[2]
    return own.partition(".")[0] or str(getattr(record, "plugin", ""))


def _fits(item: Any, name: str, wanted: Any) -> bool:
    missing = object()
    value = item.get(name, missing) if isinstance(item, Mapping) else getattr(item, name, missing)
    if value is missing:
        return False
    if isinstance(wanted, re.Pattern):
        return wanted.search(str(value)) is not None
    if callable(wanted) and not isinstance(wanted, type):
        return bool(wanted(value))
    return bool(value == wanted)


def _show(item: Any) -> str:
    if isinstance(item, logging.LogRecord):
        return f"{item.levelname.lower()} {item.name}: {item.getMessage()} plugin={plugin_of(item)}"
    return repr(msgspec.to_builtins(item, enc_hook=str) if isinstance(item, msgspec.Struct) else item)


@contextmanager
def only_recorded() -> Iterator[Records]:
    """Yield everything that is logged in the block, and keep it from being shown."""
    root, hub = logging.getLogger(), logging.getLogger("luminai")
    kept, levels = root.handlers[:], (root.level, hub.level)
    records = Records()
    root.handlers[:] = [records]
    root.setLevel(logging.DEBUG)
    hub.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        root.handlers[:] = kept
        root.setLevel(levels[0])
        hub.setLevel(levels[1])
