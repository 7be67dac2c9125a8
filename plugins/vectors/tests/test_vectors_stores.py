"""The store that comes with the plugin: the contract, on both databases, and what only an index in memory can do wrong."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from luminai import TooLarge
from luminai.testing import running_hub
from luminai_vectors import VectorItem, Vectors
from luminai_vectors.index import SignIndex, signs
from luminai_vectors.testing import StoreContract, exact, named, sample


@asynccontextmanager
async def hub_with_vectors(folder: Path, url: str = "", **config):
    async with running_hub("vectors", config={"vectors": config}, folder=folder, database_url=url) as hub:
        assert hub.state("vectors") == "enabled"
        yield hub.hub.generation.wiring.services.find("vectors", Vectors)


@asynccontextmanager
async def numpy_store(folder: Path, url: str = "", **config):
    async with hub_with_vectors(folder, url, **config) as vectors:
        yield vectors.store


class TestContract(StoreContract):
    def store(self, folder: Path):
        return numpy_store(folder)


@pytest.mark.postgres
class TestContractOnPostgreSQL(StoreContract):
    @pytest.fixture(autouse=True)
    def _database(self, own_postgres_url):
        self.url = own_postgres_url

    def store(self, folder: Path):
        return numpy_store(folder, self.url)


@pytest.mark.parametrize("dimension", [1, 7, 64, 65, 384])
def test_signs__any_dimension__differ_in_as_many_bits_as_numbers_have_other_signs(dimension):
    rows = sample(50, dimension=dimension)
    packed = signs(rows)
    for at in range(50):
        differing = int(np.bitwise_count(packed[0] ^ packed[at]).sum())
        assert differing == int(((rows[0] > 0) != (rows[at] > 0)).sum())


def test_index__more_rows_than_candidates__takes_those_with_the_nearest_signs():
    rows, asked = sample(5_000, dimension=128), sample(1, seed=2, dimension=128)[0]
    index = SignIndex("c", 128)
    for start in range(0, 5_000, 700):
        part = rows[start : start + 700]
        index.add(list(range(start, start + len(part))), [row.tobytes() for row in signs(part)])
    found = index.nearest(asked, 800)
    distance = ((rows > 0) != (asked > 0)).sum(axis=1)
    assert len(found) == len(set(found)) == 800
    assert sorted(distance[found].tolist()) == sorted(distance.tolist())[:800]


def test_index__rows_that_came_twice__are_named_once():
    rows = signs(sample(10))
    index = SignIndex("c", 24, 2)
    for _ in range(3):
        index.add(list(range(10)), [row.tobytes() for row in rows])
    assert sorted(index.nearest(sample(1)[0], 800)) == list(range(10))
    assert len(set(index.nearest(sample(1)[0], 7))) == len(index.nearest(sample(1)[0], 7)) <= 7


def clustered(count, seed=0, dimension=64):
    """Rows around 40 centres, as texts of a few subjects are."""
    made = np.random.default_rng(seed)
    centres = made.standard_normal((40, dimension))
    rows = centres[made.integers(0, 40, count)] + 0.6 * made.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_search__many_more_than_candidates__recalls_nearly_all(tmp_path):
    async def main():
        rows = clustered(6_000)
        async with numpy_store(tmp_path) as store:
            for start in range(0, 6_000, 1_000):
                await store.upsert("usr_a", "c", named(rows)[start : start + 1_000])
            hits = 0
            for asked in clustered(6_010)[6_000:]:
                hits += len({hit.id for hit in await store.search("usr_a", "c", asked, 10)} & set(exact(rows, asked, 10)))
            assert hits >= 97

    asyncio.run(main())


def test_search__another_process_changes_things__sees_it_at_once(tmp_path, own_postgres_url):
    async def main():
        rows, asked = sample(30), sample(1, seed=8)[0]
        async with numpy_store(tmp_path / "one", own_postgres_url) as one, numpy_store(tmp_path / "two", own_postgres_url) as two:
            await one.upsert("usr_a", "c", named(rows))
            assert [hit.id for hit in await two.search("usr_a", "c", asked, 3)] == exact(rows, asked, 3)
            await one.upsert("usr_a", "c", [VectorItem("new", asked)])
            assert (await two.search("usr_a", "c", asked, 1))[0].id == "new"
            await one.delete("usr_a", "c", ["new"])
            assert [hit.id for hit in await two.search("usr_a", "c", asked, 3)] == exact(rows, asked, 3)
            await one.drop("c")
            assert await two.search("usr_a", "c", asked, 3) == []
            await one.upsert("usr_a", "c", [VectorItem("again", [1.0, 2.0])])
            assert [hit.id for hit in await two.search("usr_a", "c", [1.0, 2.0], 3)] == ["again"]

    asyncio.run(main())


def test_memory__more_owners_than_fit__the_oldest_leave_and_come_back(tmp_path):
    async def main():
        rows = sample(1_000, dimension=512)
        async with hub_with_vectors(tmp_path, **{"memory-mb": 1}) as vectors:
            store = vectors.own
            for at in range(12):
                await store.upsert(f"usr_{at}", "c", named(rows))
                await store.search(f"usr_{at}", "c", rows[0], 1)
                assert sum(index.nbytes for index in store._indexes.values()) <= 2**20
            assert ("usr_0", "c") not in store._indexes
            assert (await store.search("usr_0", "c", rows[5], 1))[0].id == "v00005"
            assert ("usr_0", "c") in store._indexes

    asyncio.run(main())


def test_replaced_again_and_again__the_index_in_memory_does_not_grow(tmp_path):
    async def main():
        async with hub_with_vectors(tmp_path) as vectors:
            store = vectors.own
            for seed in range(12):
                rows = sample(500, seed=seed)
                await store.upsert("usr_a", "c", named(rows))
                found = await store.search("usr_a", "c", rows[3], 5)
                assert [hit.id for hit in found] == exact(rows, rows[3], 5)
                assert store._indexes["usr_a", "c"].size <= 500 + 125 + 800 + 500

    asyncio.run(main())


def test_full_collection__takes_no_more(tmp_path):
    async def main():
        async with numpy_store(tmp_path, **{"max-items": 1_000}) as store:
            await store.upsert("usr_a", "c", named(sample(1_000)))
            await store.upsert("usr_a", "c", named(sample(3, seed=1)))
            with pytest.raises(TooLarge) as refused:
                await store.upsert("usr_a", "c", named(sample(1), "w"))
            assert refused.value.code == "vectors.full"
            await store.upsert("usr_b", "c", named(sample(1)))

    asyncio.run(main())
