"""A SQLite file with the core's tables, made once a process: its migrations take longer than most tests."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from luminai.data.database import open_database
from luminai.data.migrations import core_source, upgrade
from luminai.data.sqlite import FILE_NAME
from luminai.telemetry.clock import SystemClock

_made: list[bytes] = []


async def lay_down(data_dir: Path) -> None:
    """Put the file into a hub's data folder that has none yet."""
    content = _made[0] if _made else await _migrated()
    with suppress(FileExistsError):
        _write(data_dir, content)


def _write(data_dir: Path, content: bytes) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / FILE_NAME).open("xb") as file:
        file.write(content)


async def _migrated() -> bytes:
    with tempfile.TemporaryDirectory(prefix="luminai-test-") as folder:
        database = await open_database("", data_dir=Path(folder), clock=SystemClock())
        try:
            await upgrade(database, core_source())
        finally:
            await database.close()
        _made.append((Path(folder) / FILE_NAME).read_bytes())
    return _made[0]
