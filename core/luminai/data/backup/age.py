"""When backups were made: how old the newest one is, and which one is of a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from luminai.contracts.errors import NotFound
from luminai.contracts.runtime import Health, HealthState
from luminai.data.backup.create import OWN_NAME, SUFFIX, file_name


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


def as_of(folder: Path, moment: datetime) -> Path:
    """Return the newest backup of a folder that was made at ``moment`` or before, by its name; names of people's own tell no time.

    Raises:
        NotFound: there is none so old (code ``no-backup-then``).
    """
    found = sorted(path.name for path in folder.iterdir() if OWN_NAME.match(path.name)) if folder.is_dir() else []
    before = [name for name in found if name <= file_name(moment.astimezone(UTC))]
    if not before:
        hint = f"The oldest one is {found[0]}." if found else "The folder has none that is named by its time."
        raise NotFound(f"There is no backup of {moment.isoformat()} or before.", code="no-backup-then", hint=hint)
    return folder / before[-1]
