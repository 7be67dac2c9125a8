"""Conversations are sealed at rest: new ones, those of an earlier release, and those of somebody whose key is gone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from luminai.data.database import open_database
from luminai.data.migrations import MigrationSource, core_source, upgrade
from luminai.telemetry.clock import SystemClock
from luminai.testing import HubUnderTest, postgres, running_hub
from luminai_chat.models import metadata

BASE = ("personas", "resonance", "knowledge", "ai-offline", "chat")
VERSIONS = Path(__file__).parents[1] / "src" / "luminai_chat" / "migrations" / "versions"
OLD_MESSAGES = 250
SESSION = "ses_" + "1" * 32


async def rows(hub: HubUnderTest, query: str) -> list[Any]:
    return await hub.hub.database.read(lambda session: list(session.execute(text(query))))


async def leave_an_old_database(folder: Path) -> None:
    """Write what release 0.1 left: tables of its one step, a conversation in plain text."""
    url = await postgres.database_for(folder) if postgres.server() else ""
    database = await open_database(url, data_dir=folder / "data", clock=SystemClock())
    now = SystemClock().now()
    try:
        await upgrade(database, core_source())
        await upgrade(database, MigrationSource(owner_id="chat", table_prefix="chat__", versions_dir=VERSIONS, metadata=metadata), to="0001")
        at = now if postgres.server() else now.isoformat()

        def unit(session: Any) -> None:
            session.execute(
                text("INSERT INTO chat__sessions VALUES (:id, 'user_ann', 'Old canary title', 'airth', :n, NULL, '2026-01', :at, :at)"),
                {"id": SESSION, "n": OLD_MESSAGES, "at": at},
            )
            for number in range(OLD_MESSAGES):
                session.execute(
                    text(
                        "INSERT INTO chat__messages"
                        " (id, session_id, parent_id, role, content, persona, persona_version, model, end_state, sources, created_at)"
                        " VALUES (:id, :session, :parent, 'user', :content, '', 0, '', '', '[]', :at)"
                    ),
                    {
                        "id": f"msg_{number:032x}",
                        "session": SESSION,
                        "parent": f"msg_{number - 1:032x}" if number else None,
                        "content": f"old canary text {number}",
                        "at": at,
                    },
                )

        await database.write(unit)
    finally:
        await database.close()


@pytest.mark.shows("LR-128", "LW-57")
def test_upgrade__conversation_of_the_first_release__is_sealed_in_the_running_hub_and_reads_as_before(tmp_path: Path) -> None:
    async def main() -> None:
        await leave_an_old_database(tmp_path)
        async with running_hub(*BASE, folder=tmp_path) as hub:
            client = hub.client("chat:read", "chat:write", subject="user_ann")
            while True:  # read at any moment of the conversion, it is the same conversation
                view = (await client.request("GET", f"/api/session/{SESSION}?limit=100")).json()
                assert view["metadata"]["title"] == "Old canary title"
                assert [message["content"] for message in view["chat_history"]] == [f"old canary text {number}" for number in range(100)]
                plain = "SELECT id FROM chat__messages WHERE body IS NULL UNION ALL SELECT id FROM chat__sessions WHERE sealed_title IS NULL"
                if not await rows(hub, plain):
                    break
            left = "SELECT content FROM chat__messages WHERE content <> '' UNION ALL SELECT title FROM chat__sessions WHERE title <> ''"
            assert await rows(hub, left) == []
            answer = await client.request("POST", "/api/chat", json={"message": "And now?", "session_id": SESSION})
            assert answer.status == 200
        if not postgres.server():
            assert b"old canary text" not in (tmp_path / "data" / "hub.sqlite3").read_bytes(), "what was plain is overwritten"

    asyncio.run(main())


@pytest.mark.shows("LR-128")
def test_subject__whose_key_is_destroyed__has_empty_conversations_and_a_new_life(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_hub(*BASE, folder=tmp_path) as hub:
            client = hub.client("chat:read", "chat:write", subject="user_ann")
            other = hub.client("chat:read", "chat:write", subject="user_bob")
            mine = (await client.request("POST", "/api/chat", json={"message": "What is a generation?"})).json()
            theirs = (await other.request("POST", "/api/chat", json={"message": "What is a generation?"})).json()
            await hub.hub.database.write(lambda session: hub.hub.vault.destroy(session, "user_ann"))
            view = (await client.request("GET", f"/api/session/{mine['session_id']}")).json()
            assert [message["content"] for message in view["chat_history"]] == ["", ""]
            assert [one["title"] for one in (await client.request("GET", "/api/sessions")).json()["items"]] == [""]
            view = (await other.request("GET", f"/api/session/{theirs['session_id']}")).json()
            assert view["chat_history"][0]["content"] == "What is a generation?"
            again = await client.request("POST", "/api/chat", json={"message": "What is a plugin?", "session_id": mine["session_id"]})
            assert again.status == 200
            view = (await client.request("GET", f"/api/session/{mine['session_id']}")).json()
            assert [message["content"] for message in view["chat_history"]][2] == "What is a plugin?"

    asyncio.run(main())
