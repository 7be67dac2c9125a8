"""How often jobs may begin, as the operator says: of a plugin, of an action, in all processes together."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from luminai.testing import FrozenClock, HubUnderTest, running_hub
from luminai.testing.engine_probe import install
from luminai.testing.engine_suite import CONFIG, effects, put
from luminai.testing.fleet import Fleet

PLUGIN = """
    from luminai import Action, Unavailable, hookimpl
    from msgspec import Struct

    BEGUN = []

    class Given(Struct, forbid_unknown_fields=True):
        word: str = ""

    class Plugin:
        @hookimpl
        def actions(self, ctx):
            async def run(job, given):
                BEGUN.append((job.trigger, given.word))
                if given.word == "fails" and job.attempt == 1:
                    raise Unavailable("Not yet.")
                return given
            kinds = dict(run=run, scope="{id}:run", input=Given, output=Given, retries=1, backoff=1)
            return [Action(name=name, summary="Notes that it ran.", **kinds) for name in ("one", "other")]
"""


class Works:
    """A hub with two plugins, and what each began."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.hub = hub
        self.clock = clock
        self.client = hub.client("calm:run", "free:run", "hub:jobs", subject="usr_a")

    async def ask(self, action: str, count: int = 1, word: str = "") -> list[str]:
        """Ask for an action so many times; return the jobs."""
        answers = [await self.client.request("POST", f"/api/actions/{action}", json={"word": word or action}) for _ in range(count)]
        assert {one.status for one in answers} <= {200, 202}, "some may have ended by then"
        return [one.json()["id"] for one in answers]

    async def begun(self, plugin: str, later: float = 0.0) -> list[str]:
        """Run what may begin some time later; return the words of what was begun in all."""
        self.clock.advance(later)
        await self.hub.hub.jobs.settle()
        module: Any = sys.modules[f"luminai_{plugin}.plugin"]
        return [word for _, word in module.BEGUN]


@pytest.fixture
def on_hub(plugins: Any) -> Callable[..., Any]:
    """Return what runs a test's coroutine on a hub whose jobs have rates."""
    made = [
        plugins.make(name, PLUGIN.format(id=name), provides='["actions"]', manifest=f'scopes = {{ "{name}:run" = "Run." }}')
        for name in ("calm", "free")
    ]

    def run(test: Callable[[Works], Awaitable[None]], **rates: dict[str, float]) -> None:
        async def main() -> None:
            clock = FrozenClock()
            settings = {"jobs": {"rates": rates}}
            async with running_hub("calm", "free", installed=made, clock=clock, settings=settings) as hub:
                await test(Works(hub, clock))

        asyncio.run(main())

    return run


def test_action_and_plugin__begin_no_more_than_their_rates_and_others_go_on(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        await works.ask("calm.one", 5)
        await works.ask("calm.other", 5)
        await works.ask("free.one", 8)
        first = await works.begun("calm")
        assert (first.count("calm.one"), len(first)) == (2, 4), "2 of the action, 4 of its plugin"
        assert len(await works.begun("free")) == 8
        assert len(await works.begun("calm", 14)) == 4
        assert len(await works.begun("calm", 1.1)) == 5, "a place comes back every 15 s"
        assert len(await works.begun("calm", 60)) == 9, "and no more than 4 gather"
        assert len(await works.begun("calm", 60)) == 10
        waiting = (await works.client.request("GET", "/api/jobs?state=queued")).json()["items"]
        assert waiting == []

    on_hub(test, **{"calm": {"starts": 4, "seconds": 60}, "calm.one": {"starts": 2, "seconds": 10}})


def test_attempts__count_each(on_hub: Any) -> None:
    async def test(works: Works) -> None:
        (failing,) = await works.ask("calm.one", word="fails")
        await works.ask("calm.one", 2)
        assert len(await works.begun("calm")) == 2
        assert len(await works.begun("calm", 20)) == 2, "what is to be tried again stands behind the rate as well"
        assert (await works.client.request("GET", f"/api/jobs/{failing}")).json()["state"] == "queued"
        assert len(await works.begun("calm", 11)) == 3
        assert len(await works.begun("calm", 30)) == 4

    on_hub(test, **{"calm.one": {"starts": 2, "seconds": 60}})


@pytest.mark.postgres
def test_rate__holds_in_two_processes_together(own_postgres_url: str, tmp_path: Path) -> None:
    install(tmp_path / "site")
    config = f'{CONFIG}[database]\nurl = "{own_postgres_url}"\n[jobs.rates]\n"probe.rated" = {{ starts = 4, seconds = 2.0 }}\n'
    fleet = Fleet(tmp_path / "home", config, search=(tmp_path / "site",))
    try:
        fleet.serve(2)
        before, count = time.time(), 0
        while count < 100 and len({int(one[1]) for one in effects(fleet, 0, 100)}) < 2:  # until both have had some
            put(fleet, "many", number=count, count=10, action="rated", seconds=0.3)
            count += 10
            fleet.wait_for(lambda: len(effects(fleet, 0, 100)) == count)  # noqa: B023 - it is asked at once
        done = sorted(effects(fleet, 0, 100), key=lambda one: one[2])
    finally:
        fleet.close()
    assert len({int(one[1]) for one in done}) == 2
    for number, (_, _, began, _) in enumerate(done):
        assert began - before >= (number + 1 - 4) * 0.5 - 0.01, "4 at once, and then one every half second"


@pytest.mark.parametrize("bad", [{"starts": 0}, {"starts": 5, "seconds": 0}, {"starts": 5, "per": "person"}])
def test_rate_that_makes_no_sense__is_refused_with_its_place(bad: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"jobs\.rates"):
        asyncio.run(_start(bad))


async def _start(rate: dict[str, Any]) -> None:
    async with running_hub(settings={"jobs": {"rates": {"calm": rate}}}):
        pass
