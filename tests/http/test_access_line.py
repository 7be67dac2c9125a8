"""Every request leaves one line: when, who, what, how it ended, and R where there is one."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from luminai.config.layers import Configuration, Layer
from luminai.host.hub import Hub
from luminai.telemetry.access import AccessLog
from luminai.testing.harness import HubUnderTest

CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat")


@pytest.mark.shows("LR-130")
def test_every_request__is_logged_with_time_user_endpoint_status_and_resonance(tmp_path: Path) -> None:
    async def work() -> tuple[list[Any], dict[str, Any]]:
        written = io.StringIO()
        sections = {name: {"enabled": True, "approve": ["anonymous-routes"]} for name in CHAT}
        config = Configuration([Layer("file", "config.toml", {"plugins": sections, "identity": {"registration": "open"}}, {}, {})], (), tmp_path)
        log = AccessLog(written, as_json=True)
        hub = Hub(config, access_log=log)
        await hub.start()
        client = HubUnderTest(hub).client()
        account = {"email": "ada@example.org", "password": "nine wooden ladders"}
        await client.request("POST", "/api/auth/register", json=account)
        signed = (await client.request("POST", "/api/auth/login", json={**account, "cookie": False})).json()
        token = {"authorization": f"Bearer {signed['access_token']}"}
        answer = (await client.request("POST", "/api/chat", json={"message": "What is light?"}, headers=token)).json()
        await client.request("GET", "/api/sessions", headers=token)
        await client.request("GET", "/api/sessions")
        await client.request("GET", "/api/nowhere?secret=1")
        await client.request("DELETE", "/api/status")
        await hub.stop()
        return [json.loads(line) for line in written.getvalue().splitlines()], {"signed": signed, "R": answer["R"]}

    lines, known = asyncio.run(work())
    person, session = known["signed"]["person"]["id"], known["signed"]["session"]
    assert [(one["method"], one["path"], one["status"], one["subject"], one["actor"]) for one in lines] == [
        ("POST", "/api/auth/register", 202, "", ""),
        ("POST", "/api/auth/login", 200, "", ""),
        ("POST", "/api/chat", 200, person, session),
        ("GET", "/api/sessions", 200, person, session),
        ("GET", "/api/sessions", 401, "", ""),
        ("GET", "/api/nowhere", 404, "", ""),
        ("DELETE", "/api/status", 405, "", ""),
    ]
    assert [one.get("R") for one in lines] == [None, None, known["R"], None, None, None, None]
    assert all(datetime.fromisoformat(one["at"]).tzinfo is not None for one in lines)
