"""Job engines: the contract on the embedded one, and what the hub makes of engines that are not there or break."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import ground
from engine_worlds import assert_lives_through_restarts, on_postgres, own_server
from plugin_factory import PluginFactory

from luminai.testing import running_hub
from luminai.testing.engine_probe import install
from luminai.testing.engine_suite import CONFIG, EngineContract, EngineWorld, effects, most_at_once, put
from luminai.testing.fleet import Fleet

__all__ = ["ground"]


class TestEmbedded(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> EngineWorld:
        return EngineWorld()


@pytest.mark.slow
@pytest.mark.postgres
class TestEmbeddedOnPostgres(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, _migrated: str) -> Iterator[EngineWorld]:
        with on_postgres(_migrated) as world:
            yield world


@pytest.mark.slow
@pytest.mark.postgres
def test_database_server_that_crashes_and_comes_back__loses_no_job_and_doubles_none(tmp_path: Path, ground: Path) -> None:
    with own_server(ground) as server:
        assert_lives_through_restarts(tmp_path, server, "embedded")


@pytest.mark.postgres
def test_limit_over_all_processes__holds_in_two(own_postgres_url: str, tmp_path: Path) -> None:
    install(tmp_path / "site")
    config = f'{CONFIG}[database]\nurl = "{own_postgres_url}"\n[jobs.everywhere]\n"probe.effect" = 2\n'
    fleet = Fleet(tmp_path / "home", config, search=(tmp_path / "site",))
    try:
        fleet.serve(2)
        rounds = 0
        while rounds < 20 and len({int(one[1]) for one in effects(fleet, 0, 1000)}) < 2:  # until both have had some
            put(fleet, "many", number=10 * rounds, count=10, seconds=0.1)
            rounds += 1
            fleet.wait_for(lambda: len(effects(fleet, 0, 1000)) == 10 * rounds)  # noqa: B023 - it is asked at once
        done = effects(fleet, 0, 1000)
    finally:
        fleet.close()
    assert len({int(one[1]) for one in done}) == 2
    assert most_at_once(done) == 2


ENGINES = """
    import asyncio
    from luminai import Action, hookimpl
    from msgspec import Struct

    TOLD, BROUGHT = asyncio.Queue(), asyncio.Queue()

    class Given(Struct):
        number: int = 0

    class Lazy:
        name = "lazy"
        serves = 0

        async def dispatch(self, work):
            async with work.told(10) as jobs:
                self.waiting += [job.id for job in jobs]
            return len(jobs)

        async def serve(self, work):
            self.serves += 1
            if self.serves == 1:
                raise ConnectionError
            while True:
                for job in [*self.waiting, *self.waiting, "job_none"]:  # twice, and one that never was
                    await work.run(job)
                await asyncio.sleep(0.01)

    class Broken(Lazy):
        name = "broken"

        async def dispatch(self, work):
            async with work.told(10):
                raise ConnectionError

    class Mended(Lazy):
        name = "mended"
        tells = 0

        async def dispatch(self, work):
            self.tells += 1
            if self.tells == 1:
                raise ConnectionError
            return await super().dispatch(work)

        async def serve(self, work):
            self.serves = 1
            await super().serve(work)

    class Late:
        name = "late"

        async def dispatch(self, work):
            return 0

        async def serve(self, work):
            while True:
                job = await TOLD.get()
                await work.run(job)
                BROUGHT.put_nowait(job)

    class Plugin:
        @hookimpl
        def job_engines(self, ctx):
            lazy, mended = Lazy(), Mended()
            lazy.waiting, mended.waiting = [], []
            return [lazy, Broken(), mended, Late()]

        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                return given
            return [Action(name="run", summary="Nothing.", run=run, scope="engines:run", input=Given, output=Given)]
"""
MANIFEST = 'scopes = { "engines:run" = "Run." }'


def on_engine(plugins: PluginFactory, engine: str, *, wait: str = "20") -> tuple[str, str, dict[str, int]]:
    """Serve with an engine; return the state of a job that was waited for, what is said of the engine, and how often the job was tried."""
    installed = [plugins.make("engines", ENGINES, provides='["actions", "job_engines"]', manifest=MANIFEST)]

    async def main() -> tuple[str, str, dict[str, int]]:
        async with running_hub("engines", installed=installed, settings={"jobs": {"engine": engine}}) as hub:
            client = hub.client("engines:run", "hub:jobs")
            job = (await client.request("POST", "/api/actions/engines.run", json={}, headers={"prefer": f"wait={wait}"})).json()
            told = await hub.hub.jobs.health_check().check()
            return job["state"], f"{told.state}: {told.reason}", job

    return asyncio.run(main())


def test_engine_that_breaks_tells_twice_and_tells_of_none__has_each_job_done_once(plugins: PluginFactory) -> None:
    state, _, job = on_engine(plugins, "lazy")
    assert (state, job["attempts"]) == ("succeeded", 1)


def test_engine_that_nobody_offers__is_stood_in_for(plugins: PluginFactory) -> None:
    state, told, _ = on_engine(plugins, "none")
    assert state == "succeeded"
    assert told == "degraded: No running plugin offers the job engine none; embedded stands in."


def test_engine_that_cannot_tell__is_degraded_and_its_jobs_wait(plugins: PluginFactory) -> None:
    state, told, _ = on_engine(plugins, "broken", wait="1")
    assert state == "queued"
    assert told.startswith("degraded: The job engine does not go on: broken")


def test_pause_of_everything__holds_what_workers_were_told_of_before(plugins: PluginFactory) -> None:
    installed = [plugins.make("engines", ENGINES, provides='["actions", "job_engines"]', manifest=MANIFEST)]

    async def main() -> None:
        async with running_hub("engines", installed=installed, settings={"jobs": {"engine": "late"}}) as hub:
            module: Any = sys.modules["luminai_engines.plugin"]
            client = hub.client("engines:run", "hub:jobs")
            job = (await client.request("POST", "/api/actions/engines.run", json={})).json()["id"]
            await client.request("POST", "/api/admin/job-pauses", json={"target": "*"})
            await hub.hub.jobs.settle()  # by which it is known here
            module.TOLD.put_nowait(job)
            await module.BROUGHT.get()
            assert (await client.request("GET", f"/api/jobs/{job}")).json()["state"] == "queued"
            await client.request("POST", "/api/admin/job-pauses/resume", json={"target": "*"})
            async with asyncio.timeout(20):
                while (await client.request("GET", f"/api/jobs/{job}")).json()["state"] == "queued":
                    module.TOLD.put_nowait(job)
                    await module.BROUGHT.get()

    asyncio.run(main())


def test_engine_that_can_tell_again__is_well_again(plugins: PluginFactory) -> None:
    state, told, _ = on_engine(plugins, "mended")
    assert (state, told) == ("succeeded", "ok: ")
