"""The engine over PgQueuer: the contract, on hubs that have its package, and what a hub without it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from engine_worlds import on_postgres, packages

from luminai.testing import running_hub
from luminai.testing.engine_suite import EngineContract, EngineWorld

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
