"""Finds code that holds up the event loop, while it does so: a thread watches the loop's pulse and looks whose code stands still."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Final

from msgspec import Struct

from luminai.telemetry.figures import Measured

_log = logging.getLogger("luminai.stalls")
PULSE_SECONDS: Final = 0.2
STALL_SECONDS: Final = 0.5
MAX_PLACES: Final = 200


class Stall(Struct, frozen=True, kw_only=True):
    """A place that held up the loop: the plugin whose code it is (empty: the hub's), how often, and the longest in seconds."""

    plugin: str
    file: str
    line: int
    times: int
    longest: float


class StallWatch:
    """Watches the running loop. A stall is told while it lasts, so that even one without an end has a name in the log.

    Args:
        lag: Takes how late each pulse came, in seconds.
    """

    def __init__(self, lag: Measured | None = None) -> None:
        self._lag = lag
        self._places: dict[tuple[str, str, int], Stall] = {}
        self._beat = 0.0
        self._thread_id = 0
        self._ended = threading.Event()
        self._handle: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the loop of this thread."""
        self._thread_id = threading.get_ident()
        self._pulse(asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._watch, name="luminai-stall-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        if self._handle is not None:
            self._handle.cancel()

    def stalls(self) -> list[Stall]:
        """Return what was seen, the longest first."""
        return sorted(self._places.values(), key=lambda stall: -stall.longest)

    def _pulse(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if self._lag is not None and self._beat:
            self._lag.observe(max(0.0, now - self._beat - PULSE_SECONDS))
        self._beat = now
        self._handle = loop.call_later(PULSE_SECONDS, self._pulse, loop)

    def _watch(self) -> None:
        """Wake when the pulse that was seen last would be too long ago, not with each pulse: a hub at rest has little else to do."""
        known: tuple[float, Stall] | None = None  # the stall that goes on: its last pulse, and what was noted
        pause = STALL_SECONDS
        while not self._ended.wait(pause):
            beat = self._beat
            late = time.monotonic() - beat - PULSE_SECONDS
            pause = PULSE_SECONDS / 2 if late >= STALL_SECONDS else max(0.001, STALL_SECONDS - late)
            if late < STALL_SECONDS:
                known = None
            elif known is None or known[0] != beat:
                found = self._look(late)
                known = (beat, found) if found is not None else None
            else:
                stall = known[1]
                self._places[stall.plugin, stall.file, stall.line] = Stall(
                    plugin=stall.plugin, file=stall.file, line=stall.line, times=stall.times, longest=round(max(stall.longest, late), 2)
                )

    def _look(self, late: float) -> Stall | None:
        """Note where the loop's thread stands. The frame is let go on return: it holds everything that the code in it holds."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way to look at another thread
        return self._note(*_culprit(frame), late) if frame is not None else None

    def _note(self, plugin: str, file: str, line: int, late: float) -> Stall:
        before = self._places.get((plugin, file, line))
        times, longest = (before.times + 1, max(before.longest, late)) if before else (1, late)
        stall = Stall(plugin=plugin, file=file, line=line, times=times, longest=round(longest, 2))
        if before is not None or len(self._places) < MAX_PLACES:
            self._places[plugin, file, line] = stall
        if before is None:
            _log.error("loop.blocked", extra={"plugin": plugin, "place": f"{file}:{line}", "seconds": round(late, 2)})
        return stall


def plugin_place(trace: TracebackType | None) -> tuple[str, str]:
    """Return the plugin whose code stands innermost in a traceback, and its ``file:line``; two empty strings when no plugin's does."""
    found = ("", "")
    while trace is not None:
        plugin = _plugin_of(trace.tb_frame)
        if plugin:
            found = (plugin, f"{_short(trace.tb_frame)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return found


def _culprit(frame: FrameType) -> tuple[str, str, int]:
    """Return plugin, file and line of the innermost plugin frame, or of the innermost frame of all."""
    current: FrameType | None = frame
    while current is not None:
        plugin = _plugin_of(current)
        if plugin:
            return plugin, _short(current), current.f_lineno
        current = current.f_back
    return "", _short(frame), frame.f_lineno


def _plugin_of(frame: FrameType) -> str:
    root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return root.removeprefix("luminai_").replace("_", "-") if root.startswith("luminai_") else ""


def _short(frame: FrameType) -> str:
    return "/".join(frame.f_code.co_filename.split("/")[-2:])
