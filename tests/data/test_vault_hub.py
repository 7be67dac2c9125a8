"""The vault of a hub: its key file, what it refuses to start with, rotation while it serves."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from home import Home, serving

from luminai import HubError
from luminai.data.vault.ring import KeyRing, MasterKey
from luminai.testing import HubUnderTest, running_hub

CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat")
SECRET = "What is a generation, asked by Mirabelle?"


async def ask(hub: HubUnderTest, subject: str = "user_ann", **more: Any) -> Any:
    answer = await hub.client("chat:read", "chat:write", subject=subject).request("POST", "/api/chat", json={"message": SECRET, **more})
    assert answer.status == 200, answer.text
    return answer.json()


async def texts(hub: HubUnderTest, session_id: str, subject: str = "user_ann") -> list[str]:
    answer = await hub.client("chat:read", subject=subject).request("GET", f"/api/session/{session_id}")
    assert answer.status == 200, answer.text
    return [message["content"] for message in answer.json()["chat_history"]]


def start_code(folder: Path) -> str:
    """Start a hub in the folder and return the code that it is refused with, "" when it runs."""

    async def main() -> str:
        try:
            async with running_hub(*CHAT, folder=folder):
                return ""
        except HubError as error:
            return error.code

    return asyncio.run(main())


@pytest.mark.shows("LR-128", "LR-161", "LW-57", "TL-143", "TL-144")
def test_hub__first_start__makes_a_key_that_only_its_owner_reads__and_stores_no_text_plainly(tmp_path: Path) -> None:
    async def first() -> str:
        async with running_hub(*CHAT, folder=tmp_path) as hub:
            session: str = (await ask(hub))["session_id"]
            assert (await texts(hub, session))[0] == SECRET
            return session

    async def second(session: str) -> None:
        async with running_hub(*CHAT, folder=tmp_path) as hub:
            assert (await texts(hub, session))[0] == SECRET
            items = (await hub.client("chat:read", subject="user_ann").request("GET", "/api/sessions")).json()["items"]
            assert items[0]["title"] == SECRET

    session = asyncio.run(first())
    key = tmp_path / "data" / "keys" / "master.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert len(base64.urlsafe_b64decode(key.read_text().splitlines()[-1] + "=")) * 8 == 256
    hits = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file() and b"Mirabelle" in path.read_bytes()]
    assert hits == []
    asyncio.run(second(session))


def test_hub__key_exposed_missing_or_another__does_not_start(tmp_path: Path) -> None:
    async def first() -> None:
        async with running_hub(*CHAT, folder=tmp_path) as hub:
            await ask(hub)

    asyncio.run(first())
    key = tmp_path / "data" / "keys" / "master.key"
    kept = key.read_bytes()
    for mode in (0o640, 0o604, 0o620):
        key.chmod(mode)
        assert start_code(tmp_path) == "key-file-readable"
    key.unlink()
    assert start_code(tmp_path) == "master-key-missing"
    assert not key.exists(), "no new key is made over sealed data"
    KeyRing(key).make()
    assert start_code(tmp_path) == "master-key-wrong"
    key.write_text("not a key\n")
    assert start_code(tmp_path) == "master-key-malformed"
    key.write_bytes(kept)
    assert start_code(tmp_path) == ""


def test_hub__nothing_sealed_yet__takes_another_key(tmp_path: Path) -> None:
    """On SQLite, where no other process can have the old one."""
    assert start_code(tmp_path) == ""
    shutil.rmtree(tmp_path / "data" / "keys")
    if os.environ.get("LUMINAI_TEST_POSTGRES"):
        pytest.skip("several processes share PostgreSQL")
    assert start_code(tmp_path) == ""


def test_key__of_the_variable__makes_no_file_and_rotates_by_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = MasterKey(bytes(range(32))), MasterKey(bytes(range(1, 33)))

    async def main(value: str, session: str = "") -> str:
        monkeypatch.setenv("LUMINAI_MASTER_KEY", value)
        async with running_hub(*CHAT, folder=tmp_path) as hub:
            session = session or (await ask(hub))["session_id"]
            async with asyncio.timeout(10):
                while len(await settled(hub)) < len(value.split(",")):  # the hub moves to the first key by itself
                    pass
            assert (await texts(hub, session))[0] == SECRET
            assert not (tmp_path / "data" / "keys" / "master.key").exists()
            return session

    async def settled(hub: HubUnderTest) -> list[str]:
        from luminai.data.vault.hub_vault import masters

        known = await hub.hub.database.read(masters)
        return [one for one, state in known.states.items() if state != "retiring"]

    session = asyncio.run(main(old.line))
    monkeypatch.setenv("LUMINAI_MASTER_KEY", new.line)
    assert start_code(tmp_path) == "master-key-wrong"
    asyncio.run(main(f"{new.line},{old.line}", session))
    asyncio.run(main(new.line, session))
    monkeypatch.setenv("LUMINAI_MASTER_KEY", old.line)
    assert start_code(tmp_path) in ("master-key-missing", "master-key-wrong")


@pytest.mark.shows("LR-128")
def test_rotation__twice_under_load__fails_no_read_and_no_write(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_hub(*CHAT, folder=tmp_path) as hub:
            people = [f"user_{number}" for number in range(300)]
            vault, database = hub.hub.vault, hub.hub.database
            for person in people:
                await database.write(lambda s, who=person: vault.seal(s, subject=who, place="core__t.c:1", value=b"x"))  # type: ignore[misc]
            sessions = {person: (await ask(hub, person))["session_id"] for person in people[:5]}
            rotating = True
            count = 0

            async def use(person: str) -> None:
                nonlocal count
                while rotating:
                    assert (await texts(hub, sessions[person], person))[0] == SECRET
                    await ask(hub, person, session_id=sessions[person])
                    count += 1

            async def rotate() -> None:
                nonlocal rotating
                try:
                    for _ in range(2):
                        before = vault.ring.ids
                        vault.ring.add_next()
                        async with asyncio.timeout(30):
                            while len(vault.ring.ids) > 1:  # the hub sees the file and does the rest
                                await texts(hub, sessions[people[0]], people[0])
                        assert set(vault.ring.ids).isdisjoint(before)
                finally:
                    rotating = False

            await asyncio.gather(rotate(), *(use(person) for person in sessions))
            assert count >= len(sessions)
            assert vault.problem == ""

    asyncio.run(main())


def test_command__rotates_a_serving_hub__and_explains_one_that_does_not_start(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as home:
        assert home.data("chat", SECRET)["session_id"]
        before = home.data("vault", "status")
        assert [key["state"] for key in before["master_keys"]] == ["active"]
        assert before["data_keys"] >= 1
        done = home.data("vault", "rotate")
        assert done["active"] != before["master_keys"][0]["id"]
        assert done["keys"] == {"active": 1, "retiring": 0, "destroyed": 1}
        assert home.data("vault", "verify") == {"checked": before["data_keys"], "broken": [], "revived": []}
        assert home.data("chat", "And its apps?")["response"]
    key = home.folder / "data" / "keys" / "master.key"
    assert home.data("vault", "rotate")["keys"]["destroyed"] == 2, "also while no hub runs"
    key.rename(tmp_path / "master.key")
    assert home.refusal("serve", "--port", "0") == (5, "master-key-missing")
    told = home.run("vault", "status")
    assert told.returncode == 8
    assert '"code":"master-key-missing"' in told.stdout.replace(" ", "")
    assert home.run("vault", "verify").returncode == 8
    assert home.refusal("vault", "rotate") == (5, "master-key-missing")


def test_command__before_the_first_start__says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.data("vault", "status")["master_keys"] == []
    assert home.refusal("vault", "rotate") == (5, "no-master-key")
