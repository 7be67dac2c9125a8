"""The store on pgvector: the contract where a server has the extension, and what happens where none has."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from luminai import Unavailable
from luminai.testing import running_hub
from luminai_vectors import VectorItem, Vectors
from luminai_vectors.testing import StoreContract


@asynccontextmanager
async def pgvector_store(folder: Path, **config):
    settings = {"vectors": {"store": "pgvector"}, "vectors-pgvector": config}
    async with running_hub("vectors", "vectors-pgvector", config=settings, folder=folder) as hub:
        assert hub.state("vectors-pgvector") == "enabled"
        yield hub.hub.generation.wiring.services.find("vectors", Vectors).store


class TestContract(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, pgvector_server, monkeypatch):
        monkeypatch.setenv("TEST_PGVECTOR", pgvector_server)
        self.done: set[Path] = set()

    @asynccontextmanager
    async def store(self, folder: Path):
        async with pgvector_store(folder, url="env:TEST_PGVECTOR") as store:
            if folder not in self.done:  # a test begins with nothing
                await store.server.drop()
                await store.server.close()
                self.done.add(folder)
            yield store


async def unavailable(store) -> str:
    with pytest.raises(Unavailable) as refused:
        await store.upsert("usr_a", "c", [VectorItem("1", [1.0])])
    assert refused.value.code == "vectors.store-unavailable"
    found = await store.health()
    assert found.state == "degraded"
    return found.reason


def test_no_database_set__degraded(tmp_path):
    async def main():
        async with pgvector_store(tmp_path) as store:
            assert "no database is set" in await unavailable(store)

    asyncio.run(main())


def test_server_away__degraded_and_says_so_without_the_address(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_PGVECTOR", "postgresql://somebody:hush@127.0.0.1:1/nothing")

    async def main():
        async with pgvector_store(tmp_path, url="env:TEST_PGVECTOR") as store:
            reason = await unavailable(store)
            assert "does not serve it" in reason
            assert "hush" not in reason

    asyncio.run(main())


@pytest.mark.postgres
def test_server_without_the_extension__degraded_and_names_it(tmp_path, monkeypatch, own_postgres_url):
    monkeypatch.setenv("TEST_PGVECTOR", own_postgres_url)

    async def main():
        async with pgvector_store(tmp_path, url="env:TEST_PGVECTOR") as store:
            assert "extension pgvector" in await unavailable(store)

    asyncio.run(main())


def test_purge__drops_the_schema(tmp_path, monkeypatch, pgvector_server):
    monkeypatch.setenv("TEST_PGVECTOR", pgvector_server)

    async def main():
        async with pgvector_store(tmp_path, url="env:TEST_PGVECTOR") as store:
            await store.upsert("usr_a", "c", [VectorItem("1", [1.0])])
            await store.server.drop()
            async with store.server.connection() as connection:
                assert await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = 'vectors_pgvector'") is None
            await store.server.close()

    asyncio.run(main())
