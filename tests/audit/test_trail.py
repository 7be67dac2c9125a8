"""The trail of all that is done: each request that may change something, whatever its plugin records by itself."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest

from luminai.testing import running_hub

PLUGINS = ("personas", "resonance", "knowledge", "ai-offline", "chat", "storage-local", "ledger", "credits", "mail", "ai-gateway")
ENTRIES = "/api/admin/audit?action=access.request&limit=100"


async def work(settings: dict[str, Any]) -> tuple[Counter[tuple[str, int]], dict[tuple[str, int], Any]]:
    """Ask every route of the document that may change something, with what hardly fits; return the answers, and the entries by request and status."""
    async with running_hub(*PLUGINS, settings=settings) as hub:
        operator = hub.client("*", subject="ada")
        document = (await operator.request("GET", "/openapi.json")).json()
        asked: Counter[tuple[str, int]] = Counter()
        for path, methods in document["paths"].items():
            for method in sorted({"post", "put", "patch", "delete"} & set(methods)):
                where = re.sub(r"\{[^}]*\}", "nothing", path)
                for _ in range(2 if where == "/api/chat" else 1):
                    answer = await operator.request(method.upper(), where, json=[])
                    asked[f"{method.upper()} {where}", answer.status] += 1
        await hub.hub.audit.record_noted()
        found = {}
        page = ENTRIES
        while page:
            told = (await operator.request("GET", page)).json()
            found |= {(item["object"], int(item["detail"]["code"])): item for item in told["items"]}
            page = f"{ENTRIES}&cursor={told['next_cursor']}" if told["next_cursor"] else ""
        return asked, found


@pytest.mark.shows("TL-123")
def test_every_request__may_change_something__is_in_the_trail_with_who_and_how_it_ended() -> None:
    asked, found = asyncio.run(work({"audit": {"every-request": True}}))

    assert len(asked) > 80
    assert set(found) == set(asked)
    for (what, status), times in asked.items():
        item = found[what, status]
        outcome = "ok" if status < 400 else "denied" if status in (401, 403) else "failed"
        assert (item["actor_subject"], item["outcome"]) == ("ada", outcome), what
        assert item["detail"] == {"code": str(status), "times": times}, what
    assert asked["POST /api/chat", 400] == 2
    assert {"ok", "denied", "failed"} == {item["outcome"] for item in found.values()}


def test_trail__not_asked_for__is_not_kept() -> None:
    _, found = asyncio.run(work({}))
    assert found == {}
