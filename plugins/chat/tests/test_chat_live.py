"""What the owner of a conversation hears of it while it goes on elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from luminai.testing import HubUnderTest, running_hub

BASE = ("personas", "resonance", "knowledge", "ai-offline", "chat")


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, Any]]:
    """Yield name and data of each event."""
    async for chunk in chunks:
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n") if ": " in line)
        if "event" in fields:
            yield fields["event"], msgspec.json.decode(fields["data"])


def test_conversation__another_tab_hears_question_and_reply_with_its_r__and_nobody_else_does(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "generations.md").write_text("# Generations\n\nA generation is an immutable snapshot of the running plugins.\n")

    async def work(hub: HubUnderTest) -> None:
        mine, theirs = hub.client("chat:write", "chat:read"), hub.client("chat:write", "chat:read", subject="usr_other")
        mute = hub.client("chat:write")
        first = (await mine.request("POST", "/api/chat", json={"message": "What is a generation?"})).json()
        room = f"/api/live?room=chat.conversation.{first['session_id']}"
        for other, path in ((theirs, room), (mute, room), (mine, f"{room[:-1]}x")):
            answer = await other.request("GET", path)
            assert (answer.status, answer.json()["code"]) == (404, "unknown-room")
        async with mine.stream("GET", room) as answer:
            heard = events(answer.chunks)
            assert (await anext(heard))[0] == "joined"
            question = {"message": "And its plugins?", "session_id": first["session_id"]}
            second = (await mine.request("POST", "/api/chat", json=question)).json()
            opened, closed = await anext(heard), await anext(heard)
        ids = {"session_id": first["session_id"], "turn_id": second["turn_id"]}
        assert opened[0] == "turn-opened"
        assert ids.items() <= opened[1].items()
        assert closed == ("turn-closed", {**ids, "message_id": second["message_id"], "end_state": second["end_state"], "R": second["R"]})
        assert (await mine.request("DELETE", f"/api/session/{first['session_id']}")).status == 204
        assert (await mine.request("GET", room)).status == 404

    async def main() -> None:
        async with running_hub(*BASE, folder=tmp_path) as hub:
            await work(hub)

    asyncio.run(main())
