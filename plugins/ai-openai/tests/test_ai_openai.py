"""The provider over services that speak OpenAI's API, good ones and bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ai_faults import TEXT, WORDS, ProviderFaults
from ai_service import Asked, Step, head, service, sse, whole

from luminai import ChatMessage, ChatRequest, NamedModel
from luminai.testing import AIProviderContract, running_hub
from luminai_ai_openai.config import OpenAIInstance
from luminai_ai_openai.provider import OpenAIProvider

REASONS = {"stop": "stop", "length": "length", "filter": "content_filter", "odd": "gave_up"}


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def figures(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


class TestFaults(ProviderFaults):
    def provider(self, http: Any, url: str, **more: Any) -> Any:
        return OpenAIProvider(http, OpenAIInstance(base_url=f"{url}/v1", models=(NamedModel(id="m"),), **more))

    def content(self, words: Sequence[str]) -> list[bytes]:
        return sse(chunk({"role": "assistant", "content": None}), *(chunk({"content": word}) for word in words))

    def ending(self, reason: str, tokens: tuple[int, int] | None) -> list[bytes]:
        last = sse({"id": "c1", "choices": [], "usage": figures(tokens)}) if tokens else []
        return [*sse(chunk({}, REASONS[reason])), *last, b"data: [DONE]\n\n"]

    def reply(self, text: str, tokens: tuple[int, int] | None) -> Any:
        message = {"role": "assistant", "content": text}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": figures(tokens) if tokens else None}

    def error(self) -> list[bytes]:
        return sse({"error": {"message": "no", "type": "server_error", "code": None}})


def good(asked: Asked) -> Sequence[Step]:
    faults = TestFaults()
    if asked.body.get("stream"):
        return [*head(kind="text/event-stream"), *faults.content(WORDS), *faults.ending("stop", (7, 5))]
    return whole(faults.reply(TEXT, (7, 5)))


class TestContract(AIProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        async with service() as there:
            there.answer = good
            config = {"instances": [{"name": "here", "base-url": f"{there.url}/v1", "models": [{"id": "m"}, {"id": "e", "kinds": ["embedding"]}]}]}
            settings = {"plugins": {"ai-openai": {"approve": ["secrets", there.grant]}}}
            async with running_hub("ai-openai", config={"ai-openai": config}, settings=settings, folder=folder) as hub:
                assert hub.state("ai-openai") == "enabled"
                yield hub.hub.generation.wiring.providers.ai_providers["here"]

    def request(self) -> ChatRequest:
        return ChatRequest(model="m", messages=(ChatMessage("user", "hello"),))
