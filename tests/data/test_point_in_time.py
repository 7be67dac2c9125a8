"""A hub brought back as it was at a moment: from the backups that were made by then, and on PostgreSQL to the very transaction."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from clusters import Cluster, ground, postgres_programs
from home import Home

from luminai.testing import running_hub

__all__ = ["ground"]
CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat")


async def say(folder: Path, *words: str, database_url: str = "") -> None:
    async with running_hub(*CHAT, folder=folder, database_url=database_url) as hub:
        for message in words:
            answer = await hub.client("chat:write", subject="user_ada").request("POST", "/api/chat", json={"message": message})
            assert answer.status == 200, answer.text


async def titles(folder: Path, *, database_url: str = "") -> list[str]:
    async with running_hub(*CHAT, folder=folder, database_url=database_url) as hub:
        found = (await hub.client("chat:read", subject="user_ada").request("GET", "/api/sessions")).json()["items"]
        return sorted(one["title"] for one in found)


@pytest.mark.shows("TL-167")
def test_restore__until_a_moment__takes_the_newest_backup_from_before_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with (home.folder / "config.toml").open("a") as file:
        file.write(f'\n[backup]\nfolder = "{tmp_path / "kept"}"\n')
    (tmp_path / "kept").mkdir()
    for hour, word in ((10, "First"), (11, "Second"), (12, "Third")):
        asyncio.run(say(home.folder, word))
        home.data("backup", "create", "--to", str(tmp_path / "kept" / f"hub-20260101T{hour}0000Z.luminai-backup"))
    home.data("backup", "create", "--to", str(tmp_path / "kept" / "a-name-of-my-own.luminai-backup"))

    def until(moment: str) -> list[str]:
        fresh = Home(tmp_path / moment.replace(":", "-"))
        shutil.copy2(home.folder / "config.toml", fresh.folder / "config.toml")
        shutil.copytree(home.folder / "data" / "keys", fresh.folder / "data" / "keys")
        fresh.data("backup", "restore", "--until", moment)
        return asyncio.run(titles(fresh.folder))

    assert until("2026-01-01T11:59:59Z") == ["First", "Second"]
    assert until("2026-01-01T11:00:00") == ["First", "Second"], "that of the very second, and UTC where no offset is given"
    assert until("2026-01-01T11:59:59+01:00") == ["First"]
    fresh = Home(tmp_path / "fresh")
    shutil.copy2(home.folder / "config.toml", fresh.folder / "config.toml")
    assert fresh.refusal("backup", "restore", "--until", "2026-01-01T09:59:59Z") == (3, "no-backup-then")
    for wrong in (("--until", "yesterday"), (), ("--until", "2026-01-01", str(tmp_path / "kept" / "a-name-of-my-own.luminai-backup"))):
        assert fresh.run("backup", "restore", *wrong).returncode == 2
    assert not (fresh.folder / "data" / "hub.sqlite3").exists()


@pytest.mark.postgres
@pytest.mark.shows("TL-167")
def test_postgres__recovered_to_a_moment__has_what_was_before_it_and_nothing_of_after(tmp_path: Path, ground: Path) -> None:
    """What the page on backups tells to do, done: archive of the log, base backup, loss of the server, recovery to a moment between two writes."""
    programs, home, archive = postgres_programs(), Home(tmp_path / "home"), ground / "archive"
    first, second = Cluster(ground / "first", programs), Cluster(ground / "second", programs)
    first.make()
    archive.mkdir()
    shutil.chown(archive, first.folder.owner(), first.folder.group())
    keep = f"test ! -f {archive}/%f && cp %p {archive}/%f"
    first.configure(wal_level="replica", archive_mode="on", archive_command=keep, fsync="off")
    first.start()
    try:
        asyncio.run(say(home.folder, "Before the base", database_url=first.url))
        address = ("--host=127.0.0.1", f"--port={first.port}", "--username=luminai")
        first.run("pg_basebackup", *address, "--checkpoint=fast", "--no-sync", "--pgdata", str(second.folder))
        asyncio.run(say(home.folder, "Before the moment", database_url=first.url))
        moment = asyncio.run(first.ask("SELECT clock_timestamp()::text"))
        asyncio.run(say(home.folder, "After the moment", database_url=first.url))
        assert asyncio.run(titles(home.folder, database_url=first.url)) == ["After the moment", "Before the base", "Before the moment"]
        asyncio.run(first.ask("SELECT pg_switch_wal()"))
        asyncio.run(first.ask("CHECKPOINT"))
    finally:
        first.run("pg_ctl", "stop", "--wait", "--mode=fast", "--pgdata", str(first.folder))  # which archives the rest
    shutil.rmtree(first.folder)

    recovery = {"restore_command": f"cp {archive}/%f %p", "recovery_target_time": moment, "recovery_target_action": "promote"}
    second.configure(**recovery, hot_standby="off", archive_mode="off")  # no connection is taken before it is there
    (second.folder / "recovery.signal").touch()
    second.start()
    try:
        home.env["DATABASE_URL"] = second.url
        looked = home.run("db", "verify")
        assert looked.returncode == 0, looked.stdout
        told = home.run("audit", "verify", "--offline")
        assert json.loads(told.stdout)["verdict"] in ("whole", "behind"), told.stderr
        assert home.data("vault", "verify")["broken"] == []
        assert asyncio.run(titles(home.folder, database_url=second.url)) == ["Before the base", "Before the moment"]
        asyncio.run(say(home.folder, "And on", database_url=second.url))
    finally:
        second.stop()
