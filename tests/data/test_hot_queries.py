"""What people and jobs ask for all day is found by an index: no statement of it reads a table that grows from end to end."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from luminai.testing import running_hub

PLUGINS = ("personas", "resonance", "knowledge", "ai-offline", "chat", "ledger", "credits", "ai-gateway", "ai-faces")
FEW = frozenset({"core__master_keys", "core__job_pauses", "credits__products"})
"""Tables of a few rows."""
WHOLE = frozenset({"knowledge__documents", "knowledge__passages", "knowledge__vocabulary"})
"""The documentation, which is counted as a whole when the plugin starts, and the virtual table of its words."""
READS = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
SCAN = re.compile(r"SCAN (\w+__\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


@contextmanager
def statements() -> Iterator[dict[str, Any]]:
    """Collect each statement that is run, with the parameters of its first run."""
    found: dict[str, Any] = {}

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if READS.match(statement):
            found.setdefault(statement, parameters[0] if many else parameters)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def day(folder: Path) -> dict[str, Any]:
    """Return the statements of questions, lists, calls of models and jobs."""
    async with running_hub(*PLUGINS, folder=folder, config={"credits": {"products": ["lumiku"]}}) as hub:
        mine = hub.client("*", subject="user_a")
        with statements() as found:
            session = (await mine.request("POST", "/api/chat", json={"message": "What is a generation?"})).json()["session_id"]
            model = {"model": "offline/quote", "messages": [{"role": "user", "content": "hello"}]}
            for method, path, body in (
                ("POST", "/api/chat", {"message": "And its apps?", "session_id": session}),
                ("POST", "/v1/chat/completions", model),
                ("GET", "/api/sessions", None),
                ("GET", f"/api/session/{session}?limit=3", None),
                ("GET", "/api/ai/calls", None),
                ("GET", "/api/credits/balance", None),
                ("GET", "/api/jobs", None),
                ("GET", "/api/admin/jobs", None),
                ("GET", "/api/admin/audit", None),
            ):
                assert (await mine.request(method, path, json=body)).status == 200, path
            await hub.hub.jobs.settle()
        return found


@pytest.mark.shows("PX-58a")
def test_statements__of_a_day__read_no_growing_table_from_end_to_end(tmp_path: Path) -> None:
    found = asyncio.run(day(tmp_path))
    assert len(found) > 40
    with closing(sqlite3.connect(tmp_path / "data" / "hub.sqlite3")) as database:
        partial = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")}
        for statement, parameters in found.items():
            for *_, step in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                scan = SCAN.match(step)
                is_page = scan is not None and scan[2] and "WHERE" not in statement and "LIMIT" in statement  # walks the index, and stops
                assert scan is None or is_page or scan[1] in FEW | WHOLE or scan[2] in partial, f"{step}: {statement}"
