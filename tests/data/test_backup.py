"""Backups made under load, checked, changed, restored and compared; through the command, on both engines."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from home import Home, serving
from hypothesis import given
from hypothesis import strategies as st
from small_disk import fill

from luminai import HubError
from luminai.data.backup.archive import ArchiveReader, ArchiveWriter
from luminai.data.backup.files import safe_path
from luminai.data.vault.ring import KeyRing, MasterKey
from luminai.telemetry.clock import SystemClock
from luminai.testing import running_hub

KEY = MasterKey(bytes(range(32)))
SECRET = "What is a generation, asked by Mirabelle?"
CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat")
PASSPHRASE = "correct horse battery staple"


def archive_of(entries: dict[str, bytes], by: MasterKey | str = KEY) -> bytes:
    file = BytesIO()
    archive = ArchiveWriter(file, by)
    for name, content in entries.items():
        archive.begin(name)
        archive.write(content)
        archive.end()
    archive.close()
    return file.getvalue()


def read_archive(raw: bytes, passphrase: str = "") -> dict[str, bytes]:
    ring = KeyRing(Path("unused"), KEY.line)
    return {name: b"".join(chunks) for name, chunks in ArchiveReader(BytesIO(raw), ring, lambda: passphrase).entries()}


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.binary(max_size=2000), max_size=4), st.data())
def test_archive__any_change_or_cut__opens_nothing(entries: dict[str, bytes], data: Any) -> None:
    raw = archive_of(entries)
    assert read_archive(raw) == entries
    spot, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    changed = bytes([*raw[:spot], raw[spot] ^ (1 << bit), *raw[spot + 1 :]])
    for wrong in (changed, raw[: data.draw(st.integers(0, len(raw) - 1))], raw + b"\0"):
        with pytest.raises(HubError) as refused:
            read_archive(wrong)
        assert refused.value.code in ("not-a-backup", "backup-unreadable", "master-key-missing")


@pytest.mark.parametrize("size", [1024 * 1024 - 40, 1024 * 1024, 3 * 1024 * 1024 + 17])
def test_archive__of_several_frames__loses_swaps_or_repeats_none(size: int) -> None:
    raw = archive_of({"a": os.urandom(size)})
    frame, head = 1024 * 1024 + 16, len(raw) % (1024 * 1024 + 16)
    start = len(raw) - ((len(raw) - 200) // frame) * frame if head > 200 else head
    assert len(read_archive(raw)["a"]) == size
    for cut in range(start, len(raw), frame):
        with pytest.raises(HubError):
            read_archive(raw[:cut])
        with pytest.raises(HubError):
            read_archive(raw[:cut] + raw[cut + frame :])
        with pytest.raises(HubError):
            read_archive(raw[:cut] + raw[cut : cut + frame] * 2 + raw[cut + frame :])


def test_archive__by_passphrase__opens_with_it_alone() -> None:
    raw = archive_of({"a": b"x"}, PASSPHRASE)
    assert read_archive(raw, PASSPHRASE) == {"a": b"x"}
    for wrong in ("", "correct horse battery stapl", PASSPHRASE + " "):
        with pytest.raises(HubError) as refused:
            read_archive(raw, wrong)
        assert refused.value.code == "backup-unreadable"


@pytest.mark.parametrize("name", ["../x", "plugins/../../x", "/etc/passwd", "hub.sqlite3", "plugins//x", "plugins", "plugins/./x", "plugins/a\0"])
def test_archive__names_a_path_outside__is_refused(name: str) -> None:
    with pytest.raises(HubError):
        safe_path(name)


def rows_of(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, read with nothing of the hub."""
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")]
        return {name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr) for name in names}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path, Path]:
    """Return a home, a backup that was made of it while others wrote, and one that was made after the hub had stopped."""
    folder = tmp_path_factory.mktemp("backup")
    with serving(folder / "home") as home:
        config = home.folder / "config.toml"
        config.write_text(config.read_text() + '\n[backup]\nfolder = "backups"\n')
        files = home.folder / "data" / "plugins" / "storage-local" / "deep"
        files.mkdir(parents=True)
        (files / "upload.bin").write_bytes(os.urandom(2_500_000))
        (files / "link").symlink_to("/etc/hostname")
        assert home.data("chat", SECRET)["session_id"]
        stop = threading.Event()
        asked: list[int] = []

        def write() -> None:
            while not stop.is_set():
                asked.append(home.run("chat", SECRET).returncode)

        writer = threading.Thread(target=write)
        writer.start()
        loaded = folder / "loaded.luminai-backup"
        done = home.data("backup", "create", "--to", str(loaded))
        stop.set()
        writer.join()
        assert set(asked) == {0}
        assert done["files"] >= 1
    quiet = home.data("backup", "create")
    return home, loaded, Path(quiet["file"])


def restored(tmp_path: Path, made: tuple[Home, Path, Path], archive: Path) -> tuple[Home, Any]:
    """Return a fresh home with the master key, and what the command says of the restore."""
    home = Home(tmp_path / "fresh")
    keys = home.folder / "data" / "keys"
    keys.mkdir(parents=True, mode=0o700)
    shutil.copy2(made[0].folder / "data" / "keys" / "master.key", keys / "master.key")
    return home, home.data("backup", "restore", str(archive))


@pytest.mark.shows("LR-161")
def test_backup__restored_into_an_empty_folder__has_every_row_and_file_and_serves(tmp_path: Path, made: tuple[Home, Path, Path]) -> None:
    home, _, quiet = made
    assert quiet.parent.name == "backups"
    assert quiet.stat().st_mode & 0o777 == 0o600
    raw = quiet.read_bytes()
    assert b"Mirabelle" not in raw
    assert b"chat__messages" not in raw
    told = home.data("backup", "verify", str(quiet))
    assert (told["differences"], told["files"]) == ([], 2), "the upload, and the key of the audit log"
    fresh, done = restored(tmp_path, made, quiet)
    back, there = (rows_of(one.folder / "data" / "hub.sqlite3") for one in (fresh, home))
    entries = "core__audit_entries"
    (entry,) = set(back.pop(entries)) - set(there.pop(entries))
    assert {"backup.restore", "command line", f"backup:{quiet.name}"} <= set(entry)
    assert back == there
    assert (done["rows"], done["kept"], done["destroyed"]) == (told["rows"], [], 0)
    upload = Path("data/plugins/storage-local/deep/upload.bin")
    assert (fresh.folder / upload).read_bytes() == (home.folder / upload).read_bytes()
    assert not (fresh.folder / upload.parent / "link").exists()
    assert fresh.data("vault", "verify")["broken"] == []
    assert fresh.data("db", "verify") == []
    assert fresh.data("chat", SECRET)["response"]
    assert fresh.refusal("backup", "restore", str(quiet)) == (5, "not-empty")
    assert [path.name for path in (fresh.folder / "data").iterdir() if path.name.startswith(".")] == []


def test_backup__made_while_others_write__is_whole(tmp_path: Path, made: tuple[Home, Path, Path]) -> None:
    home, loaded, _ = made
    told = home.data("backup", "verify", str(loaded))
    assert told["differences"] == []
    fresh, _ = restored(tmp_path, made, loaded)
    before = rows_of(home.folder / "data" / "hub.sqlite3")
    after = rows_of(fresh.folder / "data" / "hub.sqlite3")
    messages = {row[0] for row in after["chat__messages"]}
    assert messages <= {row[0] for row in before["chat__messages"]}
    counted = {row[0]: row[4] for row in after["chat__sessions"]}
    assert sum(counted.values()) == len(messages), "a moment between units, never within one"


def test_backup__damaged_or_of_another_key__is_refused_and_leaves_nothing(tmp_path: Path, made: tuple[Home, Path, Path]) -> None:
    home, _, quiet = made
    raw = bytearray(quiet.read_bytes())
    raw[len(raw) // 2] ^= 1
    bad = tmp_path / "bad.luminai-backup"
    bad.write_bytes(raw)
    assert home.refusal("backup", "verify", str(bad)) == (7, "backup-unreadable")
    fresh = Home(tmp_path / "fresh")
    assert fresh.refusal("backup", "restore", str(quiet)) == (5, "master-key-missing")
    keys = home.folder / "data" / "keys" / "master.key"
    assert fresh.refusal("backup", "restore", str(bad), "--key-file", str(keys)) == (7, "backup-unreadable")
    assert not (fresh.folder / "data" / "hub.sqlite3").exists()
    assert not list((fresh.folder / "data").rglob("*"))
    assert fresh.data("backup", "restore", str(quiet), "--key-file", str(keys))["rows"]
    assert fresh.refusal("serve", "--port", "0") == (5, "master-key-missing"), "the data's own key must stand at its place"


def test_backup__with_keys_and_passphrase__brings_everything_back_alone(tmp_path: Path, made: tuple[Home, Path, Path]) -> None:
    home = made[0]
    target = str(tmp_path / "all.luminai-backup")
    assert home.refusal("backup", "create", "--to", target, "--include-keys") == (7, "keys-need-passphrase")
    assert home.run("backup", "create", "--to", target, "--passphrase-stdin", given="short\n").returncode == 7
    done = home.run("backup", "create", "--to", target, "--passphrase-stdin", "--include-keys", given=PASSPHRASE + "\n")
    assert done.returncode == 0, done.stderr
    assert home.refusal("backup", "create", "--to", target) == (5, "backup-exists")
    fresh = Home(tmp_path / "fresh")
    assert fresh.run("backup", "restore", target, "--passphrase-stdin", given="wrong horse battery staple\n").returncode == 7
    done = fresh.run("backup", "restore", target, "--passphrase-stdin", given=PASSPHRASE + "\n")
    assert done.returncode == 0, done.stderr
    assert fresh.data("vault", "status")["code"] == ""
    assert fresh.data("chat", SECRET)["response"]


def test_restore__of_a_backup_from_before_an_erasure__does_not_bring_the_erased_back(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    async def fill() -> None:
        async with running_hub(*CHAT, folder=home.folder) as hub:
            for subject in ("user_ann", "user_bob"):
                answer = await hub.client("chat:write", subject=subject).request("POST", "/api/chat", json={"message": SECRET})
                assert answer.status == 200

    async def erase() -> None:
        async with running_hub(*CHAT, folder=home.folder) as hub:
            await hub.hub.database.write(lambda session: hub.hub.vault.destroy(session, "user_ann"))

    async def titles(folder: Path) -> list[str]:
        async with running_hub(*CHAT, folder=folder) as hub:
            found = []
            for subject in ("user_ann", "user_bob"):
                items = (await hub.client("chat:read", subject=subject).request("GET", "/api/sessions")).json()["items"]
                found += [item["title"] for item in items]
            return found

    if os.environ.get("LUMINAI_TEST_POSTGRES"):
        pytest.skip("this test is about SQLite's folder")
    asyncio.run(fill())
    archive = tmp_path / "old.luminai-backup"
    home.data("backup", "create", "--to", str(archive))
    asyncio.run(erase())
    fresh = Home(tmp_path / "fresh")
    keys = fresh.folder / "data" / "keys"
    shutil.copytree(home.folder / "data" / "keys", keys)
    assert fresh.data("backup", "restore", str(archive))["destroyed"] == 1
    assert asyncio.run(titles(fresh.folder)) == ["", SECRET]


@pytest.mark.postgres
def test_postgres__backed_up_and_restored_into_an_empty_database__is_the_same(tmp_path: Path, own_postgres_url: str, empty_postgres_url: str) -> None:
    home = Home(tmp_path / "home")

    async def fill() -> None:
        async with running_hub(*CHAT, folder=home.folder, database_url=own_postgres_url) as hub:
            for number in range(3):
                client = hub.client("chat:write", subject=f"user_{number}")
                assert (await client.request("POST", "/api/chat", json={"message": SECRET + " tab\t\\ line\n"})).status == 200

    async def titles() -> list[str]:
        async with running_hub(*CHAT, folder=home.folder, database_url=empty_postgres_url) as hub:
            client = hub.client("chat:read", subject="user_1")
            return [item["title"] for item in (await client.request("GET", "/api/sessions")).json()["items"]]

    asyncio.run(fill())
    home.env["DATABASE_URL"] = own_postgres_url
    archive = str(tmp_path / "pg.luminai-backup")
    made = home.data("backup", "create", "--to", archive)
    told = home.data("backup", "verify", archive)
    assert (told["engine"], told["differences"], told["rows"]) == ("postgresql", [], made["rows"])
    assert home.refusal("backup", "restore", archive) == (5, "not-empty")
    home.env["DATABASE_URL"] = empty_postgres_url
    done = home.data("backup", "restore", archive)
    assert (done["rows"], done["tables"]) == (made["rows"], made["tables"])
    assert home.data("vault", "verify")["broken"] == []
    assert asyncio.run(titles()) == [SECRET + " tab \\ line"]
    assert home.refusal("backup", "restore", archive) == (5, "not-empty")


def test_create__without_room__is_refused_and_leaves_nothing(made: tuple[Home, Path, Path], small_disk: Path) -> None:
    target = small_disk / "backups" / "x.luminai-backup"
    target.parent.mkdir()
    ballast = fill(small_disk)
    assert made[0].refusal("backup", "create", "--to", str(target)) == (1, "no-room")
    assert list(target.parent.iterdir()) == []
    assert [path.name for path in (made[0].folder / "data").iterdir() if path.name.startswith(".")] == []
    ballast.unlink()


def test_health__no_backup_or_an_old_one__is_a_warning(tmp_path: Path) -> None:
    class Later(SystemClock):
        hours = 0.0

        def now(self) -> Any:
            return super().now() + timedelta(hours=self.hours)

        def monotonic(self) -> float:
            return super().monotonic() + self.hours * 3600

    clock = Later()

    async def main() -> list[str]:
        seen = []
        async with running_hub("personas", folder=tmp_path, settings={"backup": {"folder": "kept"}}, clock=clock) as hub:

            async def look() -> None:
                items = (await hub.client("*").request("GET", "/api/admin/repairs")).json()["items"]
                seen.append(next((item["cause"] for item in items if "backup" in item["id"]), ""))

            await look()
            (tmp_path / "kept").mkdir()
            (tmp_path / "kept" / "hub-20260101T000000Z.luminai-backup").touch()
            for hours in (1.0, 25.0, 27.0):
                clock.hours = hours
                await look()
        return seen

    none, fresh, day, old = asyncio.run(main())
    assert none.startswith("There is no backup")
    assert (fresh, day) == ("", "")
    assert "27 hours old" in old


def test_create__without_a_place_or_data__says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.refusal("backup", "create", "--to", "x") == (5, "master-key-missing")
    KeyRing(home.folder / "data" / "keys" / "master.key").make()
    assert home.refusal("backup", "create") == (7, "no-backup-folder")
    assert home.refusal("backup", "create", "--to", str(tmp_path / "x.luminai-backup")) == (3, "nothing-to-back-up")
    (tmp_path / "other").write_text("not one")
    assert home.refusal("backup", "verify", str(tmp_path / "other")) == (7, "not-a-backup")
