"""Job engines: the contract on the embedded one, and what the hub makes of engines that are not there or break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_worlds import on_postgres

from luminai.testing.engine_suite import EngineContract, EngineWorld


class TestEmbedded(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> EngineWorld:
        return EngineWorld()


@pytest.mark.postgres
class TestEmbeddedOnPostgres(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, _migrated: str) -> Iterator[EngineWorld]:
        with on_postgres(_migrated) as world:
            yield world
