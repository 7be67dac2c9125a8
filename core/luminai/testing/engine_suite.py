# ruff: noqa: S101 - assertions are what a conformance suite is made of
"""What every ``JobEngine`` must do, shown on hubs in processes of their own. Tests subclass ``EngineContract`` as ``Test…`` and say where.

The hub's ledger keeps what is promised of jobs (none lost, none done twice); an engine passes when it neither gets in its way nor lets jobs lie.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from luminai.testing.engine_probe import install
from luminai.testing.fleet import SECONDS, Fleet

CONFIG: Final = """
[plugins.probe]
enabled = true
[limits]
enabled = false
"""
RATES: Final = """
[jobs.rates]
"probe.rated" = { starts = 5, seconds = 1.0 }
"""
LEASE: Final = 6
LOT: Final = 100
"""Jobs put in one unit: on a busy machine a unit of thousands meets its deadline, again and again."""


class EngineWorld(Struct, frozen=True, kw_only=True):
    """Where an engine is tried.

    Attributes:
        config: What config.toml needs for it, ``[jobs]`` apart.
        engine: Its name.
        database_url: PostgreSQL, "" for SQLite, where one process serves.
        search: Folders in which the hubs find its packages.
        env: Environment for secrets.
        disturb: What engines must live through: drops every connection to the database, empties the broker.
        deliver_again: Has workers told again of jobs that wait; None where nobody is told.
    """

    config: str = ""
    engine: str = "embedded"
    database_url: str = ""
    search: tuple[Path, ...] = ()
    env: dict[str, str] = {}
    disturb: Callable[[], None] | None = None
    deliver_again: Callable[[], None] | None = None


class EngineContract:
    """The conformance suite. The tests of a class share one database; each uses numbers of its own."""

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> Iterator[EngineWorld]:
        """Say where the engine is tried."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def fleet(cls, world: EngineWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
        """Serve a hub with the engine."""
        folder = tmp_path_factory.mktemp("engine")
        install(folder / "site")
        database = f'[database]\nurl = "{world.database_url}"\n' if world.database_url else ""
        config = f'{CONFIG}[jobs]\nengine = "{world.engine}"\nlease-seconds = {LEASE}\n{RATES}{database}{world.config}'
        fleet = Fleet(folder / "home", config, search=(folder / "site", *world.search), env=world.env)
        try:
            yield fleet
        finally:
            fleet.close()

    def test_engine__is_the_one_that_serves(self, fleet: Fleet, world: EngineWorld) -> None:
        fleet.serve()
        checks = fleet.send("GET", "/health/detailed")
        assert world.engine == "embedded" or '"job-engine"' in str(checks).replace("'", '"'), checks
        assert "stands in" not in str(checks)

    def test_many_at_once__are_done_once_each(self, fleet: Fleet) -> None:
        fleet.serve()
        put(fleet, "many", number=10_000, count=100)
        assert_done_once(fleet, 10_000, 100)

    def test_later__is_not_begun_before_its_moment(self, fleet: Fleet) -> None:
        fleet.serve()
        moment = datetime.now(UTC) + timedelta(seconds=1.5)
        put(fleet, "effect", run_at=moment, number=20_000)
        ((_, _, began, _),) = fleet.wait_for(lambda: effects(fleet, 20_000, 1))
        assert 0 <= began - moment.timestamp() < SECONDS / 2

    def test_priority__what_is_urgent_overtakes_what_waits(self, fleet: Fleet) -> None:
        fleet.serve()
        fleet.send("POST", "/api/admin/job-pauses", {"target": "probe.single"})
        put(fleet, "many", number=30_000, count=8, action="single", priority=2)
        put(fleet, "many", number=30_100, count=2, action="single", priority=8)
        fleet.wait_for(lambda: len(jobs(fleet, "single", "queued")) == 10)
        fleet.send("POST", "/api/admin/job-pauses/resume", {"target": "probe.single"})
        fleet.wait_for(lambda: len(effects(fleet, 30_000, 102)) == 10)
        order = [int(one[0]) for one in sorted(effects(fleet, 30_000, 102), key=lambda one: one[2])]
        assert max(order.index(30_100), order.index(30_101)) < 5, "the last that came are of the first half: an engine keeps the order roughly"

    def test_cancel__ends_what_runs_and_keeps_what_waits_from_running(self, fleet: Fleet) -> None:
        fleet.serve()
        running = put(fleet, "single", number=40_000, seconds=60)
        fleet.wait_for(lambda: state(fleet, running) == "running")
        waiting = put(fleet, "single", number=40_001)
        for job in (waiting, running):
            fleet.send("POST", f"/api/jobs/{job}/cancel")
        fleet.wait_for(lambda: state(fleet, running) == "cancelled")
        after = put(fleet, "single", number=40_002)
        fleet.wait_for(lambda: state(fleet, after) == "succeeded")
        assert state(fleet, waiting) == "cancelled"
        assert [int(one[0]) for one in effects(fleet, 40_000, 3)] == [40_002]

    def test_limits__of_action_and_plugin_hold(self, fleet: Fleet) -> None:
        fleet.serve()
        put(fleet, "many", number=50_000, count=4, action="single", seconds=0.05)
        put(fleet, "many", number=50_100, count=15, seconds=0.1)
        fleet.wait_for(lambda: len(effects(fleet, 50_000, 200)) == 19)
        assert most_at_once(effects(fleet, 50_000, 4)) == 1
        assert 2 <= most_at_once(effects(fleet, 50_000, 200)) <= 5, "plugin-slots"

    def test_rate__lets_so_many_begin_in_a_time(self, fleet: Fleet) -> None:
        fleet.serve()
        before = time.time()
        put(fleet, "many", number=55_000, count=15, action="rated")
        put(fleet, "many", number=55_100, count=5)
        fleet.wait_for(lambda: len(effects(fleet, 55_100, 5)) == 5)
        assert len(effects(fleet, 55_000, 15)) < 15, "what has no rate does not wait for what has"
        fleet.wait_for(lambda: len(effects(fleet, 55_000, 15)) == 15)
        assert max(one[2] for one in effects(fleet, 55_000, 15)) - before >= 2, "5 at once, and the others a fifth of a second apart"

    def test_plugin_without_room__does_not_keep_others_waiting(self, fleet: Fleet) -> None:
        fleet.serve()
        fleet.send("PUT", "/api/admin/plugins/late/desired", {"enabled": True})
        put(fleet, "many", number=60_000, count=10, seconds=1)
        fleet.wait_for(lambda: len(jobs(fleet, "effect", "running")) == 5)
        job = fleet.send("POST", "/api/actions/late.run", {})["id"]  # an action that came while the hub ran
        fleet.wait_for(lambda: state(fleet, job) == "succeeded")
        assert len(effects(fleet, 60_000, 10)) < 10
        assert_done_once(fleet, 60_000, 10)

    def test_told_again__is_done_once(self, fleet: Fleet, world: EngineWorld) -> None:
        fleet.serve()
        put(fleet, "many", number=70_000, count=30, action="single")
        for done in (5, 10, 15):
            fleet.wait_for(lambda done=done: len(effects(fleet, 70_000, 30)) >= done)  # type: ignore[misc]
            if world.deliver_again is not None:
                world.deliver_again()
        assert_done_once(fleet, 70_000, 30)

    def test_disturbed__goes_on(self, fleet: Fleet, world: EngineWorld) -> None:
        fleet.serve()
        put(fleet, "many", number=80_000, count=80, seconds=0.01)
        for done in (10, 40):
            wait_until_done(fleet, 80_000, 80, done)
            if world.disturb is not None:
                world.disturb()
        assert_done_once(fleet, 80_000, 80)

    @pytest.mark.slow
    def test_killed__loses_none_and_doubles_none(self, fleet: Fleet) -> None:
        kill_while_it_works(fleet, first=100_000, count=150, kills=1)

    @pytest.mark.crash
    def test_killed_five_times_in_5000__loses_none_and_doubles_none(self, fleet: Fleet) -> None:
        kill_while_it_works(fleet, first=200_000, count=5000, kills=5)

    @pytest.mark.slow
    def test_one_of_two_killed__the_other_takes_up_its_work(self, fleet: Fleet, world: EngineWorld) -> None:
        if not world.database_url:
            fleet.serve()
            return  # one process has a SQLite file to itself
        _, second = fleet.serve(2)
        rounds = iter(range(300_000, 302_000, 20))

        def takes_part() -> bool:
            """Put some more until the second process has done some of it."""
            put(fleet, "many", number=next(rounds), count=20, seconds=0.05)
            return any(int(one[1]) == second.pid for one in effects(fleet, 300_000, 2000))

        fleet.wait_for(takes_part)
        count = next(rounds) - 300_000
        second.kill()
        assert_done_once(fleet, 300_000, count)


def put(fleet: Fleet, action: str, /, *, run_at: datetime | None = None, **given: Any) -> str:
    """Ask for one of the probe's actions, and return the job's id."""
    when = f"?run_at={run_at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}" if run_at is not None else ""
    return str(fleet.send("POST", f"/api/actions/probe.{action}{when}", given)["id"])


def state(fleet: Fleet, job: str) -> str:
    """Return a job's state."""
    return str(fleet.send("GET", f"/api/jobs/{job}")["state"])


def jobs(fleet: Fleet, action: str, in_state: str) -> list[Any]:
    """Return the probe's jobs of a state, at most 100."""
    return list(fleet.send("GET", f"/api/admin/jobs?action=probe.{action}&state={in_state}&limit=100")["items"])


def effects(fleet: Fleet, first: int, count: int) -> list[tuple[float, float, float, float]]:
    """Return what was done of so many numbers: number, process, and when it began and ended."""
    return [tuple(one) for one in fleet.send("GET", "/api/probe/effects") if first <= one[0] < first + count]


def wait_until_done(fleet: Fleet, first: int, count: int, goal: int) -> None:
    """Wait until so many are done, however slowly, as long as it goes on."""
    done = 0
    while done < goal:
        before = done

        def more() -> int:
            found = int(fleet.send("GET", f"/api/probe/done?first={first}&count={count}"))
            return found if found > before else 0  # noqa: B023 - it is asked at once

        try:
            done = fleet.wait_for(more)
        except AssertionError as stuck:
            states = ("queued", "running", "retrying", "dead")
            left = {f"{action} {held}": len(jobs(fleet, action, held)) for action in ("many", "effect", "single") for held in states}
            raise AssertionError(f"{done} of {count} are done, {goal} are waited for; of the others {left}") from stuck


def assert_done_once(fleet: Fleet, first: int, count: int) -> None:
    """Wait until all is done, and look whether anything was done twice."""
    wait_until_done(fleet, first, count, count)
    fleet.wait_for(lambda: not any(jobs(fleet, action, held) for action in ("effect", "single") for held in ("queued", "running")))
    assert sorted(int(one[0]) for one in effects(fleet, first, count)) == list(range(first, first + count))


def most_at_once(done: list[tuple[float, float, float, float]]) -> int:
    """Return how many ran at the same time at most."""
    return max(sum(other[2] <= one[2] < other[3] for other in done) for one in done)


def kill_while_it_works(fleet: Fleet, *, first: int, count: int, kills: int) -> None:
    """Kill the only process again and again, each time at a moment of its own."""
    chance = random.Random(count)
    fleet.serve()
    for lot in range(first, first + count, LOT):
        put(fleet, "many", number=lot, count=min(LOT, first + count - lot))
    for kill in range(kills):
        goal = chance.randrange(count * kill // kills, count * (kill + 1) // kills)
        wait_until_done(fleet, first, count, goal)
        threading.Event().wait(chance.random() / 20)
        fleet.nodes[0].kill()
        fleet.serve()
    assert_done_once(fleet, first, count)
