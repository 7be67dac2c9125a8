"""Conversations of the hub over models that are called: what a person asks through HTTP, and what the service is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ai_service import Asked, Step, head, lines, service, sse, whole

from luminai.testing import FrozenClock, running_hub

PLUGINS = ("personas", "resonance", "knowledge", "ai-offline", "chat", "ai-ollama", "ai-openai")
KEY = "sk-a-key-of-the-test"


def answer(asked: Asked) -> Sequence[Step]:
    """Answer as Ollama below ``/api``, as OpenAI below ``/v1``; a question with ``break`` in it is cut off."""
    if asked.method == "GET":
        return whole({"models": [{"name": "qwen3:8b"}]})
    breaks = "break" in asked.body["messages"][-1]["content"]
    if asked.path == "/api/chat":
        end = lines({"message": {"content": " model."}, "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4})
        return [*head(kind="application/x-ndjson"), *lines({"message": {"content": "A local"}, "done": False}), *([] if breaks else end)]
    end = sse({"choices": [{"delta": {"content": " model."}, "finish_reason": "stop"}]}, "[DONE]")
    return [*head(kind="text/event-stream"), *sse({"choices": [{"delta": {"content": "A remote"}}]}), *([] if breaks else end)]


@pytest.mark.shows("LR-71", "LR-108", "LW-94", "LR-123b", "LW-81")
def test_chat__over_a_local_and_a_remote_model__is_answered_in_the_personas_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "docs").mkdir()

    clock = FrozenClock()

    async def main() -> None:
        async with service() as there:
            there.answer = answer
            ollama = {"instances": [{"base-url": there.url, "models": [{"id": "qwen3:8b"}]}]}
            openai = {"instances": [{"base-url": f"{there.url}/v1", "key": "env:OPENAI_API_KEY", "models": [{"id": "m"}]}]}
            grants = ["secrets", "outbound:127.0.0.1:11434", there.grant]
            async with running_hub(
                *PLUGINS,
                folder=tmp_path,
                config={"ai-ollama": ollama, "ai-openai": openai},
                clock=clock,
                settings={"plugins": {"ai-ollama": {"approve": grants}, "ai-openai": {"approve": grants}}},
            ) as hub:
                client = hub.client("chat:write", "chat:read")

                async def ask(model: str, text: str) -> Any:
                    given = {"message": text, "model": model}
                    return await client.request("POST", "/api/chat", json=given, headers={"idempotency-key": f"{model} {text}"})

                for model, said in (("ollama/qwen3:8b", "A local model."), ("openai/m", "A remote model.")):
                    found = (await ask(model, "Who are you?")).json()
                    assert (found["response"], found["end_state"]) == (said, "finished"), found
                    *context, question = there.asked[-1].body["messages"]
                    assert question == {"role": "user", "content": "Who are you?"}
                    assert context[0]["role"] == "system"
                    assert context[0]["content"], "the persona's instructions"
                    broken = (await ask(model, "break off")).json()
                    assert (broken["response"], broken["end_state"]) == (said.removesuffix(" model."), "cut"), broken
                assert there.asked[-1].headers["authorization"] == f"Bearer {KEY}"

                async def services() -> dict[str, str]:
                    clock.advance(120)
                    found = (await hub.client("hub:monitor").request("GET", "/health/detailed")).json()["checks"]
                    return {check["plugin"]: check["state"] for check in found if check["name"] == "services"}

                assert await services() == {"ai-ollama": "degraded", "ai-openai": "degraded"}, "their last calls broke off"
                await ask("openai/m", "And again?")
                assert await services() == {"ai-ollama": "degraded", "ai-openai": "ok"}

    asyncio.run(main())
