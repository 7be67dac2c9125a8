"""The engine over SAQ: the contract, on hubs that have its package, and what a hub without it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from engine_worlds import assert_reaches_silver, assert_waits_for_its_server, on_postgres, packages

from luminai.testing import running_hub
from luminai.testing.engine_suite import EngineContract, EngineWorld

CONFIG = """
[plugins.engine-saq]
enabled = true
[plugins.engine-saq.config]
url = "env:ENGINE_REDIS"
queue = "{queue}"
"""


def flush(url: str, queue: str) -> None:
    """Empty the broker: nothing of the queue is left."""
    with redis.Redis.from_url(url) as client:
        for pattern in (f"saq:{queue}:*", f"saq:job:{queue}:*"):
            if keys := list(client.scan_iter(pattern, count=1000)):
                client.delete(*keys)


@pytest.mark.postgres
class TestSaq(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, _migrated: str, redis_url: str) -> Iterator[EngineWorld]:
        queue = f"test-{uuid4().hex[:12]}"
        given = {"config": CONFIG.format(queue=queue), "engine": "saq", "search": packages(), "env": {"ENGINE_REDIS": redis_url}}
        with on_postgres(_migrated, lambda: flush(redis_url, queue), **given) as world:
            yield world
        flush(redis_url, queue)


@pytest.fixture
def queue(redis_url: str) -> Iterator[str]:
    """Return the name of a queue of this test alone."""
    name = f"test-{uuid4().hex[:12]}"
    yield name
    flush(redis_url, name)


def test_check__reaches_silver(redis_url: str, queue: str, tmp_path: Path) -> None:
    assert_reaches_silver(tmp_path, "engine-saq", f'url = "env:ENGINE_REDIS"\nqueue = "{queue}"', {"ENGINE_REDIS": redis_url})


def test_redis_away__is_degraded_and_goes_on_when_it_is_back(redis_url: str, queue: str, tmp_path: Path) -> None:
    assert_waits_for_its_server(tmp_path, "saq", CONFIG.format(queue=queue), "ENGINE_REDIS", redis_url)


def test_package_is_missing__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_REDIS", "redis://127.0.0.1:1")

    async def main() -> None:
        async with running_hub("engine-saq", config={"engine-saq": {"url": "env:ENGINE_REDIS"}}, settings={"jobs": {"engine": "saq"}}) as hub:
            status = hub.status("engine-saq")
            assert (status.state, status.code) == ("failed", "module-missing")
            assert status.remedy == "pip install 'luminai-engine-saq[saq]'"

    asyncio.run(main())
