"""Job engines: the contract on the embedded one, and what the hub makes of engines that are not there or break."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from luminai.testing.engine_suite import EngineContract, EngineWorld


class TestEmbedded(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> Iterator[EngineWorld]:
        yield EngineWorld()
