"""One canonical line a request, written in batches by a thread, so that the event loop never waits for a pipe or a disk."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Any, Final, Protocol, TextIO

import msgspec

from luminai.contracts.identity import Actor
from luminai.telemetry.log_copy import LogCopy

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


class AccessLog:
    """Collects lines and hands them to a writer thread; a full buffer drops lines and counts them, it never holds up a request.

    Args:
        copy: Takes each line as JSON too.
    """

    def __init__(self, stream: TextIO, *, as_json: bool, copy: LogCopy | None = None) -> None:
        self._stream = stream
        self.copy = copy
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
            epoch = time.time() - time.perf_counter()
            if self.copy is not None:
                self.copy.write(_json(lines, epoch))
            try:
                self._stream.write(render(lines, epoch))
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)


def _json(lines: list[Line], epoch: float) -> str:
    second, clock, written = 0, "", []
    for line in lines:
        at = epoch + line.ended
        if int(at) != second:
            second = int(at)
            clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        actor, subject = (line.actor.id, line.actor.subject) if line.actor else ("", "")
        more = "}" if line.extra is None else f",{_quoted(line.extra)[1:]}"
        milliseconds = (line.ended - line.began) * 1000
        written.append(
            f'{{"at":"{clock}.{int(at % 1 * 1_000_000):06d}Z","event":"request","request_id":"{line.request_id.decode()}","method":"{line.method}",'
            f'"path":{_quoted(line.path)},"status":{line.status},"ms":{milliseconds:.2f},"plugin":"{line.owner}","actor":{_quoted(actor)},'
            f'"subject":{_quoted(subject)},"client":{_quoted(line.client)}{more}\n'
        )
    return "".join(written)


def _quoted(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(lines: list[Line], epoch: float) -> str:
    return "".join([_line(line, epoch) for line in lines])


def _line(line: Line, epoch: float) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(epoch + line.ended))
    safe = line.path.encode("unicode_escape").decode()
    who = line.actor.id if line.actor else line.client
    more = "".join(f" {name}={value}" for name, value in (line.extra or {}).items())
    return f"{clock} {line.status} {line.method:<4} {safe}  {(line.ended - line.began) * 1000:.1f} ms  {line.owner}  {who}{more}\n"
