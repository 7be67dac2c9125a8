"""Remembers how starts of this process went, in a file that outlives a crash: whose code was running, and how often in a row it went wrong."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import os
import re
from collections.abc import Container
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from luminai.contracts.context import Clock

_log = logging.getLogger("luminai.hub")
PARK_AFTER: Final = 2
"""Deaths of the process at the same plugin: in a row while it starts, within ``WITHIN_SECONDS`` while it works."""
SAFE_AFTER: Final = 3
"""Starts in a row that did not come to last ``GOOD_SECONDS``, within ``WITHIN_SECONDS``."""
WITHIN_SECONDS: Final = 600.0
GOOD_SECONDS: Final = 60.0
AT_WORK: Final = "work"
"""The phase of a plugin that crashed the process after its start."""
MAX_PROCESSES: Final = 64
MAX_FRAMES: Final = 1024 * 1024
_FRAME: Final = re.compile(r'File "[^"]*[/\\]luminai_(\w+)[/\\]([^"]+)", line (\d+)')


class _Record(Struct):
    began: list[float] = field(default_factory=list)
    entered: dict[str, str] = field(default_factory=dict)
    died: dict[str, int] = field(default_factory=dict)
    crashed: dict[str, list[float]] = field(default_factory=dict)


class StartLog:
    """The file ``starts.json`` in the data folder. Where it cannot be written, the hub does without.

    A crash of the interpreter (a segmentation fault in native code) leaves its last frames in ``crash.txt``; that tells whose code it was. A process
    that is killed, or ends itself by ``os._exit``, leaves nothing: it counts only as a start that went wrong.

    Processes that share the folder have each a pair of files of their own, from the second one on with a number: ``starts-2.json``. A process holds
    its pair by a lock on the second file, and takes the first that is free, so that one that begins again finds its own.

    Attributes:
        suspects: Plugins whose code was running when the process died.
        parked: Those at which it died twice in a row, with the phase.
        failed: How many starts in a row went wrong lately.
    """

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._folder = data_dir
        self._path = data_dir / "starts.json"
        self._crash: int | None = None
        self._watches = False
        self._clock = clock
        self._record = _Record()
        self.suspects: frozenset[str] = frozenset()
        self.parked: dict[str, str] = {}
        self.failed = 0

    def begin(self, plugins: Container[str] = ()) -> None:
        """Look at how the start before ended, and note this one; ``plugins`` are the ids that a crash may be laid to."""
        self._take_files()
        try:
            self._record = msgspec.json.decode(self._path.read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            self._record = _Record()
        now = self._clock.now().timestamp()
        record = self._record
        record.began = _lately(record.began, now)
        self.failed = len(record.began)
        record.crashed = {plugin: lately for plugin, times in record.crashed.items() if (lately := _lately(times, now))}
        crashed, place = self._crashed(plugins)
        if crashed:
            _log.error("process.crashed", extra={"plugin": crashed, "place": place})
            if crashed not in record.entered:
                record.crashed.setdefault(crashed, []).append(now)
            record.entered = {plugin: phase for plugin, phase in record.entered.items() if plugin == crashed}  # the others only ran at the same time
        record.died = {plugin: record.died.get(plugin, 0) + 1 for plugin in record.entered}
        self.suspects = frozenset((*record.died, *record.crashed))
        self.parked = {plugin: AT_WORK for plugin, times in record.crashed.items() if len(times) >= PARK_AFTER}
        self.parked |= {plugin: record.entered[plugin] for plugin, times in record.died.items() if times >= PARK_AFTER}
        for plugin in self.parked:
            record.died.pop(plugin, None)
            record.crashed.pop(plugin, None)
        record.entered = {}
        record.began.append(now)
        self._write()

    def watch(self) -> None:
        """Have the interpreter write its last frames when it crashes. The file stays open as long as the process lives."""
        if self._crash is not None:
            os.ftruncate(self._crash, 0)
            faulthandler.enable(self._crash, all_threads=False)
            self._watches = True

    def entering(self, plugin: str, phase: str) -> None:
        """Note that a plugin's code is about to run."""
        self._record.entered[plugin] = phase
        self._write()

    def left(self, plugin: str) -> None:
        """Note that a plugin's code came back."""
        self._record.entered.pop(plugin, None)
        self._write()

    def went_well(self) -> None:
        """Forget what went wrong with starts: this one served long enough, or ended in order. Crashes at work are kept for ``WITHIN_SECONDS``."""
        self._record = _Record(crashed=self._record.crashed)
        if self._record.crashed:
            self._write()
            return
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files, as the end of a process does."""
        if self._crash is not None:
            if self._watches:
                faulthandler.disable()
            os.close(self._crash)
            self._crash = None

    def _take_files(self) -> None:
        for number in range(1, MAX_PROCESSES + 1):
            which = f"-{number}" if number > 1 else ""
            try:
                opened = os.open(self._folder / f"crash{which}.txt", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return
            with contextlib.suppress(OSError):  # another process holds it, or the file system knows no locks
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._path, self._crash = self._folder / f"starts{which}.json", opened
                return
            os.close(opened)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self._path.write_bytes(msgspec.json.encode(self._record))

    def _crashed(self, plugins: Container[str]) -> tuple[str, str]:
        """Return the plugin whose code stands innermost in the last frames of the process before, with its place; two empty strings for none."""
        if self._crash is None:
            return "", ""
        frames = _FRAME.findall(os.pread(self._crash, MAX_FRAMES, 0).decode(errors="replace"))
        named = ((name.replace("_", "-"), f"luminai_{name}/{file}:{line}") for name, file, line in frames)
        return next((one for one in named if one[0] in plugins), ("", ""))


def _lately(times: list[float], now: float) -> list[float]:
    return [at for at in times if 0 <= now - at <= WITHIN_SECONDS]
