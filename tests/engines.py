"""Databases for tests: SQLite in a folder of the test's own, PostgreSQL in a throw-away database of the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

SERVER = "postgresql://postgres@127.0.0.1:5432"


@contextmanager
def _database() -> Iterator[str]:
    """Make a database and drop it at the end; skip where there is no server."""
    asyncpg = pytest.importorskip("asyncpg")
    name = f"luminai_test_{uuid4().hex[:12]}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(f"{SERVER}/postgres", timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    try:
        asyncio.run(execute(f"CREATE DATABASE {name}"))
    except OSError as error:
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"PostgreSQL does not answer at 127.0.0.1:5432 ({error})")
    yield f"{SERVER}/{name}"
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a database of this run."""
    with _database() as url:
        yield url


@pytest.fixture
def own_postgres_url() -> Iterator[str]:
    """Return the URL of a database of this test alone."""
    with _database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of PostgreSQL."""
    url: str = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    return url


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return an empty data folder."""
    return tmp_path / "data"
