"""Where job engines are tried: a throw-away database, and the packages that the hub's own environment does not have."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engines import _database

from luminai.testing.engine_suite import EngineWorld

ENVIRONMENT = Path(__file__).parent.parent / ".venv-engines"
CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
FORGET = "UPDATE core__jobs SET told_until = NULL WHERE state = 'queued'"


def packages() -> tuple[Path, ...]:
    """Return the folder of the engines' packages; skip where it was not made."""
    found = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    if not found.is_dir():
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            raise FileNotFoundError(found)
        pytest.skip("the engines' packages are not there: make engines")
    return (found,)


@contextmanager
def on_postgres(template: str, also: Callable[[], None] | None = None, **given: Any) -> Iterator[EngineWorld]:
    """Make a world on PostgreSQL whose connections break when it is disturbed; ``also`` is what breaks besides."""

    def do(url: str, statement: str) -> None:
        async def execute() -> None:
            import asyncpg

            connection = await asyncpg.connect(url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(execute())

    def disturb() -> None:
        do(url, CUT_OFF)
        if also is not None:
            also()

    with _database(template) as url:
        env = {"ENGINE_URL": url} | given.pop("env", {})
        yield EngineWorld(database_url=url, env=env, disturb=disturb, deliver_again=lambda: do(url, FORGET), **given)
