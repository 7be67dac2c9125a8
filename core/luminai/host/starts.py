"""Remembers how starts of this process went, in a file that outlives a crash: whose code was running, and how often in a row it went wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from luminai.contracts.context import Clock

PARK_AFTER: Final = 2
"""Deaths of the process at the same plugin in a row."""
SAFE_AFTER: Final = 3
"""Starts in a row that did not come to last ``GOOD_SECONDS``, within ``WITHIN_SECONDS``."""
WITHIN_SECONDS: Final = 600.0
GOOD_SECONDS: Final = 60.0


class _Record(Struct):
    began: list[float] = field(default_factory=list)
    entered: dict[str, str] = field(default_factory=dict)
    died: dict[str, int] = field(default_factory=dict)


class StartLog:
    """The file ``starts.json`` in the data folder. Where it cannot be written, the hub does without.

    Attributes:
        suspects: Plugins whose code was running when the process died.
        parked: Those at which it died twice in a row, with the phase.
        failed: How many starts in a row went wrong lately.
    """

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._path = data_dir / "starts.json"
        self._clock = clock
        self._record = _Record()
        self.suspects: frozenset[str] = frozenset()
        self.parked: dict[str, str] = {}
        self.failed = 0

    def begin(self) -> None:
        """Look at how the start before ended, and note this one."""
        try:
            self._record = msgspec.json.decode(self._path.read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            self._record = _Record()
        now = self._clock.now().timestamp()
        record = self._record
        record.died = {plugin: record.died.get(plugin, 0) + 1 for plugin in record.entered}
        record.began = [at for at in record.began if 0 <= now - at <= WITHIN_SECONDS]
        self.failed = len(record.began)
        self.suspects = frozenset(record.died)
        self.parked = {plugin: record.entered[plugin] for plugin, times in record.died.items() if times >= PARK_AFTER}
        for plugin in self.parked:
            del record.died[plugin]
        record.entered = {}
        record.began.append(now)
        self._write()

    def entering(self, plugin: str, phase: str) -> None:
        """Note that a plugin's code is about to run."""
        self._record.entered[plugin] = phase
        self._write()

    def left(self, plugin: str) -> None:
        """Note that a plugin's code came back."""
        self._record.entered.pop(plugin, None)
        self._write()

    def went_well(self) -> None:
        """Forget what went wrong before: this start served long enough, or ended in order."""
        self._record = _Record()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self._path.write_bytes(msgspec.json.encode(self._record))
