"""Rules over the hub's figures: what is too much for long enough is told once, to those who are to know, and resolved."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from luminai import AlertRule, Unavailable
from luminai.config.layers import Configuration, Layer
from luminai.config.problems import check_core
from luminai.telemetry.alert_rules import HUB_RULES, RuleSettings, apply, problems_of, promql
from luminai.telemetry.alerts import AlertBoard
from luminai.telemetry.dashboard import dashboard
from luminai.telemetry.figures import Counted, Measured, RequestFigures
from luminai.testing import FrozenClock, HubUnderTest, running_hub

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLUGIN = """
    from luminai import AlertRule, Metric, hookimpl

    class Plugin:
        @hookimpl
        def metrics(self):
            return [Metric(name="depth", kind="gauge", help="Depth.", labels=("pond",))]
        @hookimpl
        def alert_rules(self):
            return [AlertRule(name="deep", metric="depth", by=("pond",), above=5, hold=30, severity="critical", message="{group} is {value} deep.")]
"""


class Board:
    """A board with a clock, over figures that a test sets."""

    def __init__(self, *rules: AlertRule) -> None:
        self.board = AlertBoard({rule.name: rule for rule in rules})
        self.at = 0.0

    def look(self, *families: Any, after: float = 15) -> list[tuple[str, str]]:
        """Look ``after`` seconds later; return what changed."""
        self.at += after
        return [(one.id, one.state) for one in self.board.round([one.family() for one in families], NOW, self.at)]


def test_gauge__fires_after_its_time_and_is_resolved() -> None:
    queue = Counted("luminai_jobs", "Jobs.", ("state",), kind="gauge")
    board = Board(AlertRule(name="queue", metric="luminai_jobs", labels={"state": "queued"}, above=100, hold=60, message="{value} wait."))
    queue.put("queued", value=101)
    queue.put("parked", value=9999)
    assert board.look(queue) == []
    assert [one.state for one in board.board.open] == ["pending"]
    assert board.look(queue, after=30) == []
    assert board.look(queue, after=30) == [("queue", "firing")]
    assert board.look(queue) == [], "it is told once"
    assert board.board.open[0].message == "101 wait."
    queue.put("queued", value=100)
    assert board.look(queue) == [("queue", "resolved")]
    assert board.board.open == []
    assert [one.state for one in board.board.ended] == ["resolved"]


def test_pending__that_passes_is_never_told() -> None:
    depth = Counted("depth", "Depth.", kind="gauge")
    board = Board(AlertRule(name="deep", metric="depth", below=1, hold=60, message="Low."))
    depth.put(value=0.5)
    assert board.look(depth) == []
    depth.put(value=2)
    assert board.look(depth) == []
    depth.put(value=0.5)
    assert board.look(depth, after=50) == []
    assert board.look(depth, after=59) == [], "its time begins anew"


@pytest.mark.shows("LK-71", "LR-148", "TL-172a")
def test_error_rate__counts_what_came_within_the_window_only() -> None:
    requests = RequestFigures()
    board = Board(replace(next(rule for rule in HUB_RULES if rule.name == "error-rate"), name="errors", hold=0))

    def look(after: float = 15) -> list[tuple[str, str]]:
        board.at += after
        return [(one.id, one.state) for one in board.board.round(requests.families(), NOW, board.at)]

    def ask(plugin: str, good: int, bad: int) -> None:
        for status, times in ((200, good), (503, bad)):
            for _ in range(times):
                requests.note(plugin, "GET", "/r", status, 0.01)

    ask("old", 1000, 900)
    assert look() == [], "what was before the first look is not news"
    ask("few", 1, 1)
    ask("good", 199, 1)
    ask("bad", 98, 2)
    assert look() == [("errors:bad", "firing")]
    ask("bad", 400, 0)
    assert look() == [("errors:bad", "resolved")]
    ask("old", 0, 60)
    assert look(after=400) == [("errors:old", "firing")]
    assert look(after=400) == [("errors:old", "resolved")], "it lies back further than five minutes"


@pytest.mark.shows("TL-172b", "LR-147")
def test_quantile__of_the_window() -> None:
    times = Measured("luminai_request_seconds", "Times.", ("plugin",))
    board = Board(replace(next(rule for rule in HUB_RULES if rule.name == "slow"), hold=0))
    board.look(times)
    for _ in range(90):
        times.observe(0.01, "quick")
        times.observe(0.01, "slow")
    for _ in range(10):
        times.observe(0.9, "slow")
    assert board.look(times) == [("slow:slow", "firing")]


def test_counter__that_begins_anew_is_no_negative_growth() -> None:
    dead = Counted("dead", "Dead.")
    board = Board(AlertRule(name="dead", metric="dead", of="increase", above=2, hold=0, message="{value}"))
    dead.add(amount=10)
    assert board.look(dead) == []
    again = Counted("dead", "Dead.")
    again.add(amount=1)
    assert board.look(again) == []
    again.add(amount=2)
    assert board.look(again) == [("dead", "firing")]


@pytest.mark.shows("LK-69", "LK-70", "LK-72", "TL-172c")
def test_hub__watches_what_the_products_ask_for() -> None:
    limits = {rule.name: (rule.above, rule.below) for rule in HUB_RULES}
    assert problems_of(HUB_RULES) == []
    assert limits["jobs-fail"] == (0.05, None)
    assert limits["queue"] == (100, None)
    assert limits["error-rate"] == (0.01, None)
    assert limits["database-busy"] == limits["cpu"] == limits["memory"] == (0.8, None)
    assert limits["slow"] == limits["database-slow"] == (0.5, None)
    assert limits["refused-credentials"] == (300, None)


@pytest.mark.shows("LR-123d")
def test_operator__changes_turns_off_and_adds() -> None:
    known = {"hub.queue": AlertRule(name="queue", metric="luminai_jobs", above=100, message="Queue.")}
    found = apply(
        known,
        {
            "hub.queue": RuleSettings(below=5, severity="critical"),
            "own": RuleSettings(metric="luminai_ready", below=1, message="Not ready."),
            "chat.slow": RuleSettings(above=2),
        },
    )
    assert (found["hub.queue"].above, found["hub.queue"].below, found["hub.queue"].severity) == (None, 5, "critical")
    assert sorted(found) == ["hub.queue", "own"]
    assert apply(known, {"hub.queue": RuleSettings(enabled=False)}) == {}


def test_settings__that_make_no_sense_are_all_named_with_their_line(tmp_path: Path) -> None:
    rules = {"hub.nothing": {"above": 1}, "own": {"above": 1}, "bad": {"metric": "luminai_jobs", "message": "x", "above": 1, "below": 0, "over": 5}}
    channels = {"post": {"kind": "mail"}, "chat": {"kind": "webhook"}}
    layer = Layer("file", "config.toml", {"alerts": {"rules": rules, "channels": channels}}, {("alerts", "rules", "own"): 7}, {})
    problems = check_core(Configuration([layer], (), tmp_path))
    said = [(one.pointer, one.detail) for one in problems]
    assert ("alerts.rules", "hub.nothing: there is no such rule") in said
    assert ("alerts.rules", "own: metric or message is missing") in said
    assert ("alerts.rules", "bad: above goes alone: one of above and below") in said
    assert any(detail.startswith("bad: over is 5") for _, detail in said)
    assert {pointer for pointer, _ in said} >= {"alerts.channels.post.to", "alerts.channels.chat.url"}
    assert next(one.line for one in problems if one.detail.startswith("own")) == 7


class Ponds:
    """A hub with the plugin, a chat service that it posts to, and an operator."""

    def __init__(self, hub: HubUnderTest, clock: FrozenClock, server: asyncio.Server, taken: list[Any]) -> None:
        self.hub, self.clock, self.server, self.taken = hub, clock, server, taken
        self.operator = hub.client("hub:monitor", "hub:alerts", "hub:plugins", "hub:mail")

    def put(self, pond: str, depth: float) -> None:
        """Set the plugin's gauge."""
        self.hub.hub.generation.loaded("ponds").context.metrics.put("depth", depth, pond=pond)  # type: ignore[union-attr]

    async def look(self, seconds: float = 15) -> list[tuple[str, str]]:
        """Look so many seconds later, and return the plugin's alerts."""
        self.clock.advance(seconds)
        await self.hub.hub.alerts.round()
        await self.hub.hub.alerts.settle()
        return [(one["id"], one["state"]) for one in await self.items("alerts") if one["rule"].startswith("ponds.")]

    async def items(self, what: str) -> list[Any]:
        """Return a list of the operator's."""
        return list((await self.operator.request("GET", f"/api/admin/{what}")).json()["items"])

    async def letters(self) -> list[str]:
        """Return the titles of the plugin's letters, oldest first."""
        return [one["title"] for one in reversed(await self.items("mail?limit=100")) if "deep" in one["title"]]


@asynccontextmanager
async def chat_service(taken: list[Any]) -> AsyncIterator[tuple[asyncio.Server, str]]:
    """Serve a webhook that takes what comes."""

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        found = re.search(r"content-length: (\d+)", head)
        taken.append(json.loads(await reader.readexactly(int(found[1]) if found else 0)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(receive, "127.0.0.1", 0) as server:
        yield server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"


@pytest.fixture
def on_ponds(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what runs a test's coroutine on such a hub."""
    made = plugins.make("ponds", PLUGIN, provides='["metrics", "alert_rules"]')

    async def main(test: Callable[[Ponds], Awaitable[None]]) -> None:
        taken: list[Any] = []
        async with chat_service(taken) as (server, url):
            monkeypatch.setenv("CHAT_HOOK", url)
            mail = {"kind": "mail", "to": ["ops@example.org"]}
            alerts = {"channels": {"on-call": mail, "chat": {"kind": "webhook", "url": "env:CHAT_HOOK", "least": "critical"}}}
            clock = FrozenClock()
            async with running_hub("ponds", installed=[made], clock=clock, settings={"alerts": alerts}) as hub:
                assert hub.status("ponds").running, hub.status("ponds")
                await test(Ponds(hub, clock, server, taken))

    return lambda test: asyncio.run(main(test))


def test_alerts__reach_people_once_and_again_when_over(on_ponds: Any) -> None:
    async def test(ponds: Ponds) -> None:
        ponds.put("north", 7)
        assert await ponds.look() == [("ponds.deep:north", "pending")]
        assert await ponds.letters() == ponds.taken == []
        assert await ponds.look(40) == [("ponds.deep:north", "firing")]
        await ponds.look()
        assert await ponds.letters() == ["[critical] north is 7 deep."]
        assert [one["alert"]["id"] for one in ponds.taken] == ["ponds.deep:north"]
        assert ponds.taken[0]["text"].startswith("Critical: north is 7 deep.")
        assert "alert:ponds.deep:north" in {one["id"] for one in await ponds.items("repairs")}

        await ponds.hub.swap("ponds")
        ponds.put("north", 7)
        assert await ponds.look() == [("ponds.deep:north", "firing")], "a swap does not begin it anew"
        assert len(await ponds.letters()) == 1
        assert await ponds.look(240 * 60) == [("ponds.deep:north", "firing")]
        assert len(await ponds.letters()) == 2, "after four hours it is told again"

        ponds.put("north", 1)
        assert await ponds.look() == []
        assert (await ponds.letters())[-1] == "[critical] Over: north is 7 deep."
        assert [one["alert"]["state"] for one in ponds.taken] == ["firing", "firing", "resolved"]
        assert "resolved" in {one["state"] for one in await ponds.items("alerts?ended=true") if one["rule"] == "ponds.deep"}

    on_ponds(test)


@pytest.mark.shows("TL-172e")
def test_credentials__refused_in_numbers__are_told_to_people(on_ponds: Any) -> None:
    async def test(ponds: Ponds) -> None:
        async def guess(times: int) -> None:
            for count in range(times):
                stranger = ponds.hub.client(address=f"10.9.{count >> 8}.{count & 255}")
                answer = await stranger.request("GET", "/api/admin/alerts", headers={"authorization": f"Bearer lum_guess{count}"})
                assert answer.status == 401

        async def firing() -> list[str]:
            return [one["rule"] for one in await ponds.items("alerts") if one["rule"] == "hub.refused-credentials"]

        await guess(1)  # what was before the first look is not news
        await ponds.look()
        await guess(300)
        await ponds.look()
        assert await firing() == [], "three hundred are what mistypes and old clients come to"
        await guess(1)
        await ponds.look()
        assert await firing() == ["hub.refused-credentials"]
        assert [one["title"] for one in await ponds.items("mail?limit=100") if "credential" in one["title"]] == [
            "[warning] 301 requests within five minutes came without a credential that holds."
        ]
        await ponds.look(301)
        assert await firing() == []

    on_ponds(test)


def test_channels__are_tried_by_those_who_may_and_one_that_fails_is_an_item(on_ponds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(ponds: Ponds) -> None:
        ask = ponds.operator.request
        tried = (await ask("POST", "/api/admin/alerts/test", json={})).json()
        assert [(one["channel"], one["ok"]) for one in tried] == [("on-call", True), ("chat", True)]
        assert ponds.taken[-1]["alert"]["id"] == "test"
        missing = await ask("POST", "/api/admin/alerts/test", json={"channel": "none"})
        assert (missing.status, missing.json()["code"]) == (404, "alert-channel-not-found")
        assert (await ponds.hub.client("hub:monitor").request("POST", "/api/admin/alerts/test", json={})).status == 403
        assert (await ponds.hub.client().request("GET", "/api/admin/alerts")).status == 401

        ponds.server.close()
        monkeypatch.setattr("luminai.host.alerting.TRIES", (0.0, 0.0))
        ponds.put("south", 8)
        await ponds.look()
        await ponds.look(40)
        assert "alert-channel:chat" in {one["id"] for one in await ponds.items("repairs")}
        assert (await ask("POST", "/api/admin/alerts/test", json={"channel": "chat"})).json()[0]["ok"] is False

    on_ponds(test)


@pytest.mark.postgres
def test_two_processes__tell_once_what_fires_in_either_and_that_it_is_over_in_both(plugins: Any, tmp_path: Path, own_postgres_url: str) -> None:
    made = [plugins.make("ponds", PLUGIN, provides='["metrics", "alert_rules"]')]

    async def main() -> None:
        settings = {"alerts": {"channels": {"on-call": {"kind": "mail", "to": ["ops@example.org"]}}}}
        clock = FrozenClock()
        given: dict[str, Any] = {"settings": settings, "database_url": own_postgres_url, "clock": clock, "installed": made}

        async def look(seconds: float, *hubs: HubUnderTest) -> None:
            clock.advance(seconds)
            for hub in hubs:
                await hub.hub.nodes.report(revision=hub.hub.supervisor.revision, generation=1)
            await asyncio.gather(*(hub.hub.alerts.round() for hub in hubs))

        async def letters(hub: HubUnderTest) -> list[str]:
            items = (await hub.client("hub:mail").request("GET", "/api/admin/mail?limit=100")).json()["items"]
            return [item["title"] for item in reversed(items) if "deep" in item["title"]]

        async def listed(hub: HubUnderTest) -> list[tuple[str, str]]:
            items = (await hub.client("hub:monitor").request("GET", "/api/admin/alerts")).json()["items"]
            return [(item["id"], item["state"]) for item in items if item["rule"] == "ponds.deep"]

        def put(depth: float, *hubs: HubUnderTest) -> None:
            for hub in hubs:
                hub.hub.generation.loaded("ponds").context.metrics.put("depth", depth, pond="north")  # type: ignore[union-attr]

        fires, over = "[critical] north is 7 deep.", "[critical] Over: north is 7 deep."
        async with running_hub("ponds", folder=tmp_path, **given) as one:
            async with running_hub("ponds", folder=tmp_path, **given) as other:
                put(7, one, other)
                await look(0, one, other)
                await look(40, one, other)
                assert await letters(one) == [fires], "both see it, one tells it"
                put(1, one)
                await look(15, one, other)
                assert (await letters(one), await listed(one)) == ([fires], [("ponds.deep:north", "firing")]), "it goes on in the other"
                await look(239 * 60, one, other)
                assert len(await letters(one)) == 1
                await look(60, one, other)
                assert await letters(one) == [fires, fires], "after four hours since it was told"
                put(1, other)
                await look(15, one, other)
                assert (await letters(one), await listed(one)) == ([fires, fires, over], [])
                put(7, other)
                await look(15, one, other)
                await look(40, one, other)
                assert await letters(one) == [fires, fires, over, fires]
            await look(15, one)
            assert await letters(one) == [fires, fires, over, fires, over], "a process that is gone holds nothing"

            put(7, one)
            await look(15, one)
            await look(40, one)
            assert len(await letters(one)) == 6
        async with running_hub("ponds", folder=tmp_path, **given) as again:
            await look(15, again)
            assert await listed(again) == [("ponds.deep:north", "firing")]
            assert len(await letters(again)) == 6, "one that has only begun does not know that it is over"
            await look(400, again)
            assert (await letters(again))[6:] == [over]

    asyncio.run(main())


def test_database_away__webhooks_are_told_all_the_same(on_ponds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(ponds: Ponds) -> None:
        async def away(*_: Any) -> None:
            raise Unavailable("The database does not answer.")

        ponds.put("north", 7)
        await ponds.look()
        monkeypatch.setattr(ponds.hub.hub.alerts._record, "turn", away)
        await ponds.hub.hub.alerts.round()
        ponds.clock.advance(40)
        await ponds.hub.hub.alerts.round()
        await ponds.hub.hub.alerts.settle()
        assert [one["alert"]["id"] for one in ponds.taken] == ["ponds.deep:north"]
        assert "alert-channel:on-call" in {one["id"] for one in await ponds.items("repairs")}

    on_ponds(test)


def test_round__asks_the_health_checks_that_nobody_else_may_ask(world: Any) -> None:
    world.run(world.hub.hub.alerts.round())
    assert world.scrape()["luminai_health", frozenset({("plugin", "core"), ("check", "database")})] == 0


def test_rules__read_by_prometheus_say_the_same(world: Any) -> None:
    exported = world.ask("/api/admin/alerts/prometheus").json()["groups"][0]["rules"]
    rule = next(one for one in exported if one["alert"] == "LuminaiHubErrorRate")
    assert rule["expr"] == (
        'sum by (plugin) (increase(luminai_requests_total{status=~"5.."}[300s])) / sum by (plugin) (increase(luminai_requests_total[300s])) > 0.01'
        " and sum by (plugin) (increase(luminai_requests_total[300s])) >= 50"
    )
    assert rule["annotations"]["summary"] == "{{ $value }} of the requests of {{ $labels.plugin }} end in an error."
    assert promql(AlertRule(name="n", metric="m", labels={"a": 'x"y\\z'}, below=2, message="m")) == 'min (m{a="x\\"y\\\\z"}) < 2'
    names = {one["name"] for one in world.ask("/api/admin/alerts/rules?limit=100").json()["items"]}
    assert {f"hub.{rule.name}" for rule in HUB_RULES} <= names


def test_dashboard_and_rules__name_only_metrics_that_are_exported(world: Any) -> None:
    text = world.ask("/metrics").text
    known = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    asked += [promql(rule) for rule in HUB_RULES]
    for expr in asked:
        names = set(re.findall(r"\b(?:luminai|process)_[a-z0-9_]+", expr))
        assert names, expr
        for name in names:
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert name in known or base in known, f"{name} in {expr}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool of Prometheus is not installed")
def test_promtool__takes_rules_and_metrics(world: Any, tmp_path: Path) -> None:
    rules = tmp_path / "luminai.rules.yml"
    rules.write_text(world.ask("/api/admin/alerts/prometheus").text)
    checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    metrics = subprocess.run(["promtool", "check", "metrics"], input=world.ask("/metrics").text, capture_output=True, text=True, check=False)
    wrong = [line for line in (metrics.stdout + metrics.stderr).splitlines() if line.startswith("luminai_")]
    assert wrong == []
