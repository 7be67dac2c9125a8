"""What the hub measures, read by Prometheus' own parser: bounded, by route template, for those who may see it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from luminai import Metric
from luminai.telemetry.figures import MAX_ROUTES, Counted, Measured, RequestFigures, quantile
from luminai.telemetry.own_figures import BadMetrics, OwnFigures
from luminai.testing import FrozenClock, running_hub


def sample(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.mark.shows("LK-67", "LR-142", "LK-73", "PX-84", "PX-90", "LW-77", "TL-171")
def test_requests__are_measured_by_template_never_by_path(world: Any) -> None:
    anonymous = world.hub.client()
    for name in ("apple", "pear", "fig", "broken"):
        world.ask(f"/api/watched/items/{name}", client=anonymous)
    for number in range(20):
        world.ask(f"/api/watched/none/{number}", client=anonymous)
        world.ask(f"/nowhere/{number}", client=anonymous)
    found = world.scrape()
    route = {"plugin": "watched", "method": "GET", "route": "/api/watched/items/{item}"}
    assert sample(found, "luminai_requests_total", **route, status="200") == 3
    assert sample(found, "luminai_requests_total", **route, status="500") == 1
    assert sample(found, "luminai_request_seconds_count", **route) == sample(found, "luminai_request_seconds_bucket", **route, le="+Inf") == 4
    assert 0 < sample(found, "luminai_request_seconds_sum", **route) < 60
    routes = {dict(labels)["route"] for name, labels in found if name == "luminai_requests_total" and "route" in dict(labels)}
    assert not any("apple" in one or "nowhere" in one for one in routes), routes
    assert sample(found, "luminai_requests_total", plugin="watched", method="GET", route="(none)", status="404") == 20


@pytest.mark.shows("PX-86")
def test_machine__tells_processor_memory_disk_and_network(world: Any) -> None:
    found = world.scrape()
    for name in ("luminai_machine_cpu_share", "luminai_machine_memory_share", "luminai_disk_free_share"):
        assert 0 <= sample(found, name) <= 1, name
    for direction in ("in", "out"):
        assert sample(found, "luminai_machine_network_bytes_total", direction=direction) >= 0
    assert sample(found, "luminai_process_disk_bytes_total", direction="write") >= 0


@pytest.mark.shows("LK-65", "LK-66", "LK-68", "LR-144")
def test_gauges__tell_pool_queues_process_and_streams(world: Any) -> None:
    runner = world.hub.client("watched:run", subject="usr_a")
    assert world.ask("/api/actions/watched.work", "POST", runner, json={}, headers={"prefer": "wait=20"}).json()["state"] == "succeeded"
    world.ask("/api/actions/watched.work", "POST", runner, json={"fails": True}, headers={"prefer": "wait=20"})
    world.ask("/api/actions/watched.work?run_at=2030-01-01T00:00:00Z", "POST", runner, json={})
    world.clock.advance(11)  # how long queues are is asked at most every ten seconds
    found = world.scrape()
    action = {"plugin": "watched", "action": "work"}
    assert sample(found, "luminai_job_attempts_total", **action, outcome="succeeded") == 1
    assert sample(found, "luminai_job_attempts_total", **action, outcome="dead") == 1
    assert sample(found, "luminai_job_seconds_count", **action) == sample(found, "luminai_job_wait_seconds_count", **action) == 2
    assert sample(found, "luminai_jobs", state="scheduled") == 1
    assert sample(found, "luminai_jobs", state="queued") == sample(found, "luminai_jobs_oldest_seconds") == 0
    assert sample(found, "luminai_database_connections", state="free") > 0
    assert sample(found, "luminai_database_seconds_count", kind="write") > 0
    for name in ("process_resident_memory_bytes", "process_open_fds", "luminai_process_threads", "luminai_generation", "luminai_job_slots"):
        assert sample(found, name) > 0, name
    for name in ("luminai_streams_open",):
        assert {sample(found, name, kind=kind) for kind in ("sse", "socket")} == {0}
    for name in ("luminai_process_memory_share", "luminai_disk_free_share", "luminai_database_in_use_share"):
        assert 0 <= sample(found, name) <= 1, name


def test_plugins__own_metrics_carry_its_name(world: Any) -> None:
    before = world.scrape().get(("luminai_plugin_watched_words_total", frozenset({("kind", "blue")})), 0)
    world.ask("/api/watched/items/blue")
    found = world.scrape()
    assert sample(found, "luminai_plugin_watched_words_total", kind="blue") == before + 2
    assert sample(found, "luminai_plugin_watched_depth") == 7
    assert sample(found, "luminai_plugin_watched_turn_seconds_bucket", le="0.1") == 0
    assert sample(found, "luminai_plugin_watched_turn_seconds_bucket", le="1.0") > 0


def test_metrics__are_for_those_who_may_see_them_also_on_this_machine(world: Any) -> None:
    assert world.ask("/metrics", client=world.hub.client()).status == 401
    assert world.ask("/metrics", client=world.hub.client("chat:read")).json()["code"] == "missing-scope"
    answer = world.ask("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in openmetrics(answer.text)} > {"luminai_requests", "luminai_request_seconds"}


def test_timings__tell_quantiles_without_a_prometheus(world: Any) -> None:
    world.ask("/api/watched/items/green")
    rows = world.ask("/api/admin/timings").json()
    whole = next(one for one in rows if one["metric"] == "request" and one["labels"] == {"plugin": "watched"})
    assert 0 < whole["p50_ms"] <= whole["p95_ms"] <= whole["p99_ms"] <= 30_000
    assert whole["count"] >= 1


def test_jobs__leave_one_line_each(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    runner = world.hub.client("watched:run", subject="usr_b")
    with caplog.at_level(logging.INFO, "luminai.jobs"):
        job = world.ask("/api/actions/watched.work", "POST", runner, json={"fails": True}, headers={"prefer": "wait=20"}).json()
    (line,) = [record for record in caplog.records if record.getMessage() == "job"]
    told = {name: getattr(line, name) for name in ("job", "plugin", "action", "attempt", "outcome", "code", "trigger", "subject", "generation")}
    assert told == {
        "job": job["id"],
        "plugin": "watched",
        "action": "watched.work",
        "attempt": 1,
        "outcome": "dead",
        "code": "watched.no",
        "trigger": "http",
        "subject": "usr_b",
        "generation": 1,
    }
    assert line.ms >= 0
    assert line.waited_ms >= 0


@pytest.mark.shows("PX-88", "PX-89", "LW-80", "TL-93")
def test_health__tells_anybody_whether_and_the_operator_what(world: Any) -> None:
    assert world.ask("/health", client=world.hub.client()).json() in ({"status": "ok"}, {"status": "degraded"})
    assert world.ask("/health/detailed", client=world.hub.client()).status == 401
    detailed = world.ask("/health/detailed").json()
    assert detailed["ready"] is True
    assert [one["id"] for one in detailed["plugins"]][:2] == ["core", "watched"]
    assert {(one["plugin"], one["name"]) for one in detailed["checks"]} >= {("core", "mail"), ("core", "database")}


def test_series__are_bounded_whatever_comes() -> None:
    figures, counted, measured = RequestFigures(), Counted("a", "A.", ("x",), most=10), Measured("b", "B.", ("x",), most=10)
    for number in range(MAX_ROUTES + 50):
        figures.note("p", f"M{number}", f"/r/{number}", 200, 0.1)
        counted.add(str(number))
        measured.observe(1.0, str(number))
    assert len(figures.families()[0].rows) <= MAX_ROUTES + 1
    assert len(counted.rows) == len(measured.rows) == 11
    assert counted.rows["(other)",] == MAX_ROUTES + 40
    assert sum(row.count for row in measured.rows.values()) == MAX_ROUTES + 50


def test_quantile__is_prometheus_histogram_quantile() -> None:
    assert quantile([0, 0], (1.0,), 0.5) is None
    assert quantile([10, 10, 0], (1.0, 2.0), 0.5) == 1.0
    assert quantile([0, 10, 0], (1.0, 2.0), 0.5) == 1.5
    assert quantile([0, 0, 5], (1.0, 2.0), 0.99) == 2.0


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"name": "Bad"}, "name"),
        ({"name": "a_bucket"}, "name"),
        ({"labels": ("le",)}, "le"),
        ({"labels": ("a", "b", "c", "d", "e")}, "labels"),
        ({"buckets": (2.0, 1.0)}, "buckets"),
        ({"help": " "}, "help"),
    ],
)
def test_declaration__that_nobody_could_read__is_refused(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(BadMetrics) as refused:
        OwnFigures("made").declare([Metric(**{"name": "good", "kind": "counter", "help": "Good.", **wrong})])
    assert word in refused.value.errors[0].detail


def test_count__of_what_was_not_declared__tells_the_author() -> None:
    own = OwnFigures("made")
    own.declare([Metric(name="words", kind="counter", help="Words.", labels=("kind",))])
    with pytest.raises(LookupError, match="no metric 'turns'"):
        own.count("turns")
    with pytest.raises(TypeError, match="is a counter"):
        own.put("words", 1, kind="x")
    with pytest.raises(ValueError, match="labels kind"):
        own.count("words", of="x")
    with pytest.raises(ValueError, match="only rises"):
        own.count("words", -1, kind="x")


def test_health__of_a_plugin_follows_the_operators_limits(plugins: Any) -> None:
    code = """
        import asyncio
        from litestar import get
        from litestar.params import FromPath
        from luminai import Health, HealthCheck, HealthState, Unavailable, hookimpl, policy
        class Plugin:
            @hookimpl
            def routes(self, ctx):
                @get("/api/frail/{how:str}", opt=policy(anonymous=True))
                async def ask(how: FromPath[str]) -> str:
                    if how == "bad":
                        raise Unavailable("No.")
                    return how
                return [ask]
            @hookimpl
            def health_checks(self, ctx):
                async def check():
                    await asyncio.Event().wait()
                return [HealthCheck(name="slow", check=check, timeout=30)]
    """
    made = plugins.make("frail", code, provides='["routes", "health_checks"]')
    limits = {"degraded-errors": 0.1, "failing-errors": 0.5, "at-least": 10, "timeout-seconds": 0.1}

    async def main() -> None:
        clock = FrozenClock()
        async with running_hub("frail", installed=[made], clock=clock, settings={"plugins": {"frail": {"health": limits}}}) as hub:

            async def judged(good: int, bad: int) -> dict[str, str]:
                for how, times in (("good", good), ("bad", bad)):
                    for _ in range(times):
                        await hub.client().request("GET", f"/api/frail/{how}")
                clock.advance(11)
                checks = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()["checks"]
                return {one["name"]: one["state"] for one in checks if one["plugin"] == "frail"}

            assert await judged(0, 0) == {"slow": "failing", "requests": "ok"}
            assert (await judged(5, 4))["requests"] == "ok", "too few to judge"
            assert (await judged(20, 0))["requests"] == "degraded"
            assert (await judged(0, 40))["requests"] == "failing"
            clock.advance(400)
            assert (await judged(20, 0))["requests"] == "ok"

    asyncio.run(main())
