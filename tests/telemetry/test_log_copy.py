"""A second copy of the log lies outside: requests, the hub's own lines and what the audit log sealed, a file a day, for 30 days."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from home import serving

from luminai.config.layers import Configuration, Layer
from luminai.host.hub import Hub
from luminai.telemetry.access import AccessLog
from luminai.telemetry.log_copy import LogCopy
from luminai.testing.harness import HubUnderTest

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def lines_in(folder: Path) -> list[Any]:
    return [json.loads(line) for path in sorted(folder.glob("hub-*.jsonl")) for line in path.read_text().splitlines()]


@pytest.mark.shows("LR-132")
def test_copy__has_a_file_a_day_and_those_of_thirty_days(tmp_path: Path) -> None:
    time = [DAY.timestamp()]
    copy = LogCopy(tmp_path, keep_days=30, seconds=lambda: time[0])
    (tmp_path / "notes.jsonl").write_text("mine")
    for _ in range(40):
        copy.put({"event": "x"})
        time[0] += 86_400
    copy.close()
    names = sorted(path.name for path in tmp_path.glob("hub-*"))
    assert (len(names), names[-1]) == (30, f"hub-{date(2026, 3, 1) + timedelta(days=39)}.jsonl")
    assert (tmp_path / "notes.jsonl").exists()


def test_copy__of_several_writers__has_every_line_whole(tmp_path: Path) -> None:
    copies = [LogCopy(tmp_path, keep_days=1) for _ in range(4)]
    threads = [threading.Thread(target=lambda copy=copy: [copy.put({"event": "x" * 5000}) for _ in range(50)]) for copy in copies]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [len(line["event"]) for line in lines_in(tmp_path)] == [5000] * 200


def test_copy__that_cannot_be_written__is_told_and_goes_on_when_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    folder.write_text("no folder")
    copy = LogCopy(folder, keep_days=1)
    copy.put({"event": "lost"})
    told = asyncio.run(copy.check())
    assert "1 lines are lost" in told.reason
    folder.unlink()
    copy.put({"event": "kept"})
    assert asyncio.run(copy.check()).reason == ""
    assert [one["event"] for one in lines_in(folder)] == ["kept"]


def test_copy__has_requests_and_what_the_audit_log_sealed(tmp_path: Path) -> None:
    async def work() -> None:
        config = Configuration([Layer("file", "config.toml", {}, {}, {})], (), tmp_path)
        copy = LogCopy(tmp_path / "outside", keep_days=30)
        hub = Hub(config, access_log=AccessLog(io.StringIO(), as_json=False, copy=copy))
        await hub.start()
        made = await HubUnderTest(hub).client("*").request("POST", "/api/keys", json={"name": "one", "scopes": ["hub:keys"]})
        assert made.status == 201
        await hub.sealer.seal()
        await hub.stop()
        written = (tmp_path / "outside").glob("hub-*")
        assert made.json()["key"] not in "".join(path.read_text() for path in written)

    asyncio.run(work())
    found = lines_in(tmp_path / "outside")
    assert [(one["path"], one["status"]) for one in found if one["event"] == "request"] == [("/api/keys", 201)]
    assert [one["action"] for one in found if one["event"] == "audit"].count("key.create") == 1


def test_served_hub__writes_its_own_lines_there_too(tmp_path: Path) -> None:
    with serving(tmp_path / "home", config='[log]\nfolder = "outside"\n') as home:
        home.data("status")
    events = {one["event"] for one in lines_in(tmp_path / "home" / "outside")}
    assert "request" in events
    assert len(events) > 1
