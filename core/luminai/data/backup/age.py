"""How old the newest backup is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luminai.contracts.runtime import Health, HealthState
from luminai.data.backup.create import SUFFIX

if TYPE_CHECKING:
    from luminai.contracts.context import Clock

LATE: Final = timedelta(hours=26)
"""A day and a margin (reliability P9)."""


def newest(folder: Path) -> datetime | None:
    """Return when the newest backup of a folder was written, None when there is none."""
    times = [path.stat().st_mtime for path in folder.glob(f"*{SUFFIX}") if path.is_file()] if folder.is_dir() else []
    return datetime.fromtimestamp(max(times), UTC) if times else None


def age_check(folder: Path, clock: Clock) -> Callable[[], Awaitable[Health]]:
    """Return the check that is degraded while the newest backup is older than 26 hours."""

    async def check() -> Health:
        last = await asyncio.to_thread(newest, folder)
        if last is None:
            return Health(HealthState.DEGRADED, "There is no backup yet. Run `luminai backup create` daily.")
        hours = (clock.now() - last) / timedelta(hours=1)
        if hours > LATE / timedelta(hours=1):
            return Health(HealthState.DEGRADED, f"The last backup is {hours:.0f} hours old. Run `luminai backup create` daily.")
        return Health(HealthState.OK)

    return check
