"""Logging: one set-up for the process, pretty on a terminal, JSON lines elsewhere, secrets masked."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_KEY: Final = re.compile(r"\blum_[0-9a-f]{32}_[\w-]+")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


def mask(text: str) -> str:
    """Return the text without API keys and bearer tokens."""
    return _BEARER.sub(r"\1 ***", _KEY.sub("lum_***", text))


class JSONFormatter(logging.Formatter):
    """A line of JSON a record: the message is the event's name, extra values are fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; control characters are escaped by JSON."""
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": mask(record.getMessage()),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = mask(self.formatException(record.exc_info))
        return mask(msgspec.json.encode(fields, enc_hook=str).decode())


class TextFormatter(logging.Formatter):
    """A readable line a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return level, logger, event and fields."""
        extra = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD)
        line = f"{record.levelname.lower():<7} {record.name}: {record.getMessage()} {extra}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return mask(line)


def set_up_logging(level: str, *, as_json: bool) -> None:
    """Send everything of the process to stderr at ``level`` (``debug`` … ``error``)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
