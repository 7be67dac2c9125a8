"""What is begun when jobs keep coming; and an output whose key is destroyed while its job runs."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from sqlalchemy import text

from luminai.testing import FrozenClock, running_hub

PLUGIN = """
    import asyncio
    from luminai import Action, hookimpl
    from msgspec import Struct

    ORDER = []
    OPEN = asyncio.Event()

    class Given(Struct):
        word: str

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def note(job, given):
                ORDER.append(given.word)
                return given
            async def wait(job, given):
                ORDER.append(given.word)
                await OPEN.wait()
                return given
            kinds = dict(scope="work:run", input=Given, output=Given)
            return [Action(name="note", summary="Notes a word.", run=note, **kinds), Action(name="wait", summary="Waits.", run=wait, **kinds)]
"""


@pytest.fixture
def work(plugins: Any) -> Any:
    """Return the plugin."""
    return plugins.make("work", PLUGIN, provides='["actions"]', manifest='scopes = { "work:run" = "Work." }')


def test_moment_that_has_come__is_not_put_off_by_what_comes_then(work: Any) -> None:
    async def main() -> list[str]:
        clock = FrozenClock()
        async with running_hub("work", installed=[work], clock=clock) as hub:
            client = hub.client("work:run", subject="usr_a")
            path = "/api/actions/work.note"
            planned = await client.request("POST", f"{path}?run_at=2026-01-01T00:00:00.500Z", json={"word": "planned"})
            assert planned.json()["state"] == "scheduled"
            await hub.hub.jobs.settle()
            clock.advance(0.5)
            for number in range(3):
                await client.request("POST", path, json={"word": f"comes {number}"})
            await hub.hub.jobs.settle()
            return list(sys.modules["luminai_work.plugin"].ORDER)  # type: ignore[attr-defined]

    order = asyncio.run(main())
    assert order[0] == "planned", order
    assert len(order) == 4


def test_key_destroyed_while_a_job_runs__its_output_is_sealed_with_the_new_one(work: Any) -> None:
    async def main() -> None:
        async with running_hub("work", installed=[work]) as hub:
            part: Any = sys.modules["luminai_work.plugin"]
            client = hub.client("work:run", subject="usr_a")
            job = (await client.request("POST", "/api/actions/work.wait", json={"word": "mine"})).json()["id"]
            async with asyncio.timeout(20):
                while part.ORDER != ["mine"]:  # noqa: ASYNC110 - the plugin under test is to know nothing of its test
                    await asyncio.sleep(0.01)
            # in words of the database, as another process would: this one's memory still holds the key
            gone = "UPDATE core__subject_keys SET state = 'destroyed', wrapped = NULL, destroyed_at = created_at WHERE subject = 'usr_a'"
            await hub.hub.database.write(lambda session: session.execute(text(gone)))
            part.OPEN.set()
            await hub.hub.jobs.settle()
            shown = (await client.request("GET", f"/api/jobs/{job}")).json()
            assert (shown["state"], shown["output"]) == ("succeeded", {"word": "mine"})

    asyncio.run(main())
