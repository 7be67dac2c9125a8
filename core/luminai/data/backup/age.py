"""How old the newest backup is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from luminai.contracts.runtime import Health, HealthState
from luminai.data.backup.create import SUFFIX


def newest(folder: Path) -> datetime | None:
    """Return when the newest backup of a folder was written, None when there is none."""
    times = [path.stat().st_mtime for path in folder.glob(f"*{SUFFIX}") if path.is_file()] if folder.is_dir() else []
    return datetime.fromtimestamp(max(times), UTC) if times else None


def age_of(folder: Path, now: datetime, longest: timedelta) -> Health:
    """Return the health of a folder of backups: degraded while the newest one is older than ``longest``."""
    last = newest(folder)
    if last is None:
        return Health(HealthState.DEGRADED, "There is no backup yet. Run `luminai backup create`.")
    if now - last > longest:
        return Health(HealthState.DEGRADED, f"The last backup is {(now - last) / timedelta(hours=1):.0f} hours old. Run `luminai backup create`.")
    return Health(HealthState.OK)
