"""What a database driver says of an error quotes no value, wherever it is told: logs, problems, reports."""

from __future__ import annotations

import asyncio
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from luminai.data.database import open_database
from luminai.telemetry.clock import SystemClock
from luminai.telemetry.logs import JSONFormatter

VALUE = "canary-value-5d1e77"
TABLE = "core__e"
MAKE = {
    "sqlite": [f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, email TEXT UNIQUE NOT NULL, n INTEGER, CHECK (email <> 'none')) STRICT"],
    "postgresql": [
        f"DROP TABLE IF EXISTS {TABLE}",
        f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, email VARCHAR(60) UNIQUE NOT NULL, n INTEGER, CONSTRAINT named CHECK (email <> 'none'))",
    ],
}
INSERT = f"INSERT INTO {TABLE} (id, email, n) VALUES (:id, :email, :n)"
BOTH: list[tuple[str, dict[str, Any], str]] = [
    (INSERT, {"id": 2, "email": VALUE, "n": 1}, "email"),  # unique
    (INSERT, {"id": 3, "email": None, "n": 1}, "email"),  # not null: the failing row is told
    (f"SELECT * FROM {TABLE}_{{0}}", {}, f"{TABLE}_"),  # no such table: its name stays
]
ONLY: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "sqlite": [
        (INSERT, {"id": 3, "email": "none", "n": 1}, "CHECK"),
        (INSERT, {"id": 3, "email": "a", "n": VALUE}, "core__e.n"),
        ("SELECT * FROM search WHERE search MATCH :q", {"q": f'"{VALUE}'}, "SQLITE_ERROR"),
        ("SELECT * FROM search WHERE search MATCH :q", {"q": f"canary_value_5d1e77:{VALUE}"}, "SQLITE_ERROR"),
        ("SELECT json_extract(:q, '$.a')", {"q": f"{{{VALUE}"}, "SQLITE_ERROR"),
    ],
    "postgresql": [
        (INSERT, {"id": 3, "email": "none", "n": 1}, "named"),
        (f"INSERT INTO {TABLE} (id, email) VALUES (3, :email)", {"email": VALUE * 9}, "22001"),
        ("SELECT CAST(CAST(:q AS text) AS integer)", {"q": VALUE}, "22P02"),
        ("SELECT CAST(CAST(:q AS text) AS timestamptz)", {"q": VALUE}, "22007"),
        ("SELECT CAST(CAST(:q AS text) AS jsonb)", {"q": f"{{{VALUE}"}, "22P02"),
        (INSERT, {"id": VALUE, "email": "a", "n": 1}, "DataError"),  # refused by the driver itself
        ("DO $$ BEGIN RAISE EXCEPTION 'no %', '" + VALUE + "' USING HINT = '" + VALUE + "'; END $$", {}, "P0001"),
    ],
}


def test_error__of_a_statement_with_values__quotes_none_of_them(database_url: str, tmp_path: Path) -> None:
    async def main() -> list[tuple[str, str]]:
        database = await open_database(database_url, data_dir=tmp_path, clock=SystemClock())
        found = []
        try:
            made = MAKE[database.dialect] + (["CREATE VIRTUAL TABLE search USING fts5(body)"] if database.dialect == "sqlite" else [])
            for statement in made:
                await database.write(lambda session, one=statement: session.execute(text(one)) and None)
            await database.write(lambda session: session.execute(text(INSERT), {"id": 1, "email": VALUE, "n": 1}) and None)
            for statement, values, stays in [*BOTH, *ONLY[database.dialect]]:
                with pytest.raises(StatementError) as refused:
                    await database.write(lambda session, one=statement, given=values: session.execute(text(one), given).all() and None)
                found.append((stays, _told(refused.value, is_written_out=VALUE in statement)))
            await database.write(lambda session: session.execute(text(f"DROP TABLE {TABLE}")) and None)
        finally:
            await database.close()
        return found

    for stays, told in asyncio.run(main()):
        assert "canary" not in told, told
        assert stays in told


def _told(error: StatementError, *, is_written_out: bool) -> str:
    """Return all that can be told of an error and of those that it came of; but for the statement itself, where it was written with a value in it."""
    said, here = "", error
    waiting: BaseException | None = error
    while waiting is not None:
        said += f"{waiting!r} {waiting} {vars(waiting) if waiting is not error else ''}"
        waiting = waiting.__cause__
    record = logging.makeLogRecord({"exc_info": (type(here), here, here.__traceback__), "msg": "request.failed"})
    logged = JSONFormatter(hides_words=False).format(record)
    if is_written_out:
        return f"{error.orig!r} {vars(error.orig)} {error.orig.__cause__!r} {vars(error.orig.__cause__)}"
    return said + logged + "".join(traceback.format_exception(here))
