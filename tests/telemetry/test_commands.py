"""The commands for those who watch over the hub, against a served one; and a key that may only scrape."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any


def test_commands__tell_timings_alerts_rules_and_a_dashboard(served: Any) -> None:
    served.data("status")
    timings = served.data("metrics", "timings", "--metric", "request")
    assert any(one["labels"] == {"plugin": "core"} and one["p50_ms"] <= one["p99_ms"] for one in timings)
    assert served.run("alerts", "list").returncode == 0
    assert {"hub.error-rate", "resonance.slow"} <= {one["name"] for one in served.data("alerts", "rules")}
    assert served.data("alerts", "prometheus")["groups"][0]["rules"]
    assert served.data("metrics", "dashboard")["title"] == "LuminAI Hub"
    assert served.data("alerts", "test") == []
    assert served.refusal("alerts", "test", "nobody")[1] == "alert-channel-not-found"


def test_scraper__has_a_key_for_metrics_and_nothing_else(served: Any) -> None:
    key = served.data("keys", "create", "--name", "prometheus", "--scope", "hub:monitor")["key"]
    url = served.env["LUMINAI_URL"]

    def ask(path: str, **headers: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{url}{path}", headers=headers)) as answer:  # noqa: S310 - our own hub
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, text = ask("/metrics", authorization=f"Bearer {key}")
    assert status == 200
    assert "luminai_loop_lag_seconds_count" in text
    assert ask("/metrics")[0] == 401
    refused = ask("/api/admin/plugins", authorization=f"Bearer {key}")
    assert (refused[0], json.loads(refused[1])["code"]) == (403, "missing-scope")
    assert key not in text


def test_health__answers_anybody(served: Any) -> None:
    with urllib.request.urlopen(f"{served.env['LUMINAI_URL']}/health") as answer:  # noqa: S310 - our own hub
        assert json.loads(answer.read())["status"] in ("ok", "degraded")
