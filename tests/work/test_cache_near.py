"""A level of the cache before Redis: near for a moment, and never what this process knows to be gone."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from work.test_cache import Item, Maker, cache_over, redis_store

from luminai import CacheStore
from luminai.data.cache_near import NearCache
from luminai.testing import CacheContract, FrozenClock


class TestNear(CacheContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    @asynccontextmanager
    async def store(self) -> AsyncIterator[CacheStore]:  # type: ignore[override]
        async with redis_store(self.url) as far:
            yield NearCache(far, time.monotonic, seconds=0.2, max_bytes=100_000)


@pytest.mark.shows("TL-140")
def test_two_levels__what_is_popular_stays_warm_near_and_what_another_drops_is_gone_in_time(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock, prefix = FrozenClock(), f"luminai:test:{secrets.token_hex(6)}:"
        async with redis_store(redis_url, prefix) as shared, redis_store(redis_url, prefix) as also_shared:
            far = Counting(shared)
            here = cache_over(NearCache(far, clock.monotonic, seconds=5, max_bytes=100_000), clock).shared
            there = cache_over(also_shared).shared
            maker = Maker()
            for _ in range(100):
                assert (await here.fetch("popular", maker, Item, ttl=60, tags=["t"])).word == "made 1"
            assert (maker.times, far.gets) == (1, 2), "once to see that it is not there, once to bring it near"
            await there.drop_tag("t")
            assert (await here.get("popular", Item)).word == "made 1"  # type: ignore[union-attr]
            clock.advance(5)
            assert await here.get("popular", Item) is None, "it hears of it within its seconds"
            await here.put("popular", Item("put"), ttl=60, tags=["t"])
            assert (await here.get("popular", Item)).word == "put"  # type: ignore[union-attr]
            await here.drop_tag("t")
            assert await here.get("popular", Item) is None, "what it drops itself is gone at once"

            monkeypatch.setattr("luminai.work.cache.random.random", lambda: 1 - 2**-53)  # the die that renews whatever is in use
            maker = Maker()

            async def dear() -> Item:
                await asyncio.sleep(0.02)
                return await maker()

            for number in (1, 2, 3):
                assert (await here.fetch("warm", dear, Item, ttl=0.5)).word == f"made {max(1, number - 1)}", "nobody waits for a new one"
                await asyncio.gather(*here._hub._making.values())
            assert maker.times == 3

    asyncio.run(main())


def test_near__holds_no_more_than_it_may_and_nothing_that_was_dropped_on_its_way(redis_url: str) -> None:
    async def main() -> None:
        async with redis_store(redis_url) as shared:
            far = Counting(shared)
            near = NearCache(far, time.monotonic, seconds=60, max_bytes=3000)
            given: dict[str, Any] = {"seconds": 60.0, "tags": (), "marks": (), "slides": False, "cost": 0.0}
            for number in range(20):
                await near.put(f"p:{number}", b"x" * 500, **given)
                assert await near.get(f"p:{number}") is not None
            assert near._size <= 3000
            far.gets = 0
            assert await near.get("p:19") is not None
            assert await near.get("p:0") is not None
            assert far.gets == 1, "the last ones are near"
            far.hold.clear()
            reading = asyncio.create_task(near.get("p:5"))
            await asyncio.sleep(0)
            await near.drop("p:5")
            far.hold.set()
            await reading
            assert await near.get("p:5") is None

    asyncio.run(main())


class Counting:
    """A store that counts how often it is read, and may be held up after reading."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self.gets = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def get(self, key: str) -> Any:
        self.gets += 1
        found = await self._store.get(key)
        await self.hold.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
