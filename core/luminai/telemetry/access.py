"""One canonical line a request, written in batches by a thread, so that the event loop never waits for a pipe or a disk."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

import msgspec
from msgspec import Struct, structs

from luminai.contracts.identity import Actor

MAX_PENDING: Final = 10_000
FLUSH_SECONDS: Final = 0.2


class Line(Protocol):
    """What a finished request tells; ``began`` and ``ended`` are seconds of the performance counter."""

    began: float
    ended: float
    request_id: bytes
    method: str
    path: str
    status: int
    owner: str
    actor: Actor | None
    client: str
    extra: dict[str, Any] | None


class _Fields(Struct):
    at: datetime
    event: str
    request_id: str
    method: str
    path: str
    status: int
    ms: float
    plugin: str
    actor: str
    client: str


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
                epoch = time.time() - time.perf_counter()
                self._stream.write("".join([render(line, epoch) for line in lines]))
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)


def _json(line: Line, epoch: float) -> str:
    actor = line.actor.id if line.actor else ""
    at = datetime.fromtimestamp(epoch + line.ended, UTC)
    milliseconds = round((line.ended - line.began) * 1000, 2)
    fields = _Fields(at, "request", line.request_id.decode(), line.method, line.path, line.status, milliseconds, line.owner, actor, line.client)
    return msgspec.json.encode(fields if line.extra is None else structs.asdict(fields) | line.extra).decode() + "\n"


def _text(line: Line, epoch: float) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(epoch + line.ended))
    safe = line.path.encode("unicode_escape").decode()
    who = line.actor.id if line.actor else line.client
    more = "".join(f" {name}={value}" for name, value in (line.extra or {}).items())
    return f"{clock} {line.status} {line.method:<4} {safe}  {(line.ended - line.began) * 1000:.1f} ms  {line.owner}  {who}{more}\n"
