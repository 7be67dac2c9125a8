"""Which model answers when none is named."""

import asyncio
from typing import Any

from luminai.testing import HubUnderTest, ScriptedProvider, running_hub


def test_model__not_named__is_the_configured_one_or_offline_or_the_only_one_and_never_a_guess() -> None:
    async def ask(hub: HubUnderTest) -> Any:
        answer = (await hub.client("chat:write").request("POST", "/api/chat", json={"message": "Hello?"})).json()
        return answer.get("model") or (answer["code"], answer["hint"])

    async def check(hub: HubUnderTest) -> Any:
        detailed = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()["checks"]
        return next((one["state"], one["reason"]) for one in detailed if one["plugin"] == "chat" and one["name"] == "can-answer")

    async def main() -> None:
        async with running_hub("personas", "resonance", "chat") as hub:
            assert (await ask(hub))[0] == "chat.no-model"
            hub.provide("ai_providers", ScriptedProvider(name="a"))
            assert await ask(hub) == "a/one"
            hub.provide("ai_providers", ScriptedProvider(name="b"))
            code, hint = await ask(hub)
            assert code == "chat.no-model"
            assert "there are: a, b" in hint
            hub.provide("ai_providers", ScriptedProvider(name="offline", model="quote"))
            assert await ask(hub) == "offline/quote"
        async with running_hub("personas", "resonance", "chat", config={"chat": {"model": "b/one"}}) as hub:
            hub.provide("ai_providers", ScriptedProvider(name="a"), ScriptedProvider(name="b"))
            assert await ask(hub) == "b/one"
            assert await check(hub) == ("ok", "b/one answers when no model is named")

    asyncio.run(main())
