"""A serving hub backs itself up: in time, read whole again, the newest few kept, and its health says when that fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from home import Home

from luminai import HealthState, HubError
from luminai.host import backup_keeper
from luminai.telemetry.clock import SystemClock
from luminai.testing import HubUnderTest, running_hub


class Later(SystemClock):
    """The machine's clock, some hours ahead."""

    hours = 0.0

    def now(self) -> Any:
        return super().now() + timedelta(hours=self.hours)


def keeping(folder: Path, work: Callable[[HubUnderTest, Later], Awaitable[None]], **backup: Any) -> Path:
    """Do the work on a hub that backs up into ``kept``; return that folder."""
    clock = Later()

    async def main() -> None:
        async with running_hub(folder=folder, settings={"backup": {"folder": "kept", **backup}}, clock=clock) as hub:
            await work(hub, clock)

    asyncio.run(main())
    return folder / "kept"


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("hub-*"))


async def cause(hub: HubUnderTest) -> str:
    """Return what the hub's repairs say of backups."""
    items = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
    return next((str(item["cause"]) for item in items if "backup" in item["id"]), "")


def test_hub__backs_itself_up_daily_and_keeps_the_newest(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest, clock: Later) -> None:
        (tmp_path / "kept" / "by-hand.luminai-backup").write_bytes(b"mine")
        for name in ("hub-20260101T000000Z.luminai-backup", "hub-20260102T000000Z.luminai-backup"):
            (tmp_path / "kept" / name).write_bytes(b"old")
        for path in (tmp_path / "kept").iterdir():
            os.utime(path, (0, 0))
        first = await hub.hub.backups.turn()
        assert first is not None
        assert await hub.hub.backups.turn() is None, "the last one is young"
        assert await cause(hub) == ""
        clock.hours = 24
        assert await hub.hub.backups.turn() is not None
        entries = (await hub.client("*").request("GET", "/api/admin/audit?action=backup.create")).json()["items"]
        assert [one["object"] for one in entries][-1:] == [f"backup:{first.name}"]

    (tmp_path / "kept").mkdir()
    folder = keeping(tmp_path, work, keep=2)
    assert len(kept(folder)) == 2
    assert not {"hub-20260101T000000Z.luminai-backup", "hub-20260102T000000Z.luminai-backup"} & set(kept(folder))
    assert (folder / "by-hand.luminai-backup").read_bytes() == b"mine"
    home = Home(tmp_path)
    for name in kept(folder):
        assert home.data("backup", "verify", str(folder / name))["differences"] == []


def test_backup__that_does_not_read_back__is_deleted_and_told_and_no_older_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = backup_keeper.create

    def damaged(*given: Any, **more: Any) -> Any:
        made = write(*given, **more)
        with Path(made.file).open("r+b") as file:
            file.seek(-20, os.SEEK_END)
            file.write(b"\0" * 8)
        return made

    async def work(hub: HubUnderTest, clock: Later) -> None:
        assert await hub.hub.backups.turn() is not None
        clock.hours = 24
        monkeypatch.setattr(backup_keeper, "create", damaged)
        with pytest.raises(HubError) as refused:
            await hub.hub.backups.turn()
        assert refused.value.code == "backup-unreadable"
        assert "The last backup failed" in await cause(hub)
        monkeypatch.undo()
        assert len(kept(tmp_path / "kept")) == 1
        clock.hours = 0
        assert await hub.hub.backups.turn() is None, "the one from before is young"
        clock.hours = 24
        assert await hub.hub.backups.turn() is not None
        clock.hours = 0
        assert (await hub.hub.backups.check()).state == HealthState.OK

    assert len(kept(keeping(tmp_path, work))) == 2


def test_backup__that_another_process_makes__is_left_to_it(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest, _: Later) -> None:
        made = await asyncio.gather(*(backup_keeper.BackupKeeper(hub.hub).turn() for _ in range(4)))
        assert len([one for one in made if one is not None]) == 1

    assert len(kept(keeping(tmp_path, work))) == 1
