"""Processes come and go with the load: whoever watches the hub's own figures starts some more, and stops them when they are not needed any more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from luminai.testing.engine_probe import install
from luminai.testing.engine_suite import CONFIG, assert_done_once, effects, put
from luminai.testing.fleet import Fleet

MOST = 3
BUSY = 5
"""So many waiting jobs are one process more."""


def waiting(url: str, key: str) -> int:
    """Return how many jobs wait, as a process tells whoever scrapes it."""
    answer = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"}, timeout=20)
    found = re.search(r'^luminai_jobs\{state="queued"\} (\S+)$', answer.text, re.MULTILINE)
    assert found is not None, answer.text
    return int(float(found[1]))


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.shows("TL-03", "LK-62")
def test_processes__are_started_while_much_waits_and_stopped_after_it_and_their_logs_are_in_one_place(own_postgres_url: str, tmp_path: Path) -> None:
    install(tmp_path / "site")
    logs = tmp_path / "logs"
    config = f'{CONFIG}[database]\nurl = "{own_postgres_url}"\n[jobs]\nslots = 2\n[log]\nfolder = "{logs}"\n'
    fleet = Fleet(tmp_path / "home", config, search=(tmp_path / "site",))
    try:
        (first,) = fleet.serve()
        key = fleet.send("POST", "/api/keys", {"name": "scraper", "scopes": ["hub:monitor"]})["key"]
        count = 0
        while len(fleet.nodes) < MOST:
            put(fleet, "many", number=count, count=100, seconds=0.2)
            count += 100
            fleet.wait_for(lambda: waiting(first.url, key) > BUSY)  # a process believes its figure for ten seconds
            fleet.serve(len(fleet.nodes) + 1)
        put(fleet, "many", number=count, count=60, seconds=0.2)
        assert_done_once(fleet, 0, count + 60)
        workers = {int(one[1]) for one in effects(fleet, 0, count + 60)}
        fleet.wait_for(lambda: waiting(first.url, key) == 0)
        assert fleet.serve(1) == [first]
        put(fleet, "many", number=10_000, count=5)
        assert_done_once(fleet, 10_000, 5)
    finally:
        fleet.close()
    assert len(workers) == MOST, "those that came took their share"
    lines = [json.loads(line) for file in logs.glob("hub-*.jsonl") for line in file.read_text().splitlines()]
    done = [line for line in lines if line["event"] == "job" and line["action"] == "probe.effect" and line["outcome"] == "succeeded"]
    assert (len(done), len({line["worker"] for line in done})) == (count + 65, MOST), "each attempt of each process is one whole line"
