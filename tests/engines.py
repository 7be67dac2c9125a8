"""Databases for tests: SQLite in a folder of the test's own, PostgreSQL in a throw-away database of the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from luminai.data.database import open_database
from luminai.data.migrations import core_source, upgrade
from luminai.telemetry.clock import SystemClock
from luminai.testing import postgres

SERVER = "postgresql://postgres@127.0.0.1:5432"


@contextmanager
def _database(template: str = "template1") -> Iterator[str]:
    """Make a database and drop it at the end; skip where there is no server."""
    pytest.importorskip("asyncpg")
    name = f"luminai_test_{uuid4().hex[:12]}"
    try:
        asyncio.run(postgres.make(SERVER, name, template=template))
    except OSError as error:
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"PostgreSQL does not answer at 127.0.0.1:5432 ({error})")
    yield f"{SERVER}/{name}"
    asyncio.run(postgres.drop_soon(SERVER, name))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a database of this run."""
    with _database() as url:
        yield url


@pytest.fixture(scope="session")
def _migrated() -> Iterator[str]:
    """Return the name of a database with the core's tables; the first hub on an empty one takes longer than most tests."""

    async def migrate(url: str) -> None:
        database = await open_database(url, data_dir=Path(), clock=SystemClock())
        try:
            await upgrade(database, core_source())
        finally:
            await database.close()

    with _database() as url:
        asyncio.run(migrate(url))
        yield url.rpartition("/")[2]


@pytest.fixture
def own_postgres_url(_migrated: str) -> Iterator[str]:
    """Return the URL of a database of this test alone, with the core's tables."""
    with _database(_migrated) as url:
        yield url


@pytest.fixture
def empty_postgres_url() -> Iterator[str]:
    """Return the URL of an empty database of this test alone."""
    with _database() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Return the URL of a Redis that answers; skip where there is none."""
    redis = pytest.importorskip("redis")
    url = os.environ.get("LUMINAI_TEST_REDIS", "redis://127.0.0.1:6379/0")
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=2) as client:
            client.ping()
    except redis.exceptions.RedisError as error:
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"Redis does not answer at {url} ({error})")
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of PostgreSQL."""
    url: str = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    return url


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return an empty data folder."""
    return tmp_path / "data"
