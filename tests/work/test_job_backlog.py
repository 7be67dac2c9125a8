"""A long queue on PostgreSQL: what stands at its head is found by an index, and as many pages are read for it as before an empty table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from luminai.data.tables_jobs import jobs
from luminai.testing import HubUnderTest, running_hub

PLUGIN = """
    from luminai import Action, hookimpl
    from msgspec import Struct

    class Given(Struct):
        pass

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                return given
            kinds = dict(scope="work:run", input=Given, output=Given, run=run)
            return [Action(name="run", summary="Nothing.", **kinds), Action(name="held", summary="The same, which waits.", **kinds)]
"""
BACKLOG = 20_000
DONE = 2_000
OTHERS = ", ".join(f'"{column.name}"' for column in jobs.c if column.name != "id")
COPIES = f"""
INSERT INTO core__jobs (id, {OTHERS})
SELECT 'job_f' || CAST(1000000000 + n + CAST(:first AS INTEGER) AS VARCHAR), {OTHERS}
FROM core__jobs, generate_series(1, CAST(:count AS INTEGER)) AS n WHERE id = :held
"""
SETTLED = "UPDATE core__jobs SET state = 'succeeded', action = 'run', settled_at = created_at WHERE id LIKE 'job_f%'"
DEEPER = 2
"""Pages that an index of a long table is deeper by, with those of the rows that were there before."""


@contextmanager
def heads() -> Iterator[dict[str, Any]]:
    """Collect the statements that ask for what is queued, with the parameters of their last run."""
    found: dict[str, Any] = {}

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> None:
        if (
            statement.lstrip().startswith(("SELECT", "WITH RECURSIVE"))
            and "core__jobs.state = 'queued'" in statement
            and "core__jobs.id = ANY" not in statement
        ):
            found[statement] = parameters

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def pages(hub: HubUnderTest, statements: dict[str, Any]) -> dict[str, tuple[int, list[str]]]:
    """Return how many pages each statement reads, and the tables that it reads from end to end."""

    def unit(session: Any) -> dict[str, tuple[int, list[str]]]:
        found = {}
        for statement, parameters in statements.items():
            answer = session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar()
            plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
            found[statement] = (plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], list(_scanned(plan)))
        return found

    return await hub.hub.database.write(unit)


def _scanned(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from _scanned(part)


async def run_some(hub: HubUnderTest) -> dict[str, Any]:
    """Run jobs, one that waits behind a pause among the queues; return what was asked for."""
    with heads() as found:
        for _ in range(3):
            assert (await hub.client("work:run").request("POST", "/api/actions/work.run", json={})).status == 202
            await hub.hub.jobs.settle()
    return found


@pytest.mark.postgres
def test_head_of_a_long_queue__is_read_by_the_index_and_with_as_few_pages(plugins: Any, own_postgres_url: str) -> None:
    installed = [plugins.make("work", PLUGIN, provides='["actions"]', manifest='scopes = { "work:run" = "Work." }')]

    async def main() -> None:
        async with running_hub("work", installed=installed, database_url=own_postgres_url) as hub:
            operator = hub.client("hub:jobs", "work:run", subject="operator")
            assert (await operator.request("POST", "/api/admin/job-pauses", json={"target": "work.held"})).status < 300
            held = (await operator.request("POST", "/api/actions/work.held?priority=0", json={})).json()["id"]
            few = await pages(hub, await run_some(hub))

            def fill(session: Any) -> None:
                session.execute(text(COPIES), {"first": 0, "count": DONE, "held": held})
                session.execute(text(SETTLED))  # what is settled lies at the beginning of the table, and before the queue in other indexes
                session.execute(text(COPIES), {"first": DONE, "count": BACKLOG, "held": held})

            await hub.hub.database.write(fill, timeout=60)
            tidy = text("VACUUM ANALYZE core__jobs")
            await hub.hub.database.migrate(lambda one: one.execution_options(isolation_level="AUTOCOMMIT").execute(tidy))
            many = await pages(hub, await run_some(hub))
        assert many.keys() == few.keys()
        assert len(many) == 3  # what is there, the walk over the queues, and the head of one
        for statement, (count, scanned) in many.items():
            descents = 5 if statement.lstrip().startswith("WITH") else 2  # plugin, held, run, no other action, no other plugin
            assert count <= few[statement][0] + DEEPER * descents, f"{count} pages instead of {few[statement][0]}: {statement}"
            assert not scanned, f"{scanned}: {statement}"

    asyncio.run(main())
