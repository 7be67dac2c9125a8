"""A key makes an unsafe request take effect once: for repeats, for many at once, over processes, and whoever dies in between."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from home import LUMINAI, serving
from sqlalchemy import func, select

from luminai.data.tables import api_keys
from luminai.testing import HubUnderTest, running_hub

NOTES = """
    from typing import Annotated
    from litestar import get, post
    from litestar.params import JSONBody
    from msgspec import Meta, Struct
    from sqlalchemy import Column, String, Table, func, insert, select
    from luminai import hookimpl, metadata_for, policy
    from luminai import Conflict

    metadata = metadata_for("notes")
    notes = Table("notes__notes", metadata, Column("id", String(40), primary_key=True), Column("text", String(200)))

    class Note(Struct, forbid_unknown_fields=True):
        text: Annotated[str, Meta(max_length=200)]

    class Plugin:
        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def routes(self, ctx):
            @post("/api/notes", opt=policy("notes:write"))
            async def write(data: JSONBody[Note]) -> dict[str, str]:
                note_id = ctx.new_id("note")
                await ctx.db.write(lambda session: session.execute(insert(notes).values(id=note_id, text=data.text)) and None)
                if data.text == "late":
                    raise Conflict("Too late.", code="too-late")
                return {"id": note_id}

            @post("/api/notes/refused", opt=policy("notes:write"))
            async def refused(data: JSONBody[Note]) -> None:
                raise Conflict("No.", code="no")

            @get("/api/notes/count", opt=policy("notes:write"))
            async def count() -> int:
                return await ctx.db.read(lambda session: session.execute(select(func.count()).select_from(notes)).scalar())

            return [write, refused, count]
"""
STEP = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("notes__notes", sa.Column("id", sa.String(40), primary_key=True), sa.Column("text", sa.String(200)))
"""
MANIFEST = 'tables = true\nscopes = { "notes:write" = "Write." }'


def hub_with_notes(plugins: Any, **more: Any) -> Any:
    plugin = plugins.make("notes", NOTES, provides='["routes", "models"]', manifest=MANIFEST, files={"migrations/versions/0001_init.py": STEP})
    return running_hub("notes", installed=[plugin], **more)


async def write(hub: HubUnderTest, text: str, key: str, *, who: str = "anna", path: str = "/api/notes") -> Any:
    return await hub.client("notes:write", subject=who).request("POST", path, json={"text": text}, headers={"Idempotency-Key": key})


async def count(hub: HubUnderTest) -> Any:
    return (await hub.client("notes:write").request("GET", "/api/notes/count")).json()


def test_repeat__is_answered_the_same_and_takes_effect_once(plugins: Any) -> None:
    async def main() -> None:
        async with hub_with_notes(plugins) as hub:
            first, second = await write(hub, "hello", "a"), await write(hub, "hello", "a")
            assert (first.status, first.json()) == (second.status, second.json())
            assert "idempotency-replayed" not in first.headers
            assert second.headers["idempotency-replayed"] == "true"
            assert second.headers["content-type"] == first.headers["content-type"]
            mismatch = await write(hub, "other", "a")
            assert (mismatch.status, mismatch.json()["code"]) == (422, "idempotency-mismatch")
            assert (await write(hub, "hello", "a", who="bert")).json() != first.json(), "a key is its caller's own"
            assert (await write(hub, "hello", "b")).json() != first.json()
            assert await count(hub) == 3
            for bad in ("", "a" * 256, "\x7f"):
                answer = await write(hub, "hello", bad)
                assert (answer.status, answer.json()["code"]) == (400, "bad-idempotency-key")

    asyncio.run(main())


def test_hundred_at_once__have_one_effect(plugins: Any) -> None:
    async def main() -> None:
        async with hub_with_notes(plugins) as hub:
            answers = await asyncio.gather(*(write(hub, "hello", "a") for _ in range(100)))
            made = [answer.json()["id"] for answer in answers if answer.status == 201]
            assert len(set(made)) == 1
            assert {answer.json()["code"] for answer in answers if answer.status != 201} <= {"idempotency-in-flight"}
            assert await count(hub) == 1

    asyncio.run(main())


def test_failure_after_the_effect__is_kept_and_before_it__is_not(plugins: Any) -> None:
    async def main() -> None:
        async with hub_with_notes(plugins) as hub:
            first, second = await write(hub, "late", "a"), await write(hub, "late", "a")
            assert (first.json()["code"], second.json()["code"]) == ("too-late", "too-late")
            assert second.headers["idempotency-replayed"] == "true"
            assert await count(hub) == 1
            await write(hub, "x", "b", path="/api/notes/refused")
            assert "idempotency-replayed" not in (await write(hub, "x", "b", path="/api/notes/refused")).headers

    asyncio.run(main())


def test_secret_in_an_answer__is_replayed_from_where_nobody_can_read_it(tmp_path: Path) -> None:
    async def main() -> str:
        async with running_hub(folder=tmp_path) as hub:
            asked = {"json": {"name": "ci", "scopes": ["hub:keys"]}, "headers": {"Idempotency-Key": "k"}}
            first, second = [await hub.client("*").request("POST", "/api/keys", **asked) for _ in range(2)]
            assert first.json() == second.json()
            number = await hub.hub.database.read(lambda session: session.execute(select(func.count()).select_from(api_keys)).scalar())
            assert number == 1
            return str(first.json()["key"])

    key = asyncio.run(main())
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert key.rpartition("_")[2].encode() not in kept


@pytest.mark.postgres
def test_two_processes__have_one_effect(plugins: Any, own_postgres_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            hub_with_notes(plugins, database_url=own_postgres_url, folder=tmp_path) as one,
            hub_with_notes(plugins, database_url=own_postgres_url, folder=tmp_path) as two,
        ):
            answers = await asyncio.gather(*(write(hub, "hello", "a") for _ in range(20) for hub in (one, two)))
            assert len({answer.json()["id"] for answer in answers if answer.status == 201}) == 1
            assert await count(one) == 1

    asyncio.run(main())


class Victim:
    """A served hub that is killed and started again on the same folder and port."""

    def __init__(self, folder: Path) -> None:
        with serving(folder, LUMINAI_LIMITS__ENABLED="false") as self.home:
            self.credential = self.home.data("keys", "create", "--name", "op", "--scope", "*")["key"]
            self.url = self.home.env["LUMINAI_URL"]
        self.start()

    def start(self) -> None:
        command = [LUMINAI, "serve", "--port", self.url.rpartition(":")[2]]
        self.process = subprocess.Popen(command, cwd=self.home.folder, env=self.home.env, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        assert any("Press Ctrl-C" in line for line in self.process.stderr)
        self.drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.drain.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.drain.join()
        assert self.process.stderr
        self.process.stderr.close()

    def ask(self, number: int) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.credential}", "Idempotency-Key": f"op-{number}"}
        return httpx.post(f"{self.url}/api/keys", json={"name": f"op-{number}", "scopes": ["hub:keys"]}, headers=headers, timeout=20)

    def names(self) -> list[str]:
        database = sqlite3.connect(self.home.folder / "data" / "hub.sqlite3")
        with contextlib.closing(database):
            return [name for (name,) in database.execute("SELECT name FROM core__api_keys WHERE name LIKE 'op-%' ORDER BY name")]


def kill_at_random(folder: Path, operations: int, kills: int) -> None:
    """Make API keys, each repeated under its Idempotency-Key until it is answered, while the hub is killed at random moments."""
    chance = random.Random(7)
    victim = Victim(folder)
    try:
        for number in range(operations):
            killer = threading.Timer(chance.random() * 0.03, victim.process.kill)
            if chance.random() * operations < kills:
                killer.start()
            while True:
                try:
                    answer = victim.ask(number)
                except httpx.TransportError:
                    victim.kill()
                    victim.start()
                    continue
                break
            killer.cancel()
            assert answer.status_code == 201 or answer.json()["code"] == "idempotency-answer-lost", answer.text
    finally:
        victim.kill()
    assert victim.names() == sorted(f"op-{number}" for number in range(operations))


def test_killed_hub__does_everything_once(tmp_path: Path) -> None:
    kill_at_random(tmp_path / "home", operations=12, kills=6)


@pytest.mark.crash
def test_hub_killed_200_times__does_everything_once(tmp_path: Path) -> None:
    kill_at_random(tmp_path / "home", operations=300, kills=200)
