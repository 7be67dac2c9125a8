"""Requests are worked on side by side: one that waits, for another service or for the database, holds up nobody."""

import asyncio
import sys
from typing import Any

import pytest

from luminai.testing import running_hub

MANY = 50
PLUGIN = f"""
    import asyncio
    import threading
    from litestar import get
    from luminai import hookimpl, policy

    ALL = asyncio.Barrier({MANY})
    GATE = threading.Event()
    READING = threading.Event()

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/waits/for-all", opt=policy())
            async def for_all() -> int:
                await ALL.wait()
                return 1
            @get("/api/waits/reading", opt=policy())
            async def reading() -> bool:
                def unit(session):
                    READING.set()
                    return GATE.wait(20)
                return await ctx.db.read(unit, timeout=30)
            return [for_all, reading]
"""


@pytest.mark.shows("PX-57d")
def test_requests__that_wait_for_one_another_or_for_the_database__hold_up_nobody(plugins: Any) -> None:
    made = plugins.make("waits", PLUGIN)

    async def main() -> None:
        async with running_hub("waits", installed=[made]) as hub, asyncio.timeout(20):
            client = hub.client("waits:use")
            answers = await asyncio.gather(*(client.request("GET", "/api/waits/for-all") for _ in range(MANY)))
            assert [one.status for one in answers] == [200] * MANY, "each waits until all of them are there"

            module: Any = sys.modules["luminai_waits.plugin"]
            slow = asyncio.create_task(client.request("GET", "/api/waits/reading"))
            while not module.READING.is_set():  # noqa: ASYNC110 - the thread that sets it knows no event loop
                await asyncio.sleep(0.005)
            assert (await client.request("GET", "/api/status")).status == 200
            assert not slow.done()
            module.GATE.set()
            assert (await slow).json() is True

    asyncio.run(main())
