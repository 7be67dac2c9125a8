# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``CacheStore`` must do. Tests subclass ``CacheContract`` as ``Test…`` and give it a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from luminai.contracts.cache import CacheStore

WAIT_SECONDS = 10.0


class CacheContract:
    """The conformance suite. Times in it are short, and waited for, because a store may have a clock of its own."""

    def store(self) -> AbstractAsyncContextManager[CacheStore]:
        """Return an empty store for the length of a block."""
        raise NotImplementedError

    async def later(self, seconds: float) -> None:
        """Let time pass in the store."""
        await asyncio.sleep(seconds)

    def run(self, test: Callable[[CacheStore], Awaitable[None]]) -> None:
        """Run a test on a store of its own."""

        async def main() -> None:
            async with self.store() as store:
                await test(store)

        asyncio.run(main())

    async def keep(self, store: CacheStore, key: str, value: bytes = b"v", **given: Any) -> bool:
        """Keep an entry under marks of now."""
        tags = given.pop("tags", ())
        marks = given.pop("marks", None) or await store.marks(tags)
        return await store.put(key, value, **{"seconds": 60.0, "slides": False, "cost": 0.5, "tags": tags, "marks": marks, **given})

    def test_entry__is_there_until_its_time_is_over(self) -> None:
        async def test(store: CacheStore) -> None:
            assert await store.get("p:a") is None
            assert await self.keep(store, "p:a", b"\x00\xff", seconds=0.3)
            found = await store.get("p:a")
            assert found is not None
            assert (found.value, found.cost) == (b"\x00\xff", 0.5)
            assert 0 < found.left <= 0.3
            await self.later(0.35)
            assert await store.get("p:a") is None

        self.run(test)

    def test_entry__that_slides__has_its_time_anew_with_each_use(self) -> None:
        async def test(store: CacheStore) -> None:
            await self.keep(store, "p:a", seconds=0.6, slides=True)
            for _ in range(3):
                await self.later(0.3)
                assert await store.get("p:a") is not None
            await self.later(0.7)
            assert await store.get("p:a") is None

        self.run(test)

    def test_put__over_an_entry__replaces_value_and_tags(self) -> None:
        async def test(store: CacheStore) -> None:
            await self.keep(store, "p:a", b"old", tags=("one",))
            await self.keep(store, "p:a", b"new", tags=("two",))
            await store.drop_tags(["one"])
            found = await store.get("p:a")
            assert found is not None
            assert found.value == b"new"
            await store.drop_tags(["two"])
            assert await store.get("p:a") is None

        self.run(test)

    def test_drop__forgets_one_and_leaves_the_others(self) -> None:
        async def test(store: CacheStore) -> None:
            for key in ("p:a", "p:b", "p:a:b"):
                await self.keep(store, key)
            await store.drop("p:a")
            await store.drop("p:none")
            assert [await store.get(key) is None for key in ("p:a", "p:b", "p:a:b")] == [True, False, False]

        self.run(test)

    def test_drop_tags__forgets_all_that_have_one_of_them(self) -> None:
        async def test(store: CacheStore) -> None:
            tags = {"p:a": ("red",), "p:b": ("red", "blue"), "p:c": ("blue",), "p:d": ("green",), "q:a": ("red",), "p:e": ()}
            for key, its in tags.items():
                await self.keep(store, key, tags=its)
            await store.drop_tags(["red", "none"])
            assert [key for key in tags if await store.get(key) is not None] == ["p:c", "p:d", "p:e"]
            assert await self.keep(store, "p:a", tags=("red",)), "the tag can be used again"
            assert await store.get("p:a") is not None

        self.run(test)

    def test_put__of_what_was_dropped_while_it_was_made__is_refused(self) -> None:
        async def test(store: CacheStore) -> None:
            marks = await store.marks(("red", "blue"))
            await store.drop_tags(["blue"])
            assert await self.keep(store, "p:a", tags=("red", "blue"), marks=marks) is False
            assert await store.get("p:a") is None
            token = await store.lock("p:b", 30)
            await store.drop("p:b")
            assert await self.keep(store, "p:b", token=token) is False
            assert await store.get("p:b") is None

        self.run(test)

    def test_lock__is_one_makers_until_it_gives_it_back_or_its_time_is_over(self) -> None:
        async def test(store: CacheStore) -> None:
            token = await store.lock("p:a", 30)
            assert token
            assert await store.lock("p:a", 30) == ""
            assert await store.lock("p:b", 30)
            await store.unlock("p:a", "another")
            assert await store.lock("p:a", 30) == ""
            assert await self.keep(store, "p:a", token=token)
            await store.unlock("p:a", token)
            assert await store.lock("p:a", 0.3)
            await self.later(0.35)
            assert await store.lock("p:a", 30)

        self.run(test)

    def test_odd_names__are_kept_apart(self) -> None:
        async def test(store: CacheStore) -> None:
            names = ["p:ä", "p:a b", "p:a\nb", "p:*", "p:[a]", 'p:"', "p:{x}", "p:%00", "p:a\0b", "p:" + "k" * 500]
            for name in names:
                await self.keep(store, name, name.encode(), tags=(name,))
            for name in names:
                found = await store.get(name)
                assert found is not None
                assert found.value == name.encode()
            await store.drop_tags([names[0]])
            assert [await store.get(name) is None for name in names] == [True] + [False] * (len(names) - 1)

        self.run(test)

    def test_many_at_once__one_gets_the_lock(self) -> None:
        async def test(store: CacheStore) -> None:
            tokens = await asyncio.gather(*(store.lock("p:a", 30) for _ in range(50)))
            assert sum(bool(token) for token in tokens) == 1

        self.run(test)
