"""The store on sqlite-vec: the contract where its packages are, and what happens where they are not."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from luminai import Unavailable
from luminai.testing import running_hub
from luminai_vectors import VectorItem, Vectors
from luminai_vectors.testing import StoreContract, named, sample


@asynccontextmanager
async def sqlite_vec_store(folder: Path, url: str = ""):
    plugins = ("vectors", "vectors-sqlite-vec")
    async with running_hub(*plugins, config={"vectors": {"store": "sqlite-vec"}}, folder=folder, database_url=url) as hub:
        assert hub.state("vectors-sqlite-vec") == "enabled"
        yield hub.hub.generation.wiring.services.find("vectors", Vectors).store


@pytest.mark.usefixtures("vector_packages")
class TestContract(StoreContract):
    @pytest.fixture(autouse=True)
    def _on_sqlite(self, monkeypatch):
        monkeypatch.delenv("LUMINAI_TEST_POSTGRES", raising=False)

    def store(self, folder: Path):
        return sqlite_vec_store(folder)


def test_packages_absent__degraded_and_says_which(tmp_path, monkeypatch):
    monkeypatch.delenv("LUMINAI_TEST_POSTGRES", raising=False)
    monkeypatch.setitem(sys.modules, "apsw", None)

    async def main():
        async with sqlite_vec_store(tmp_path) as store:
            found = await store.health()
            assert (found.state, "apsw is not installed" in found.reason) == ("degraded", True)
            with pytest.raises(Unavailable) as refused:
                await store.search("usr_a", "c", [1.0], 1)
            assert refused.value.code == "vectors.store-unavailable"

    asyncio.run(main())


@pytest.mark.postgres
def test_hub_of_several_processes__degraded_and_says_what_to_take(tmp_path, own_postgres_url):
    async def main():
        async with sqlite_vec_store(tmp_path, own_postgres_url) as store:
            assert "vectors-pgvector" in (await store.health()).reason

    asyncio.run(main())


@pytest.mark.usefixtures("vector_packages")
def test_erase__nothing_of_the_vectors_is_left_in_the_files(tmp_path, monkeypatch):
    monkeypatch.delenv("LUMINAI_TEST_POSTGRES", raising=False)

    async def main():
        rows = sample(30)
        async with sqlite_vec_store(tmp_path) as store:
            await store.upsert("usr_a", "c", named(rows))
            await store.upsert("usr_b", "c", [VectorItem("x", [1.0] * rows.shape[1])])

            def held():
                found = b"".join(path.read_bytes() for path in tmp_path.rglob("vectors.sqlite3*"))
                return sum(row.astype("<f4").tobytes() in found for row in np.asarray(rows))

            assert held() > 5  # the rest of them crosses pages
            await store.erase("usr_a")
            assert held() == 0

    asyncio.run(main())
