"""A full disk: the write is refused with a name, what was saved stays, and the hub goes on when there is room again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from small_disk import fill
from sqlalchemy import text
from sqlalchemy.orm import Session

from luminai import Unavailable
from luminai.data.database import open_database
from luminai.telemetry.clock import SystemClock
from luminai.testing import postgres, running_hub

CHAT = ("storage-local", "knowledge", "ai-offline", "personas", "resonance", "chat")


def add(number: int, size: int) -> Any:
    def unit(session: Session) -> int:
        session.execute(text("INSERT INTO core__t VALUES (:n, :content)"), {"n": number, "content": "x" * size})
        return number

    return unit


def count(session: Session) -> int:
    found: int = session.execute(text("SELECT count(*) FROM core__t")).scalar_one()
    return found


def test_sqlite__disk_runs_full__acknowledged_rows_stay_and_writing_goes_on_when_there_is_room(small_disk: Path) -> None:
    async def main() -> None:
        database = await open_database("", data_dir=small_disk / "data", clock=SystemClock())
        await database.write(lambda session: session.execute(text("CREATE TABLE core__t (n INTEGER PRIMARY KEY, content TEXT)")) and None)
        await database.write(add(0, 10))
        ballast = fill(small_disk)
        saved = {0}
        answers = await asyncio.gather(*(database.write(add(number, 20_000)) for number in range(1, 60)), return_exceptions=True)
        saved |= {one for one in answers if isinstance(one, int)}
        refused = [one for one in answers if isinstance(one, Exception)]
        assert refused
        assert {one.code for one in refused if isinstance(one, Unavailable)} == {"storage-full"}
        assert len(saved) + len(refused) == 60
        assert await database.read(count) == len(saved)
        ballast.unlink()
        await database.write(add(1000, 20_000))
        await database.close()
        database = await open_database("", data_dir=small_disk / "data", clock=SystemClock())
        kept = await database.read(lambda session: set(session.execute(text("SELECT n FROM core__t")).scalars()))
        assert kept == saved | {1000}
        await database.close()

    asyncio.run(main())


@pytest.mark.skipif(bool(postgres.server()), reason="the database is not on this disk")
def test_hub__disk_runs_full__answers_with_a_code_and_recovers(small_disk: Path) -> None:
    async def main() -> None:
        async with running_hub(*CHAT, folder=small_disk) as hub:
            client = hub.client("*")
            assert (await client.request("POST", "/api/chat", json={"message": "What is a generation?"})).status == 200
            ballast = fill(small_disk)
            codes = set()
            for _ in range(40):
                answer = await client.request("POST", "/api/chat", json={"message": "What is a generation? " + "more " * 1500})
                if answer.status != 200:
                    codes.add((answer.status, answer.json()["code"]))
                    break
            assert codes == {(503, "storage-full")}
            assert (await client.request("GET", "/health/live")).status == 200
            assert (await client.request("GET", "/api/sessions")).status == 200
            ballast.unlink()
            assert (await client.request("POST", "/api/chat", json={"message": "What is a generation?"})).status == 200

    asyncio.run(main())
