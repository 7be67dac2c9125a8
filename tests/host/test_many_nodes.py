"""Several processes behind a proxy are one hub: what is done at one holds at all, things happen once, and one that is killed takes nothing along."""

from __future__ import annotations

import re
import signal
import string
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from engines import _database
from http_rooms import events, hear, subscribe
from many_nodes import PATIENCE, TEMPLATE, Fleet, Node, serving_fleet, until
from websockets.sync.client import connect

from luminai.config.environment import read_environment
from luminai.config.layers import Configuration, Layer
from luminai.config.problems import check_core

pytestmark = pytest.mark.postgres
PASSWORD = "nine wooden ladders"
KNOWN_WITHIN = 5.0


@pytest.fixture(scope="module")
def fleet(_migrated: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Return two processes that answer and one that works."""
    with _database(_migrated) as url, serving_fleet(tmp_path_factory.mktemp("fleet"), url, redis_url, webs=2, workers=1) as found:
        yield found


def is_one_hub(fleet: Fleet) -> None:
    """Look at all that must hold wherever it is asked."""
    people(fleet)
    rooms(fleet)
    caches(fleet)
    generations(fleet)


def people(fleet: Fleet) -> None:
    """Sign in at one, be known at each, sign out at another."""
    first, *others = (node.url for node in fleet.webs)
    given = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
    assert httpx.post(f"{first}/api/auth/register", json=given, timeout=30).status_code in (200, 202)
    signed = httpx.post(f"{fleet.url}/api/auth/login", json={**given, "cookie": False}, timeout=30).json()
    token = signed["access_token"]
    for url in (fleet.url, first, *others):
        assert fleet.ask("GET", "/api/auth/verify", url=url, key=token).json()["subject"]
    for url in (first, *others):
        signed = httpx.post(f"{url}/api/auth/refresh", json={"refresh_token": signed["refresh_token"]}, timeout=30).json()
        assert signed["session"], "the session goes on wherever it is renewed"
    made = fleet.home.data("keys", "create", "--name", "short", "--scope", "town:run")
    for url in (first, *others):
        assert fleet.ask("GET", "/api/town/process", url=url, key=made["key"]).status_code == 200
    fleet.home.run("keys", "revoke", made["id"])
    revoked = time.monotonic()
    assert fleet.ask("POST", "/api/auth/logout", {}, url=first, key=token).status_code == 204
    signed_out = time.monotonic()
    for url in others:
        gone(fleet, made["key"], "/api/town/process", url, revoked)
        gone(fleet, token, "/api/auth/verify", url, signed_out)


def gone(fleet: Fleet, credential: str, path: str, url: str, revoked: float) -> None:
    """Ask until a credential is refused; asked for later than the bar, it may not pass."""
    while True:
        asked = time.monotonic()
        if fleet.ask("GET", path, url=url, key=credential).status_code == 401:
            break
        assert asked - revoked <= KNOWN_WITHIN, "it still holds"


def limits(fleet: Fleet) -> None:
    """Ask more often than is allowed, of all at once: exactly as many pass as may."""
    made = fleet.home.data("keys", "create", "--name", "narrow", "--scope", "town:run")
    urls = [fleet.url, *(node.url for node in fleet.webs)]
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda number: fleet.ask("GET", "/api/town/narrow", url=urls[number % len(urls)], key=made["key"]).status_code, range(30))
        assert Counter(answers) == {200: 20, 429: 10}


def rooms(fleet: Fleet) -> None:
    """Say something by the proxy; it is heard at each process, and by a socket through the proxy."""
    bearer = {"Authorization": f"Bearer {fleet.key}"}
    with (
        connect(f"{fleet.url}/ws".replace("http", "ws", 1), additional_headers=bearer, compression=None) as socket,
        httpx.stream("GET", f"{fleet.webs[0].url}/api/live?room=town.hall.notes", headers=bearer, timeout=30) as here,
        httpx.stream("GET", f"{fleet.url}/api/live?room=town.hall.notes", headers=bearer, timeout=30) as proxied,
        httpx.stream("GET", f"{fleet.webs[-1].url}/api/live?room=town.hall.notes", headers=bearer, timeout=30) as there,
    ):
        subscribe(socket, "town.hall.notes")
        streams = [events(answer.iter_lines()) for answer in (here, proxied, there)]
        assert [next(stream)[1] for stream in streams] == ["joined"] * 3
        number = int(fleet.rows("SELECT coalesce(max(number), -1) + 1 FROM town__effects")[0][0])
        for more in range(4):
            fleet.insist("/api/town/note", {"number": number + more})
        wanted = [number + more for more in range(4)]
        for stream in streams:
            assert [next(stream)[2]["number"] for _ in wanted] == wanted
        assert [hear(socket)["data"]["number"] for _ in wanted] == wanted


def caches(fleet: Fleet) -> None:
    """Change what all have cached, at each in turn."""
    for number, node in enumerate(fleet.webs):
        word = f"{uuid4().hex}{number}"
        assert fleet.ask("PUT", f"/api/town/word?word={word}", url=node.url).status_code == 200
        assert {fleet.ask("GET", "/api/town/word", url=each.url).text for each in fleet.webs} == {word}


def generations(fleet: Fleet) -> None:
    """Turn a plugin off and on by the proxy: after the answer it is so everywhere."""
    wish = "/api/admin/plugins/town/desired"
    for enabled, status in ((False, 503), (True, 200)):
        done = fleet.ask("PUT", wish, {"enabled": enabled}, Prefer="wait=30")
        assert (done.status_code, done.headers["preference-applied"]) == (200, "wait=30"), done.text
        assert {fleet.ask("GET", "/api/town/process", url=node.url).status_code for node in fleet.webs} == {status}
    state = fleet.ask("GET", "/api/admin/generations").json()
    assert (state["converged"], len(state["nodes"])) == (True, len(fleet.webs) + len(fleet.workers))


def nothing_lost_or_doubled(fleet: Fleet) -> None:
    """Wait until all jobs are done, and compare requests, jobs and moments of the schedule with what they left."""
    until(lambda: not fleet.rows("SELECT 1 FROM core__jobs WHERE action = 'echo' AND state NOT IN ('succeeded', 'dead')"), 120)
    assert fleet.rows("SELECT state, count(*) FROM core__jobs WHERE action = 'echo' GROUP BY state") == fleet.rows(
        "SELECT 'succeeded', max(number) + 1 FROM town__effects"
    )
    found = fleet.rows("SELECT what, count(*), count(DISTINCT number), max(number) + 1 FROM town__effects GROUP BY what ORDER BY what")
    assert [row[0] for row in found] == ["job", "request"]
    assert len({count for row in found for count in row[1:]}) == 1, found


def fires_once(fleet: Fleet) -> None:
    """Look at the moments of the schedule so far: one job each."""
    moments = [once.rpartition(":")[2] for (once,) in fleet.rows("SELECT once FROM core__jobs WHERE action = 'tick' ORDER BY once")]
    assert len(moments) == len(set(moments)) >= 3


@pytest.mark.shows("TL-12")
def test_processes__are_one_hub(fleet: Fleet) -> None:
    limits(fleet)
    is_one_hub(fleet)
    until(lambda: fleet.rows("SELECT 1 FROM core__jobs WHERE action = 'tick' OFFSET 2"))
    fires_once(fleet)


@pytest.mark.shows("PX-02")
def test_process_killed_under_load__loses_nothing_and_nothing_happens_twice(fleet: Fleet) -> None:
    victim = fleet.webs[0]
    _, looks = fleet.work_under(lambda: victim.end(signal.SIGKILL), count=60)
    assert Counter(looks) == {200: 60}, "what is safe to repeat, nginx repeats"
    nothing_lost_or_doubled(fleet)
    begin_again(fleet, [victim])
    until(lambda: fleet.ask("GET", "/api/town/process").json() == victim.process.pid)
    _, looks = fleet.work_under(fleet.webs[1].end, count=30)
    assert Counter(looks) == {200: 30}, "one that is told to stop ends what it has begun"
    nothing_lost_or_doubled(fleet)
    begin_again(fleet, [fleet.webs[1]])
    caches(fleet)


def begin_again(fleet: Fleet, nodes: Sequence[Node]) -> None:
    """Start what was ended, all at once. Kills from outside are no bad starts."""
    for path in (fleet.home.folder / "data").glob("starts*.json"):
        path.unlink()
    for node in nodes:
        node.begin()
    for node in nodes:
        node.ready()


@pytest.mark.crash
def test_four_processes_of_which_every_one_is_killed__lose_nothing(own_postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    with serving_fleet(tmp_path, own_postgres_url, redis_url, webs=2, workers=2) as fleet:
        limits(fleet)
        is_one_hub(fleet)
        for pair in zip(fleet.webs, fleet.workers, strict=True):
            for how in (signal.SIGKILL, signal.SIGTERM):
                _, looks = fleet.work_under(partial(end_all, pair, how), count=300)
                assert Counter(looks) == {200: 300}
                begin_again(fleet, pair)
                until(lambda web=pair[0]: fleet.ask("GET", "/api/town/process").json() == web.process.pid)
        nothing_lost_or_doubled(fleet)
        is_one_hub(fleet)
        fires_once(fleet)


def end_all(nodes: Sequence[Node], how: signal.Signals) -> None:
    """End processes at the same time."""
    for node in nodes:
        node.process.send_signal(how)
    for node in nodes:
        node.process.wait(PATIENCE)


def test_compose__names_settings_that_there_are_and_fills_in_the_same_template() -> None:
    text = re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", (TEMPLATE.parent / "compose.yaml").read_text())  # as if nothing else were set
    given = yaml.safe_load(text)["services"]
    hubs = {name: one for name, one in given.items() if one.get("image") == "luminai-hub"}
    assert [one["command"] for one in hubs.values()] == [["--role", "web"], ["--role", "web"], ["--role", "worker"]]
    for one in hubs.values():
        found, problems = read_environment(one["environment"])
        assert problems == []
        table: dict[str, Any] = {}
        for path, (value, _) in found.items():
            table.setdefault(path[0], {})[path[1]] = value
        assert check_core(Configuration([Layer("environment", "compose.yaml", table, {}, {})], (), TEMPLATE.parent)) == []
    named = {found["braced"] for found in string.Template.pattern.finditer(TEMPLATE.read_text()) if found["braced"]}
    assert named <= given["nginx"]["environment"].keys()
    assert all(f"server {name}:8000 " in given["nginx"]["environment"]["LUMINAI_SERVERS"] for name in hubs if name.startswith("web"))
