"""The provider over services that speak the Gemini API, good ones and bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ai_faults import TEXT, WORDS, ProviderFaults
from ai_service import Asked, Service, Step, head, run, service, sse, whole
from msgspec.structs import replace

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest, EndState, NamedModel, Tool, ToolCall
from luminai.testing import AIProviderContract, running_hub
from luminai_ai_gemini.config import GeminiInstance
from luminai_ai_gemini.provider import GeminiProvider

REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY", "odd": "MALFORMED_FUNCTION_CALL"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def chunk(*parts: dict[str, Any], reason: str = "", tokens: tuple[int, int] | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
    used = {"promptTokenCount": tokens[0], "candidatesTokenCount": tokens[1], "totalTokenCount": sum(tokens)} if tokens else None
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})]} | ({"usageMetadata": used} if used else {})


class TestFaults(ProviderFaults):
    def provider(self, http: Any, url: str, **more: Any) -> Any:
        models = (NamedModel(id="m"), NamedModel(id="e", kinds=("embedding",)))
        return GeminiProvider(http, GeminiInstance(base_url=f"{url}/v1beta", models=models, **more))

    def content(self, words: Sequence[str]) -> list[bytes]:
        return [event.replace(b"\n\n", b"\r\n\r\n") for event in sse(*(chunk({"text": word}, tokens=(7, 1)) for word in words))]

    def ending(self, reason: str, tokens: tuple[int, int] | None) -> list[bytes]:
        return [event.replace(b"\n\n", b"\r\n\r\n") for event in sse(chunk(reason=REASONS[reason], tokens=tokens or (0, 0)))]

    def reply(self, text: str, tokens: tuple[int, int] | None) -> Any:
        return chunk({"text": text}, reason="STOP", tokens=tokens)

    def error(self) -> list[bytes]:
        return sse({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}})

    def sign_of_life(self) -> bytes:
        return b'data: {"usageMetadata": {"promptTokenCount": 7}}\r\n\r\n'


def good(asked: Asked) -> Sequence[Step]:
    faults = TestFaults()
    if ":stream" in asked.path:
        return [*head(kind="text/event-stream"), *faults.content(WORDS), *faults.ending("stop", (7, 5))]
    return whole(faults.reply(TEXT, (7, 5)))


@asynccontextmanager
async def gemini_hub(folder: Path):
    """Run a hub whose Gemini answers well."""
    async with service() as there:
        there.answer = good
        config = {"instances": [{"base-url": f"{there.url}/v1beta", "models": [{"id": "m"}, {"id": "e", "kinds": ["embedding"]}]}]}
        settings = {"plugins": {"ai-gemini": {"approve": ["secrets", "outbound:generativelanguage.googleapis.com", there.grant]}}}
        async with running_hub("ai-gemini", config={"ai-gemini": config}, settings=settings, folder=folder) as hub:
            assert hub.state("ai-gemini") == "enabled"
            yield hub


class TestContract(AIProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        async with gemini_hub(folder) as hub:
            yield hub.hub.generation.wiring.providers.ai_providers["gemini"]

    def request(self) -> ChatRequest:
        return ChatRequest(model="m", messages=(ChatMessage("user", "hello"),))


@pytest.mark.shows("PX-29")
def test_request__is_written_as_the_api_wants_it() -> None:
    calls = (ToolCall("t1", "weather", '{"city":"Oslo"}'), ToolCall("t2", "clock", "{}"))
    messages = (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "hello"),
        ChatMessage("assistant", "", tool_calls=calls),
        ChatMessage("tool", "rain", "t1"),
        ChatMessage("tool", "noon", "t2"),
    )
    tool = Tool("weather", "Tells the weather.", SCHEMA)

    async def work(there: Service, http: Any) -> None:
        there.answer = good
        provider = TestFaults().provider(http, there.url)
        request = ChatRequest(model="m", messages=messages, tools=(tool,), temperature=0.5, max_output_tokens=9, response_schema=SCHEMA)
        for choice in ("auto", "required"):
            await provider.chat(replace(request, tool_choice=choice))
        asked, forced = there.asked
        assert forced.body == asked.body | {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}
        assert asked.path == "/v1beta/models/m:generateContent"
        answers = [("weather", "rain"), ("clock", "noon")]
        assert asked.body == {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5, "responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            "tools": [{"functionDeclarations": [{"name": "weather", "description": "Tells the weather.", "parametersJsonSchema": SCHEMA}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "hello"}]},
                {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}, {"functionCall": {"name": "clock", "args": {}}}],
                },
                {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"result": said}}} for name, said in answers]},
            ],
        }

    run(work)


def test_reply__thoughts_and_tool_calls__are_told_apart_and_counted() -> None:
    thought = {"text": "Let me see.", "thought": True}
    call = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}
    body = chunk(thought, {"text": "I look."}, call, reason="STOP", tokens=(7, 5))
    body["usageMetadata"] |= {"thoughtsTokenCount": 30, "cachedContentTokenCount": 4}

    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole(body)
        reply = await TestFaults().provider(http, there.url).chat(TestFaults().request())
        assert (reply.text, reply.end) == ("I look.", EndState.FINISHED)
        assert reply.tool_calls == (ToolCall("call_0", "weather", '{"city":"Oslo"}'),)
        assert (reply.usage.output_tokens, reply.usage.origin) == (35, "reported")
        assert (reply.usage.reasoning_tokens, reply.usage.cached_input_tokens) == (30, 4)

    run(work)


@pytest.mark.shows("PX-87")
def test_calls__of_the_service__show_in_the_hubs_metrics(tmp_path: Path) -> None:
    async def main() -> None:
        async with gemini_hub(tmp_path) as hub:
            provider = hub.hub.generation.wiring.providers.ai_providers["gemini"]
            for _ in range(3):
                await provider.chat(TestContract().request())
            told = (await hub.client("*").request("GET", "/metrics")).text
            assert 'luminai_provider_seconds_count{call="chat",channel="ai",plugin="ai-gemini"} 3.0' in told, told

    asyncio.run(main())


def test_prompt__that_does_not_pass__is_filtered() -> None:
    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}})
        reply = await TestFaults().provider(http, there.url).chat(TestFaults().request())
        assert (reply.text, reply.end) == ("", EndState.FILTERED)

    run(work)


def test_rate__its_delay_stands_in_the_body__and_a_quota_of_the_day_is_spent() -> None:
    def body(quota: str) -> dict[str, Any]:
        violations = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"}
        return {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [violations, info]}}

    async def work(there: Service, http: Any) -> None:
        provider = TestFaults().provider(http, there.url)
        for quota, kind, wait in (("RequestsPerMinute", AIErrorKind.RATE, 37.5), ("RequestsPerDayPerProject", AIErrorKind.QUOTA, None)):
            there.answer = lambda _, quota=quota: whole(body(quota), 429)
            with pytest.raises(AIError) as refused:
                await provider.chat(TestFaults().request())
            assert (refused.value.kind, refused.value.retry_after) == (kind, wait)

    run(work)


def test_models_and_embeddings__are_read_from_the_service() -> None:
    listed = [
        {"name": "models/g", "displayName": "G", "inputTokenLimit": 9000, "outputTokenLimit": 800, "supportedGenerationMethods": ["generateContent"]},
        {"name": "models/v", "supportedGenerationMethods": ["embedContent", "batchEmbedContents"]},
        {"name": "models/odd", "supportedGenerationMethods": ["predict"]},
    ]

    async def work(there: Service, http: Any) -> None:
        provider = TestFaults().provider(http, there.url)
        there.answer = lambda _: whole({"models": listed})
        assert await provider.refresh() == 4
        models = {model.id: model for model in provider.models()}
        assert (models["g"].context_tokens, models["g"].max_output_tokens, models["g"].title) == (9000, 800, "G")
        assert (models["v"].kinds, "odd" in models) == ({"embedding"}, False)
        there.answer = lambda _: whole({"embeddings": [{"values": [1.0, 2.0]}, {"values": [3.0, 4.0]}]})
        reply = await provider.embed("v", ["one", "two"])
        assert (reply.vectors, reply.usage.origin) == (((1.0, 2.0), (3.0, 4.0)), "estimated")
        assert [one["content"]["parts"] for one in there.asked[-1].body["requests"]] == [[{"text": "one"}], [{"text": "two"}]]

    run(work)
