"""Logging: one set-up for the process, pretty on a terminal, JSON lines elsewhere, secrets masked, floods cut off."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from luminai.contracts.errors import HubError
from luminai.telemetry.log_copy import LogCopy

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_KEY: Final = re.compile(r"\blum_(?:(?:live|test)_[a-z]+_)?[0-9a-f]{32}_[\w-]+")
_TICKET: Final = re.compile(r"\blut_[\w-]{43}")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
MAX_TEXT: Final = 16_384
"""Characters of a message, a field or a traceback; what is longer is cut."""
MAX_LINE: Final = 131_072
BURST_LINES: Final = 1000
"""How many lines a plugin may log in one go."""
LINES_A_SECOND: Final = 100.0
"""How many lines a plugin may log in the long run."""
_MAX_OWNERS: Final = 500
_TELL_REQUESTS: Final = ("httpx", "httpcore", "urllib3", "hpack", "h2")
"""Libraries that log whole addresses and headers of what they ask for, tokens too."""
_PLUGINS: Final = "luminai.plugins."
HIDDEN: Final = "(not shown outside development)"


def mask(text: str) -> str:
    """Return the text without API keys, tickets and bearer tokens."""
    return _BEARER.sub(r"\1 ***", _TICKET.sub("lut_***", _KEY.sub("lum_***", text)))


class _Formatter(logging.Formatter):
    """Formats tracebacks.

    Args:
        hides_words: Leave out what an exception says unless it is the hub's own: a library or plugin may put anything into it, a password too.
    """

    def __init__(self, *, hides_words: bool = True) -> None:
        super().__init__()
        self._hides_words = hides_words

    def traceback(self, error: Any) -> str:
        """Return a traceback, cut to its bound."""
        text = self.formatException(error)
        seen: set[int] = set()
        waiting = [error[1]] if self._hides_words else []
        while waiting:
            found = waiting.pop()
            if found is None or id(found) in seen:
                continue
            seen.add(id(found))
            waiting += [found.__cause__, found.__context__, *getattr(found, "exceptions", ())]
            if not isinstance(found, HubError) and (words := str(found)):
                text = text.replace(words, HIDDEN)
        cut: str = _cut(text)
        return cut


class JSONFormatter(_Formatter):
    """A line of JSON a record: the message is the event's name, extra values are fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; control characters are escaped by JSON."""
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": mask(_cut(record.getMessage())),
        }
        known = dict(fields)
        fields |= {name: _cut(value) for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = mask(self.traceback(record.exc_info))
        line = msgspec.json.encode(fields, enc_hook=str)
        if len(line) > MAX_LINE:
            line = msgspec.json.encode(known | {"cut": len(line)})
        return mask(line.decode())


class TextFormatter(_Formatter):
    """A readable line a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return level, logger, event and fields."""
        extra = " ".join(f"{name}={_cut(value)}" for name, value in vars(record).items() if name not in _STANDARD)
        line = f"{record.levelname.lower():<7} {record.name}: {_cut(record.getMessage())} {extra}".rstrip()
        if record.exc_info:
            line += "\n" + self.traceback(record.exc_info)
        return mask(line[:MAX_LINE])


class FloodGate(logging.Filter):
    """Lets ``BURST_LINES`` of each plugin pass, then ``LINES_A_SECOND``; the rest is dropped and counted. The hub's own lines always pass.

    Lines of a library count for its top-level name, so that no plugin can hide its flood there.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}
        self._untold: dict[str, int] = {}
        self.dropped: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record may pass; the first one after a flood carries how many were dropped as ``dropped_before``."""
        owner = _owner(record.name)
        if owner is None:
            return True
        with self._lock:
            if owner not in self._left and len(self._left) >= _MAX_OWNERS:
                owner = "others"
            now = self._monotonic()
            left, then = self._left.get(owner, (float(BURST_LINES), now))
            left = min(float(BURST_LINES), left + (now - then) * LINES_A_SECOND)
            passes = left >= 1
            self._left[owner] = (left - passes, now)
            if not passes:
                self.dropped[owner] = self.dropped.get(owner, 0) + 1
                self._untold[owner] = self._untold.get(owner, 0) + 1
                return False
            if untold := self._untold.pop(owner, 0):
                record.dropped_before = untold
        return True


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes what the gate lets pass, to ``second`` too: two handlers of their own would count each line twice."""

    second: logging.StreamHandler[LogCopy] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if self.second is not None:
            self.second.emit(record)


flood_gate: Final = FloodGate()
"""The one before this process's log."""


def set_up_logging(level: str, *, as_json: bool, hides_words: bool, copy: LogCopy | None = None) -> None:
    """Send everything of the process to stderr at ``level`` (``debug`` … ``error``), and as JSON to ``copy``; ``hides_words`` as for a formatter."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(JSONFormatter(hides_words=hides_words) if as_json else TextFormatter(hides_words=hides_words))
    handler.addFilter(flood_gate)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if copy is not None:
        handler.second = logging.StreamHandler(copy)
        handler.second.setFormatter(JSONFormatter(hides_words=hides_words))
    root.setLevel(level.upper())
    for name in ("alembic", "asyncio", "uvicorn", *_TELL_REQUESTS):
        logging.getLogger(name).setLevel(logging.WARNING)


def _owner(logger: str) -> str | None:
    """Return whom a line counts for: a plugin's id, a library's name; None for the hub itself."""
    if logger.startswith(_PLUGINS):
        return logger[len(_PLUGINS) :].partition(".")[0]
    root = logger.partition(".")[0]
    if root == "luminai":
        return None
    return root.removeprefix("luminai_").replace("_", "-") if root.startswith("luminai_") else root


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:MAX_TEXT]}… ({len(value) - MAX_TEXT} characters more)"
    return value
