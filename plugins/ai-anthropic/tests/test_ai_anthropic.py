"""The provider over services that speak the Messages API, good ones and bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ai_faults import TEXT, WORDS, ProviderFaults
from ai_service import Asked, Service, Step, head, run, service, sse, whole
from msgspec.structs import replace

from luminai import ChatMessage, ChatRequest, EndState, NamedModel, Tool, ToolCall, ToolCallFound
from luminai.testing import AIProviderContract, running_hub
from luminai_ai_anthropic.config import AnthropicInstance
from luminai_ai_anthropic.provider import AnthropicProvider

REASONS = {"stop": "end_turn", "length": "max_tokens", "filter": "refusal", "odd": "pause_turn"}


def figures(tokens: tuple[int, int]) -> dict[str, int]:
    return {"input_tokens": tokens[0], "output_tokens": tokens[1]}


def delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def events(*data: dict[str, Any]) -> list[bytes]:
    return sse(*data, event=True)


class TestFaults(ProviderFaults):
    def provider(self, http: Any, url: str, **more: Any) -> Any:
        return AnthropicProvider(http, AnthropicInstance(base_url=f"{url}/v1", models=(NamedModel(id="m"),), **more))

    def content(self, words: Sequence[str]) -> list[bytes]:
        start = {"type": "message_start", "message": {"id": "m1", "type": "message", "role": "assistant", "content": [], "stop_reason": None}}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return events(start, block, {"type": "ping"}, *map(delta, words))

    def ending(self, reason: str, tokens: tuple[int, int] | None) -> list[bytes]:
        last: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": REASONS[reason], "stop_sequence": None}}
        return events({"type": "content_block_stop", "index": 0}, last | ({"usage": figures(tokens)} if tokens else {}), {"type": "message_stop"})

    def reply(self, text: str, tokens: tuple[int, int] | None) -> Any:
        content = [{"type": "text", "text": text}]
        return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": figures(tokens) if tokens else None}

    def error(self) -> list[bytes]:
        return events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})

    def sign_of_life(self) -> bytes:
        return b'event: ping\ndata: {"type": "ping"}\n\n'


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
            config = {"instances": [{"base-url": f"{there.url}/v1", "models": [{"id": "m"}]}]}
            settings = {"plugins": {"ai-anthropic": {"approve": ["secrets", "outbound:api.anthropic.com", there.grant]}}}
            async with running_hub("ai-anthropic", config={"ai-anthropic": config}, settings=settings, folder=folder) as hub:
                assert hub.state("ai-anthropic") == "enabled"
                yield hub.hub.generation.wiring.providers.ai_providers["anthropic"]

    def request(self) -> ChatRequest:
        return ChatRequest(model="m", messages=(ChatMessage("user", "hello"),))


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("weather", "Tells the weather.", SCHEMA)


def test_request__is_written_as_the_api_wants_it() -> None:
    calls = (ToolCall("t1", "weather", '{"city":"Oslo"}'), ToolCall("t2", "weather", "not json"))
    messages = (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "hello"),
        ChatMessage("assistant", "I look.", tool_calls=calls),
        ChatMessage("tool", "rain", "t1"),
        ChatMessage("tool", "sun", "t2"),
        ChatMessage("user", "and?"),
    )

    async def work(there: Service, http: Any) -> None:
        there.answer = good
        provider = TestFaults().provider(http, there.url, default_max_tokens=321)
        request = ChatRequest(model="m", messages=messages, tools=(WEATHER,), temperature=1.7, response_schema=SCHEMA)
        for choice in ("auto", "required"):
            await provider.chat(replace(request, tool_choice=choice))
        asked, forced = there.asked
        assert forced.body == asked.body | {"tool_choice": {"type": "any"}}
        assert (asked.method, asked.path, asked.headers["anthropic-version"]) == ("POST", "/v1/messages", "2023-06-01")
        assert asked.body == {
            "model": "m",
            "max_tokens": 321,
            "system": "Be brief.",
            "temperature": 1.0,
            "tools": [{"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}],
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            "messages": [
                {"role": "user", "content": "hello"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                        {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "rain"},
                        {"type": "tool_result", "tool_use_id": "t2", "content": "sun"},
                    ],
                },
                {"role": "user", "content": "and?"},
            ],
        }

    run(work)


def test_tool_call__in_pieces__is_given_whole_and_only_when_the_model_is_done() -> None:
    def part(text: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": text}}

    asks = {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}}
    done = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}
    begin = [*TestFaults().content(["I look."]), *events(asks, part('{"city":'), part(' "Oslo"}'))]

    async def work(there: Service, http: Any) -> None:
        provider = TestFaults().provider(http, there.url)
        there.answer = lambda _: [*head(kind="text/event-stream"), *begin, *events(done, {"type": "message_stop"})]
        found = [event async for event in provider.stream(TestFaults().request())]
        assert found[1] == ToolCallFound(ToolCall("t1", "weather", '{"city": "Oslo"}'))
        assert found[-1].state is EndState.FINISHED
        there.answer = lambda _: [*head(kind="text/event-stream"), *begin]
        *content, end = [event async for event in provider.stream(TestFaults().request())]
        assert not any(isinstance(event, ToolCallFound) for event in content), "half a tool call is none"
        assert end.state is EndState.CUT

    run(work)


def test_usage__what_came_from_a_cache__is_input_too() -> None:
    used = {"input_tokens": 4, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 5}

    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole({"content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn", "usage": used})
        reply = await TestFaults().provider(http, there.url).chat(TestFaults().request())
        assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.origin) == (1104, 5, "reported")
        assert (reply.usage.cached_input_tokens, reply.usage.cache_write_tokens) == (1000, 100)

    run(work)
