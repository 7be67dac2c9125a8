"""Backups that a serving hub makes by itself: made while it serves, read whole again, the newest few kept."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luminai.contracts.audit import AuditEntry
from luminai.contracts.errors import Conflict, HubError
from luminai.contracts.runtime import Health, HealthState
from luminai.data.backup.age import age_of, newest
from luminai.data.backup.create import OWN_NAME, Source, create, file_name
from luminai.data.backup.unpack import refuse_different, unpack
from luminai.data.vault.tombstones import FILE_NAME, carry

if TYPE_CHECKING:
    from luminai.host.hub import Hub

_log = logging.getLogger("luminai.backup")
LOOK_SECONDS: Final = 60.0
"""A start is busy enough: the first look comes a minute later."""
AGAIN_SECONDS: Final = 3600.0
"""After one that failed."""
_DAY: Final = timedelta(days=1)
_MARGIN: Final = timedelta(hours=2)


class BackupKeeper:
    """Backs up to the folder of ``[backup]``, which processes may share: one of them makes what is due."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._given = hub.settings.backup
        self._folder = hub.config.base_dir / self._given.folder
        self._failed = ""

    async def run(self) -> None:
        """Look every minute whether a backup is due."""
        while self._given.folder and self._given.every_hours:
            await asyncio.sleep(AGAIN_SECONDS if self._failed else LOOK_SECONDS)
            try:
                await self.turn()
            except Exception:  # noqa: BLE001 - the next one may go well
                _log.exception("backup.failed")

    async def turn(self) -> Path | None:
        """Make a backup if one is due, and return it.

        Raises:
            HubError: it could not be made, or does not hold what it should (code ``backup-damaged``): it is gone, and no older one was deleted.
        """
        try:
            made = await self._make_if_due()
        except (HubError, OSError) as error:
            self._failed = error.detail if isinstance(error, HubError) else str(error.strerror)
            raise
        self._failed = "" if made else self._failed
        return made

    async def check(self) -> Health:
        """Return the health: degraded without a backup that is young enough, or while the last try failed."""
        longest = max(_DAY, timedelta(hours=self._given.every_hours)) + _MARGIN
        found = await asyncio.to_thread(age_of, self._folder, self._hub.clock.now(), longest)
        return Health(HealthState.DEGRADED, f"The last backup failed: {self._failed}") if self._failed else found

    async def _make_if_due(self) -> Path | None:
        hub, now = self._hub, self._hub.clock.now()
        if not await asyncio.to_thread(self._is_due, now):
            return None
        lock = await asyncio.to_thread(_lock, self._folder)
        if lock is None:  # another process is at it
            return None
        try:
            if not await asyncio.to_thread(self._is_due, now):
                return None
            target = self._folder / file_name(now)
            entry = AuditEntry(action="backup.create", object=f"backup:{target.name}")
            await hub.database.write(lambda session: hub.audit.record(session, "hub", entry))
            await asyncio.to_thread(self._make, target, now)
        finally:
            os.close(lock)
        _log.info("backup.made", extra={"file": target.name})
        return target

    def _is_due(self, now: datetime) -> bool:
        last = newest(self._folder)
        return last is None or now - last >= timedelta(hours=self._given.every_hours)

    def _make(self, target: Path, now: datetime) -> None:
        ring = self._hub.vault.ring
        key = ring.find(ring.ids[0]) if ring.ids else None
        if key is None:
            raise Conflict("There is no master key to close the backup by.", code="master-key-missing", hint="`luminai vault status`")
        create(Source(self._hub.settings.database.url, self._hub.data_dir), target, key, at=now, with_keys=False, progress=_silent)
        carry(ring.path.with_name(FILE_NAME), target.with_name(FILE_NAME))
        try:
            with target.open("rb") as file, tempfile.TemporaryDirectory(prefix=".verify-", dir=self._folder) as folder:
                refuse_different(unpack(file, ring, str, Path(folder), keep=False, progress=_silent))
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        for old in sorted(path for path in self._folder.iterdir() if OWN_NAME.match(path.name))[: -self._given.keep]:
            old.unlink(missing_ok=True)


def _lock(folder: Path) -> int | None:
    """Return what holds the folder until it is closed, None while another process does."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock


def _silent(_: str) -> None:
    """Nobody watches."""
