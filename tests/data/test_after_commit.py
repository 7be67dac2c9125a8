"""What a unit wants said: after its commit, never after a rollback, and as doubtful where nobody knows."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from luminai.data.after_commit import after_commit
from luminai.data.database import HubDatabase, open_database
from luminai.testing import FrozenClock


def on_database(url: str, folder: Path, work: Any) -> list[tuple[str, bool]]:
    """Return what was said while ``work(database, say)`` ran."""
    said: list[tuple[str, bool]] = []

    def say(session: Session, word: str) -> None:
        after_commit(session, lambda is_sure: said.append((word, is_sure)))

    async def main() -> None:
        database = await open_database(url, data_dir=folder, clock=FrozenClock())
        database.committed = lambda _: None
        try:
            await work(database, say)
        finally:
            await database.close()

    asyncio.run(main())
    return said


def test_unit__says_its_words_in_order__but_none_of_a_part_that_is_rolled_back(database_url: str, tmp_path: Path) -> None:
    async def work(database: HubDatabase, say: Any) -> None:
        def unit(session: Session) -> None:
            say(session, "first")
            session.execute(text("SELECT 1"))
            outer = session.begin_nested()
            say(session, "outer")
            with session.begin_nested():
                say(session, "inner")
            outer.rollback()
            with session.begin_nested():
                say(session, "kept")
            say(session, "last")

        await database.write(unit)

    assert on_database(database_url, tmp_path, work) == [("first", True), ("kept", True), ("last", True)]


def test_word__that_is_asked_for_twice__is_said_once(database_url: str, tmp_path: Path) -> None:
    said = []

    async def work(database: HubDatabase, _: Any) -> None:
        def unit(session: Session) -> None:
            for _ in range(2):
                after_commit(session, said.append)

        await database.write(unit)

    on_database(database_url, tmp_path, work)
    assert said == [True]


def test_unit__that_raises__says_nothing(database_url: str, tmp_path: Path) -> None:
    async def work(database: HubDatabase, say: Any) -> None:
        def unit(session: Session) -> None:
            say(session, "never")
            raise ValueError("changed my mind")

        with pytest.raises(ValueError, match="changed my mind"):
            await database.write(unit)

    assert on_database(database_url, tmp_path, work) == []


def test_unit__whose_caller_goes_away__says_its_words_as_doubtful(tmp_path: Path) -> None:
    async def work(database: HubDatabase, say: Any) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def unit(session: Session) -> None:
            say(session, "perhaps")
            begun.set()
            go_on.wait(30)

        task = asyncio.create_task(database.write(unit))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert on_database("", tmp_path, work) == [("perhaps", False)]
