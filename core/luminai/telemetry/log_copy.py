"""A second copy of what a serving hub logs, in a folder that may lie on another machine's volume: a file a day, the oldest deleted."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from luminai.contracts.runtime import Health, HealthState

_NAME: Final = re.compile(r"^hub-\d{4}-\d{2}-\d{2}\.jsonl\Z")


class LogCopy:
    """Takes whole lines of JSON from any thread, and processes may share the folder: each write is one append. It never raises.

    A folder that cannot be written costs lines, which are counted, and is tried again at every write.

    Args:
        keep_days: Files of so many days are kept, today's among them (UTC).
        seconds: Seconds since 1970.
    """

    def __init__(self, folder: Path, *, keep_days: int, seconds: Any = time.time) -> None:
        self._folder = folder
        self._keep_days = keep_days
        self._seconds = seconds
        self._lock = threading.Lock()
        self._file = -1
        self._day = ""
        self._problem = ""
        self.dropped = 0

    def write(self, text: str) -> int:
        """Append lines; return their characters, as text streams do."""
        with self._lock:
            try:
                os.write(self._today(), text.encode(errors="replace"))
                self._problem = ""
            except OSError as error:
                self._let_go()
                self._problem = str(error.strerror)
                self.dropped += text.count("\n")
        return len(text)

    def put(self, fields: dict[str, Any]) -> None:
        """Append a line with these fields."""
        self.write(msgspec.json.encode(fields).decode() + "\n")

    def flush(self) -> None:
        """Do nothing: what was written is with the system."""

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._let_go()

    async def check(self) -> Health:
        """Return the health: degraded while the folder cannot be written."""
        if not self._problem:
            return Health(HealthState.OK)
        return Health(
            HealthState.DEGRADED, f"The log's copy cannot be written: {self._problem}; {self.dropped} lines are lost there. Look at log.folder."
        )

    def _today(self) -> int:
        now = datetime.fromtimestamp(self._seconds(), UTC)
        if (day := now.strftime("%Y-%m-%d")) != self._day:
            self._let_go()
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._folder / f"hub-{day}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._day = day
            oldest = (now - timedelta(days=self._keep_days - 1)).strftime("hub-%Y-%m-%d.jsonl")
            for path in self._folder.iterdir():
                if _NAME.match(path.name) and path.name < oldest:
                    path.unlink(missing_ok=True)
        return self._file

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._day = -1, ""
