"""Somebody at GitHub is told what was kept of theirs, and their login is taken out of it, of the hub's events too."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from luminai.testing import running_hub

KEY = "It's a Secret to Everybody"
WHO = "github:octo-cat"


def issue(number: int, login: str) -> bytes:
    item = {"number": number, "title": "Spelling", "html_url": f"https://github.com/a/b/issues/{number}"}
    return json.dumps({"action": "opened", "issue": item, "repository": {"full_name": "a/b"}, "sender": {"login": login}}).encode()


async def deliver(hub: Any, number: int, login: str) -> None:
    body = issue(number, login)
    headers = {
        "content-type": "application/json",
        "x-github-delivery": f"delivery-{number}",
        "x-github-event": "issues",
        "x-hub-signature-256": "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest(),
    }
    assert (await hub.client().request("POST", "/api/webhook/github", body=body, headers=headers)).status == 202
    await hub.hub.webhooks.settle()


def test_login__exported_and_erased__is_nowhere_and_others_stay(tmp_path: Path, own_database: str) -> None:
    (tmp_path / "secret").write_text(KEY)
    config = {"github": {"secrets": [f"file:{tmp_path / 'secret'}"]}}

    async def main() -> None:
        async with running_hub("github", config=config, folder=tmp_path, database_url=own_database) as hub:
            senders = ["Octo-Cat", "octo-cat", "octo-cat-2", "hubber"]
            for number, login in enumerate(senders, 1):
                await deliver(hub, number, login)
            clerk = hub.client("hub:privacy", "github:read")
            export = (await clerk.request("POST", f"/api/admin/privacy/{WHO}/export")).json()
            assert [item["data"]["happening"]["number"] for item in export["items"]] == [1, 2]
            assert {item["owner"] for item in export["items"]} == {"github"}
            planned = (await clerk.request("POST", f"/api/admin/privacy/{WHO}/erase", json={"dry_run": True})).json()
            assert planned["erased"] == {"github__deliveries": 2}
            done = (await clerk.request("POST", f"/api/admin/privacy/{WHO}/erase", json={"confirm": WHO})).json()
            assert done["erased"] == {"github__deliveries": 2, "core__events": 2}
            assert done["kept"] == {"github titles": "titles and names of repositories stay as GitHub published them"}
            items = (await clerk.request("GET", "/api/github/deliveries")).json()["items"]
            assert [item["happening"]["sender"] for item in items] == ["hubber", "octo-cat-2", "ghost", "ghost"]
            log = (await hub.client("hub:audit").request("GET", "/api/admin/audit?action=privacy.")).text
            assert log.count("plugin:github") == 2
            assert "octo" not in log.lower(), "the audit log would keep it for years"
            again = (await clerk.request("POST", f"/api/admin/privacy/{WHO}/export")).json()
            assert (again["items"], again["complete"]) == ([], True)

    asyncio.run(main())
