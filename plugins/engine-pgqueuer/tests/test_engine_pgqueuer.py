"""The engine over PgQueuer: the contract, on hubs that have its package, and what a hub without it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import ground
from engine_worlds import assert_lives_through_restarts, assert_reaches_silver, assert_waits_for_its_server, on_postgres, own_server, packages

from luminai.testing import running_hub
from luminai.testing.engine_suite import EngineContract, EngineWorld

__all__ = ["ground"]
CONFIG = """
[plugins.engine-pgqueuer]
enabled = true
[plugins.engine-pgqueuer.config]
url = "env:ENGINE_URL"
"""


@pytest.mark.postgres
class TestPgQueuer(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, _migrated: str) -> Iterator[EngineWorld]:
        with on_postgres(_migrated, config=CONFIG, engine="pgqueuer", search=packages()) as world:
            yield world


@pytest.mark.postgres
def test_check__reaches_silver(empty_postgres_url: str, tmp_path: Path) -> None:
    assert_reaches_silver(tmp_path, "engine-pgqueuer", 'url = "env:ENGINE_URL"', {"ENGINE_URL": empty_postgres_url})


@pytest.mark.postgres
def test_database_away__is_degraded_and_goes_on_when_it_is_back(empty_postgres_url: str, tmp_path: Path) -> None:
    assert_waits_for_its_server(tmp_path, "pgqueuer", CONFIG, "ENGINE_URL", empty_postgres_url)


@pytest.mark.slow
@pytest.mark.postgres
def test_database_server_that_crashes_and_comes_back__loses_no_job_and_doubles_none(tmp_path: Path, ground: Path) -> None:
    with own_server(ground) as server:
        assert_lives_through_restarts(tmp_path, server, "pgqueuer", CONFIG, packages())


def test_package_is_missing__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_URL", "postgresql://127.0.0.1:1/none")

    async def main() -> None:
        async with running_hub(
            "engine-pgqueuer", config={"engine-pgqueuer": {"url": "env:ENGINE_URL"}}, settings={"jobs": {"engine": "pgqueuer"}}
        ) as hub:
            status = hub.status("engine-pgqueuer")
            assert (status.state, status.code) == ("failed", "module-missing")
            assert status.remedy == "pip install 'luminai-engine-pgqueuer[pgqueuer]'"

    asyncio.run(main())
