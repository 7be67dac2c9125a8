"""The cache: kept for as long as was said, for whom it was made, made once however many ask, gone everywhere when it is dropped."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Struct

from luminai import CacheClass, CacheStore, DeadlineExceeded
from luminai.data.cache_memory import OVERHEAD, MemoryCache
from luminai.data.cache_redis import RedisCache
from luminai.data.owners import Acting, acting
from luminai.telemetry.figures import Counted
from luminai.testing import CacheContract, FrozenClock, running_hub
from luminai.work.cache import CLASSES, HubCache, PluginCache


class TestMemory(CacheContract):
    clock = FrozenClock()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[CacheStore]:  # type: ignore[override]
        yield MemoryCache(self.clock.monotonic, max_bytes=1_000_000)

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)


@asynccontextmanager
async def redis_store(url: str, prefix: str = "") -> AsyncIterator[RedisCache]:
    """Return a store with a prefix of its own, emptied at the end."""
    store = RedisCache(url, prefix=prefix or f"luminai:test:{secrets.token_hex(6)}:")
    try:
        yield store
    finally:
        async for key in store._redis.scan_iter(f"{store._prefix}*", count=1000):
            await store._redis.delete(key)
        await store.close()


class TestRedis(CacheContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    @asynccontextmanager
    async def store(self) -> AsyncIterator[CacheStore]:  # type: ignore[override]
        async with redis_store(self.url) as store:
            yield store

    def test_listed_entries_of_a_subject__are_gone_and_not_only_out_of_reach(self) -> None:
        async def test(store: Any) -> None:
            await self.keep(store, "p:a", b"secret", tags=("subject:usr_a", "t"))
            await store.drop_tags(["subject:usr_a"])
            assert await store._redis.exists(store._entry("p:a")) == 0

        self.run(test)


class Item(Struct):
    word: str


class Maker:
    """Makes items, counts how often, and can be held up."""

    def __init__(self) -> None:
        self.times = 0
        self.open = asyncio.Event()
        self.begun = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Item:
        self.times += 1
        self.begun.set()
        await self.open.wait()
        return Item(f"made {self.times}")


def cache_over(store: CacheStore, clock: Any = None, plugin: str = "made", **classes: CacheClass) -> PluginCache:
    return PluginCache(HubCache(store, clock or FrozenClock(), classes, Counted("looks", "Looks.", ("plugin", "outcome"))), plugin, "1.0")


@pytest.fixture(params=["memory", "redis"])
def on_store(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what runs a test's coroutine on each store."""

    async def main(test: Callable[[CacheStore], Awaitable[None]]) -> None:
        if request.param == "memory":
            await test(MemoryCache(asyncio.get_running_loop().time, max_bytes=10_000_000))
        else:
            async with redis_store(url) as store:
                await test(store)

    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    return lambda test: asyncio.run(main(test))


def test_entries__are_for_whom_they_were_made(on_store: Any) -> None:
    async def test(store: CacheStore) -> None:
        cache = cache_over(store)
        for whose in (Acting("usr_a"), Acting("usr_b"), Acting("usr_a", "org_1"), Acting("")):
            acting.set(whose)
            assert await cache.get("k", Item) is None, whose
            await cache.put("k", Item(repr(whose)), ttl=60, tags=["t"])
        for whose in (Acting("usr_a"), Acting("usr_b"), Acting("usr_a", "org_1")):
            acting.set(whose)
            assert (await cache.get("k", Item)).word == repr(whose)  # type: ignore[union-attr]
        assert (await cache.shared.get("k", Item)).word == repr(Acting(""))  # type: ignore[union-attr]
        assert (await cache.as_subject("usr_b").get("k", Item)).word == repr(Acting("usr_b"))  # type: ignore[union-attr]
        assert await cache_over(store, plugin="other").shared.get("k", Item) is None
        await cache.drop_tag("t")
        acting.set(Acting("usr_b"))
        assert await cache.get("k", Item) is await cache.shared.get("k", Item) is None

    on_store(test)


def test_owners__cannot_be_confused_by_what_stands_in_their_names(on_store: Any) -> None:
    async def test(store: CacheStore) -> None:
        cache = cache_over(store)
        await cache.as_subject("a:1:b").put("k", Item("first"), ttl=60)
        for subject, key in (("a", "1:b:k"), ("a:1", "b:k"), ("a:1:b:", "k")):
            assert await cache.as_subject(subject).get(key, Item) is None

    on_store(test)


@pytest.mark.shows("LR-19")
def test_fetch__makes_once_for_all_who_ask_at_once(on_store: Any) -> None:
    async def test(store: CacheStore) -> None:
        cache, maker = cache_over(store), Maker()
        maker.open.clear()
        asking = [asyncio.create_task(cache.fetch("k", maker, Item, ttl=60)) for _ in range(50)]
        await maker.begun.wait()
        asking[0].cancel()  # who came first goes away; the others still get it
        maker.open.set()
        found = await asyncio.gather(*asking[1:])
        assert {one.word for one in found} == {"made 1"}
        assert (await cache.fetch("k", maker, Item, ttl=60)).word == "made 1"
        assert maker.times == 1

    on_store(test)


def test_processes__make_once_together_and_lose_together(redis_url: str) -> None:
    async def main() -> None:
        prefix = f"luminai:test:{secrets.token_hex(6)}:"
        async with redis_store(redis_url, prefix) as here, redis_store(redis_url, prefix) as there:
            one, other, maker = cache_over(here).shared, cache_over(there).shared, Maker()
            maker.open.clear()
            asking = [asyncio.create_task(cache.fetch("k", maker, Item, ttl=60, tags=["t"])) for cache in (one, other) for _ in range(5)]
            await maker.begun.wait()
            await asyncio.sleep(0.1)  # the other process is looking again by now
            maker.open.set()
            assert {found.word for found in await asyncio.gather(*asking)} == {"made 1"}
            assert maker.times == 1
            await other.drop_tag("t")
            assert await one.get("k", Item) is None
            await one.put("k", Item("put"), ttl=60)
            assert (await other.get("k", Item)).word == "put"  # type: ignore[union-attr]
            await other.drop("k")
            assert await one.get("k", Item) is None

    asyncio.run(main())


def test_what_was_dropped_while_it_was_made__is_not_kept(on_store: Any) -> None:
    async def test(store: CacheStore) -> None:
        cache, maker = cache_over(store).shared, Maker()
        for drop in (lambda: cache.drop("k"), lambda: cache.drop_tag("t"), lambda: cache.put("k", Item("newer"), ttl=60)):
            await cache.drop("k")
            maker.open.clear()
            maker.begun.clear()
            asking = asyncio.create_task(cache.fetch("k", maker, Item, ttl=60, tags=["t"]))
            await maker.begun.wait()
            await drop()
            maker.open.set()
            assert (await asking).word.startswith("made")
            left = await cache.get("k", Item)
            assert left is None or left.word == "newer"
        assert left is not None

    on_store(test)


def test_value_in_use__is_made_anew_before_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock, maker = FrozenClock(), Maker()
        store = MemoryCache(clock.monotonic, max_bytes=1_000_000)
        cache = cache_over(store, clock).shared
        raw = await cache.fetch("k", maker, Item, ttl=100)
        assert raw.word == "made 1"
        kept = next(iter(store._parts["made"].values()))
        kept.cost = 10.0  # as if it had taken ten seconds
        monkeypatch.setattr("luminai.work.cache.random.random", lambda: 0.0)
        clock.advance(95)
        assert (await cache.fetch("k", maker, Item, ttl=100)).word == "made 1"
        assert maker.times == 1, "the die fell so that it is too early"
        monkeypatch.setattr("luminai.work.cache.random.random", lambda: 0.9)
        assert (await cache.fetch("k", maker, Item, ttl=100)).word == "made 1", "nobody waits"
        await asyncio.gather(*cache._hub._making.values())
        assert (await cache.get("k", Item)).word == "made 2"  # type: ignore[union-attr]
        assert maker.times == 2

    asyncio.run(main())


def test_failure_to_make__reaches_all_who_asked_and_nothing_is_kept(on_store: Any) -> None:
    async def test(store: CacheStore) -> None:
        cache = cache_over(store).shared

        async def fails() -> Item:
            await asyncio.sleep(0)
            raise RuntimeError("no")

        async def hangs() -> Item:
            await asyncio.Event().wait()
            raise AssertionError

        found = await asyncio.gather(*(cache.fetch("k", fails, Item, ttl=60) for _ in range(3)), return_exceptions=True)
        assert [str(one) for one in found] == ["no"] * 3
        with pytest.raises(DeadlineExceeded):
            await cache.fetch("k", hangs, Item, ttl=60, timeout=0.05)
        assert (await cache.fetch("k", Maker(), Item, ttl=60)).word == "made 1", "the lock was given back"

    on_store(test)


@pytest.mark.shows("LR-14", "LR-15", "LR-133", "LR-134", "LR-135", "LR-136", "TL-135", "TL-136", "TL-138")
def test_classes__have_the_products_times_and_the_operator_has_the_last_word() -> None:
    async def main() -> None:
        clock = FrozenClock()
        cache = cache_over(MemoryCache(clock.monotonic, max_bytes=1_000_000), clock, list=CacheClass(seconds=10)).shared
        for name in CLASSES:
            await cache.put(name, Item(name), ttl=name)

        async def there() -> set[str]:
            return {name for name in CLASSES if name != "session-week" and await cache.get(name, Item) is not None}

        hour, day = {"session", "resonance", "narrative", "static", "ai-response"}, {"preferences"}
        ten_minutes = {"energy", "presets"}
        clock.advance(11)
        assert await there() == hour | day | ten_minutes | {"knowledge", "query"}
        clock.advance(500)
        assert await there() == hour | day | ten_minutes | {"knowledge"}
        clock.advance(100)
        assert await there() == hour | day | {"knowledge"}
        clock.advance(2900)
        assert await there() == hour | day | {"knowledge"}
        clock.advance(200)
        assert await there() == day | {"knowledge"}
        clock.advance(12 * 3600)
        assert await there() == day
        clock.advance(12 * 3600)
        assert await there() == set()
        await cache.put("session-week", Item("again"), ttl="session-week")
        for _ in range(3):
            clock.advance(6 * 86_400)
            assert await cache.get("session-week", Item) is not None
        with pytest.raises(LookupError, match="no cache class 'none'"):
            await cache.put("k", Item("x"), ttl="none")

    asyncio.run(main())


def test_bounds__hold(on_store: Any) -> None:
    async def test(store: CacheStore) -> None:
        cache = cache_over(store).shared
        wrong: list[Callable[[], Awaitable[Any]]] = [
            lambda: cache.put("", Item("x"), ttl=1),
            lambda: cache.put("k" * 201, Item("x"), ttl=1),
            lambda: cache.put("k", Item("x"), ttl=0),
            lambda: cache.put("k", Item("x"), ttl=8 * 86_400),
            lambda: cache.put("k", Item("x"), ttl=1, tags=["t"] * 9),
            lambda: cache.put("k", Item("x"), ttl=1, tags=[""]),
        ]
        for call in wrong:
            with pytest.raises(ValueError, match=r"."):
                await call()
        await cache.put("k", Item("x" * 1_100_000), ttl=60)
        assert await cache.get("k", Item) is None, "too large to keep"
        await cache.put("k", {"other": 1}, ttl=60)
        assert await cache.get("k", Item) is None, "of another shape"

    on_store(test)


def test_memory__is_bounded_and_a_plugin_cannot_push_out_the_others() -> None:
    async def main() -> None:
        store = MemoryCache(FrozenClock().monotonic, max_bytes=40 * (OVERHEAD + 1010))
        quiet, loud = cache_over(store, plugin="quiet").shared, cache_over(store, plugin="loud").shared
        for number in range(5):
            await quiet.put(f"k{number}", Item("x" * 900), ttl=60)
        for number in range(500):
            await loud.put(f"k{number}", Item("x" * 900), ttl=60)
        assert store.size <= 40 * (OVERHEAD + 1010)
        assert all([await quiet.get(f"k{number}", Item) is not None for number in range(5)])
        assert await loud.get("k499", Item) is not None
        assert await loud.get("k1", Item) is None

    asyncio.run(main())


def test_store_that_is_away__is_a_cache_that_has_nothing() -> None:
    async def main() -> None:
        clock, maker = FrozenClock(), Maker()
        store = RedisCache("redis://127.0.0.1:1/0", prefix="")
        cache = cache_over(store, clock).shared
        await cache.put("k", Item("x"), ttl=60)
        assert await cache.get("k", Item) is None
        assert (await cache.fetch("k", maker, Item, ttl=60)).word == "made 1"
        await cache.drop("k")
        await cache.drop_tag("t")
        assert cache._hub.looks.rows["made", "away"] == 1, "it is left alone for a moment"
        clock.advance(2)
        assert (await cache.fetch("k", maker, Item, ttl=60)).word == "made 2"
        await store.close()

    asyncio.run(main())


PLUGIN = """
    from litestar import get
    from litestar.params import FromPath
    from luminai import hookimpl, policy

    class Plugin:
        made = 0
        @hookimpl
        def routes(self, ctx):
            async def make():
                Plugin.made += 1
                return {"made": Plugin.made}
            @get("/api/kept/mine", opt=policy())
            async def mine() -> dict[str, int]:
                return await ctx.cache.fetch("mine", make, dict[str, int], ttl="session", tags=["all"])
            @get("/api/kept/all", opt=policy(anonymous=True))
            async def everybody() -> dict[str, int]:
                return await ctx.cache.shared.fetch("all", make, dict[str, int], ttl=3600)
            return [mine, everybody]
"""


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_plugin__keeps_for_each_person_until_they_are_erased(plugins: Any, store: str, request: pytest.FixtureRequest) -> None:
    made = plugins.make("kept", PLUGIN)
    url = request.getfixturevalue("redis_url") if store == "redis" else ""

    async def main() -> None:
        async with running_hub("kept", installed=[made], settings={"cache": {"redis-url": url}}, database_url="") as hub:
            assert hub.status("kept").running, hub.status("kept")
            suffix = secrets.token_hex(4)
            ada, bob, nobody = hub.client("x:y", subject=f"ada{suffix}"), hub.client("x:y", subject=f"bob{suffix}"), hub.client()

            async def ask(client: Any, path: str) -> int:
                return int((await client.request("GET", f"/api/kept/{path}")).json()["made"])

            first, other = await ask(ada, "mine"), await ask(bob, "mine")
            assert first != other
            assert await ask(ada, "mine") == first
            await hub.hub.cache.store.drop("kept:1.0:0::0::all")  # what an earlier run may have left in Redis
            assert await ask(nobody, "all") == await ask(ada, "all")
            await hub.hub.cache.forget(f"ada{suffix}")
            assert await ask(ada, "mine") > first
            assert await ask(bob, "mine") == other
            looks = (await hub.client("hub:monitor").request("GET", "/metrics")).text
            assert 'luminai_cache_lookups_total{outcome="hit",plugin="kept"}' in looks

    asyncio.run(main())
