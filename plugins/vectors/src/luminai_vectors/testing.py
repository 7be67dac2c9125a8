# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``VectorStore`` must do. A plugin's tests subclass ``StoreContract`` as ``Test…`` and give it a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luminai import Conflict, HealthState, HubError, InvalidInput
from luminai_vectors.contract import Hit, VectorItem, VectorStore

T = TypeVar("T")
DIMENSION = 24
_vector = st.lists(st.integers(-9, 9).map(float), min_size=4, max_size=4).filter(any)
BAD_VECTORS: tuple[Any, ...] = ([], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [[1.0], [2.0]], ["a"], [1.0] * 4_097, "text", None)


def sample(count: int, seed: int = 0, dimension: int = DIMENSION) -> Any:
    """Return ``count`` rows of length 1, the same for the same seed."""
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def named(rows: Any, prefix: str = "v") -> list[VectorItem]:
    """Return items ``v00000``, ``v00001`` … with the rows as vectors."""
    return [VectorItem(f"{prefix}{at:05d}", row) for at, row in enumerate(rows)]


def exact(rows: Any, asked: Any, k: int, prefix: str = "v") -> list[str]:
    """Return the ids of the ``k`` nearest rows."""
    return [f"{prefix}{at:05d}" for at in np.argsort(-(rows @ asked), kind="stable")[:k].tolist()]


class StoreContract:
    """The conformance suite."""

    def store(self, folder: Path) -> AbstractAsyncContextManager[VectorStore]:
        """Return an empty, started store for the length of a block; the same ``folder`` gives the same store again."""
        raise NotImplementedError

    def test_search__any_vector__gives_the_nearest_with_their_cosines(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                rows = sample(300)
                await store.upsert("usr_a", "notes", named(rows))
                for asked in sample(5, seed=1):
                    found = await store.search("usr_a", "notes", asked * 7, 10)
                    assert [hit.id for hit in found] == exact(rows, asked, 10)
                    expected = [float(rows[int(hit.id[1:])] @ asked) for hit in found]
                    assert [hit.score for hit in found] == pytest.approx(expected, abs=1e-5)
                assert len(await store.search("usr_a", "notes", rows[0], 200)) == 200
                assert (await store.health()).state == HealthState.OK

        asyncio.run(main())

    def test_owner__others_have_the_same_ids_and_nearer_vectors__never_shows(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                rows, asked = sample(40), sample(1, seed=3)[0]
                await store.upsert("usr_a", "notes", named(rows))
                near = asked + sample(900, seed=4) * 0.01
                await store.upsert("usr_b", "notes", named(near))
                await store.upsert("usr_a", "other", named(near[:50], "o"))
                assert [hit.id for hit in await store.search("usr_a", "notes", asked, 40)] == exact(rows, asked, 40)
                assert await store.search("usr_c", "notes", asked, 5) == []
                assert await store.delete("usr_c", "notes", ["v00000"]) == 0
                assert await store.held("usr_a", "other", ["v00000", "o00000"]) == {"o00000"}
                assert await store.delete("usr_a", "notes", ["v00001", "v00001", "none"]) == 1
                assert await store.held("usr_b", "notes", ["v00001"]) == {"v00001"}
                assert sorted(await store.owners("notes")) == ["usr_a", "usr_b"]

        asyncio.run(main())

    def test_upsert__same_id__replaces_and_delete_forgets(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                x, y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
                await store.upsert("usr_a", "c", [VectorItem("1", x), VectorItem("2", y), VectorItem("2", x)])
                assert await store.search("usr_a", "c", y, 5) == [Hit("1", 0.0), Hit("2", 0.0)]
                await store.upsert("usr_a", "c", [VectorItem("1", y)])
                assert await store.search("usr_a", "c", y, 1) == [Hit("1", 1.0)]
                assert await store.delete("usr_a", "c", ["1"]) == 1
                assert await store.search("usr_a", "c", y, 5) == [Hit("2", 0.0)]
                await store.upsert("usr_a", "c", [])
                assert await store.delete("usr_a", "c", []) == 0

        asyncio.run(main())

    def test_dimension__another_one__is_a_conflict_until_the_collection_is_dropped(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                await store.upsert("usr_a", "c", [VectorItem("1", [1.0, 0.0])])
                await store.upsert("usr_b", "c", [VectorItem("1", [1.0, 0.0, 0.0])])
                for call in (store.upsert("usr_a", "c", [VectorItem("2", [1.0])]), store.search("usr_a", "c", [1.0, 0.0, 0.0], 1)):
                    with pytest.raises(Conflict) as refused:
                        await call
                    assert refused.value.code == "vectors.dimension"
                assert await store.search("usr_a", "c", [0.0, 1.0], 1) == [Hit("1", 0.0)]
                await store.drop("c")
                assert await store.owners("c") == []
                assert await store.search("usr_b", "c", [1.0, 0.0, 0.0], 1) == []
                await store.upsert("usr_a", "c", [VectorItem("2", [1.0])])
                assert await store.search("usr_a", "c", [-1.0], 1) == [Hit("2", -1.0)]

        asyncio.run(main())

    def test_bad_vector__is_refused_and_keeps_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                for vector in BAD_VECTORS:
                    with pytest.raises(InvalidInput) as refused:
                        await store.upsert("usr_a", "c", [VectorItem("good", [1.0, 0.0]), VectorItem("bad", vector)])
                    assert refused.value.code == "vectors.bad-vector"
                    with pytest.raises(InvalidInput):
                        await store.search("usr_a", "c", vector, 1)
                assert await store.ids("usr_a", "c") == []

        asyncio.run(main())

    def test_bad_names_and_numbers__every_call__is_refused(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                good = [VectorItem("1", [1.0])]
                for owner, collection in (("", "c"), ("x" * 121, "c"), ("a\n", "c"), ("a", ""), ("a", "C"), ("a", "c\n"), ("a", "c" * 201)):
                    for call in (
                        store.upsert(owner, collection, good),
                        store.delete(owner, collection, ["1"]),
                        store.search(owner, collection, [1.0], 1),
                        store.ids(owner, collection),
                        store.held(owner, collection, ["1"]),
                    ):
                        with pytest.raises(InvalidInput):
                            await call
                for call in (
                    store.upsert("a", "c", [VectorItem("", [1.0])]),
                    store.upsert("a", "c", [VectorItem("x" * 201, [1.0])]),
                    store.upsert("a", "c", [VectorItem(f"{at}", [1.0]) for at in range(1_001)]),
                    store.held("a", "c", ["x"] * 1_001),
                    store.search("a", "c", [1.0], 0),
                    store.search("a", "c", [1.0], 201),
                    store.drop("C"),
                ):
                    with pytest.raises(InvalidInput):
                        await call

        asyncio.run(main())

    def test_ids__paged__are_all_of_them_once(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                wanted = {"a", "B", "é", "a b", "z/1", "10", "9"}
                await store.upsert("usr_a", "c", [VectorItem(one, [1.0]) for one in wanted])
                found: list[str] = []
                while page := await store.ids("usr_a", "c", after=found[-1] if found else "", limit=3):
                    found += page
                assert len(found) == len(wanted)
                assert set(found) == wanted

        asyncio.run(main())

    def test_export_and_erase__one_owner__has_all_and_leaves_none(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                rows = sample(450)
                await store.upsert("usr_a", "c", named(rows))
                await store.upsert("usr_a", "d", [VectorItem("x", [0.0, 2.0])])
                await store.upsert("usr_b", "c", named(rows[:5]))
                found = {(one.collection, one.id): one.vector async for one in store.export("usr_a")}
                assert len(found) == 451
                assert np.frombuffer(found["c", "v00007"], "<f4") == pytest.approx(rows[7], abs=1e-6)
                assert found["d", "x"] == np.array([0, 1], "<f4").tobytes()
                assert await store.erase("usr_a", dry_run=True) == 451
                assert len(await store.search("usr_a", "c", rows[0], 5)) == 5
                assert await store.erase("usr_a") == 451
                assert await store.erase("usr_a") == 0
                assert await store.search("usr_a", "c", rows[0], 5) == []
                assert [one async for one in store.export("usr_a")] == []
                assert len(await store.search("usr_b", "c", rows[0], 9)) == 5

        asyncio.run(main())

    def test_restart__keeps_everything(self, tmp_path: Path) -> None:
        async def main() -> None:
            rows, asked = sample(50), sample(1, seed=9)[0]
            async with self.store(tmp_path) as store:
                await store.upsert("usr_a", "c", named(rows))
                await store.delete("usr_a", "c", [exact(rows, asked, 1)[0]])
            async with self.store(tmp_path) as store:
                assert [hit.id for hit in await store.search("usr_a", "c", asked, 9)] == exact(rows, asked, 10)[1:]

        asyncio.run(main())

    def test_many_at_once__lose_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                rows = sample(400)
                parts = [named(rows)[start : start + 25] for start in range(0, 400, 25)]

                async def look() -> None:
                    for asked in sample(10, seed=5):
                        await store.search("usr_a", "c", asked, 5)

                await asyncio.gather(*(store.upsert("usr_a", "c", part) for part in parts), look())
                asked = sample(1, seed=6)[0]
                assert [hit.id for hit in await store.search("usr_a", "c", asked, 20)] == exact(rows, asked, 20)

        asyncio.run(main())

    def test_any_changes__search_is_what_exact_search_over_a_dictionary_is(self, tmp_path: Path) -> None:
        change = st.tuples(st.sampled_from(["usr_a", "usr_b"]), st.sampled_from("abcdef"), st.none() | _vector)

        async def play(store: VectorStore, changes: list[tuple[str, str, list[float] | None]], asked: list[float]) -> None:
            kept: dict[str, dict[str, Any]] = {"usr_a": {}, "usr_b": {}}
            await store.drop("c")
            for owner, one, vector in changes:
                if vector is None:
                    assert await store.delete(owner, "c", [one]) == int(kept[owner].pop(one, None) is not None)
                else:
                    await store.upsert(owner, "c", [VectorItem(one, vector)])
                    kept[owner][one] = np.array(vector) / np.linalg.norm(vector)
            for owner, mine in kept.items():
                found = await store.search(owner, "c", asked, 4)
                scores = {one: float(vector @ np.array(asked) / np.linalg.norm(asked)) for one, vector in mine.items()}
                assert [hit.score for hit in found] == pytest.approx(sorted(scores.values(), reverse=True)[:4], abs=1e-5)
                assert all(hit.score == pytest.approx(scores[hit.id], abs=1e-5) for hit in found)

        with asyncio.Runner() as runner:
            opened = self.store(tmp_path)
            store = runner.run(_coroutine(opened.__aenter__()))

            @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
            @given(st.lists(change, max_size=12), _vector)
            def check(changes: list[tuple[str, str, list[float] | None]], asked: list[float]) -> None:
                runner.run(play(store, changes, asked))

            try:
                check()
            finally:
                runner.run(_coroutine(opened.__aexit__(None, None, None)))

    def test_unworkable__health_and_calls_agree(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.store(tmp_path) as store:
                state = (await store.health()).state
                try:
                    await store.upsert("usr_a", "c", [VectorItem("1", [1.0])])
                except HubError:
                    assert state != HealthState.OK
                else:
                    assert state == HealthState.OK

        asyncio.run(main())


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable
