"""One canonical line a request, written in batches by a thread, so that the event loop never waits for a pipe or a disk."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

MAX_PENDING: Final = 10_000
FLUSH_SECONDS: Final = 0.2

Line = tuple[float, str, str, str, int, float, str, str, str, dict[str, Any] | None]
"""Unix time, request id, method, path, status, milliseconds, owner, actor, client, extra fields."""


class AccessLog:
    """Collects lines and hands them to a writer thread; a full buffer drops lines and counts them, it never holds up a request."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json
        self._pending: list[Line] = []
        self._queue: queue.SimpleQueue[list[Line] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def write(self, line: Line) -> None:
        """Take a line; the first of a batch schedules its writing."""
        if not self._pending:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        if len(self._pending) < MAX_PENDING:
            self._pending.append(line)
        else:
            self.dropped += 1

    def flush(self) -> None:
        """Hand what is pending to the writer."""
        if self._pending:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="luminai-access-log", daemon=True)
                self._thread.start()
            lines, self._pending = self._pending, []
            self._queue.put(lines)

    def close(self) -> None:
        """Write what is left and end the writer."""
        self.flush()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=2)
            self._thread = None

    def _serve(self) -> None:
        render = _json if self._as_json else _text
        while (lines := self._queue.get()) is not None:
            try:
                self._stream.write("".join(map(render, lines)))
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)


def _json(line: Line) -> str:
    at, request_id, method, path, status, ms, owner, actor, client, extra = line
    fields = {
        "at": datetime.fromtimestamp(at, UTC),
        "event": "request",
        "request_id": request_id,
        "method": method,
        "path": path,
        "status": status,
        "ms": round(ms, 2),
        "plugin": owner,
        "actor": actor,
        "client": client,
    }
    return msgspec.json.encode(fields | (extra or {})).decode() + "\n"


def _text(line: Line) -> str:
    at, _, method, path, status, ms, owner, actor, client, extra = line
    clock = time.strftime("%H:%M:%S", time.localtime(at))
    safe = path.encode("unicode_escape").decode()
    more = "".join(f" {name}={value}" for name, value in (extra or {}).items())
    return f"{clock} {status} {method:<4} {safe}  {ms:.1f} ms  {owner}  {actor or client}{more}\n"
