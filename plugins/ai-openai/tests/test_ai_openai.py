"""The provider over services that speak OpenAI's API, good ones and bad ones."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ai_faults import TEXT, WORDS, ProviderFaults
from ai_service import Asked, Service, Step, head, run, service, sse, whole
from msgspec.structs import replace

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest, ConfigRejected, EndState, NamedModel, Secret, Tool, ToolCall
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


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
PNG = b"\x89PNG\r\n\x1a\n and so on"


def test_request__is_written_as_the_api_wants_it() -> None:
    calls = (ToolCall("t1", "weather", '{"city":"Oslo"}'),)
    messages = (ChatMessage("system", "Be brief."), ChatMessage("assistant", "", tool_calls=calls), ChatMessage("tool", "rain", "t1"))

    async def work(there: Service, http: Any) -> None:
        there.answer = good
        request = ChatRequest(model="m", messages=messages, max_output_tokens=9, tools=(Tool("weather", "Tells the weather.", SCHEMA),))
        for field in ("auto", "max_completion_tokens"):
            provider = TestFaults().provider(http, there.url, limit_field=field, key=Secret("env:KEY", lambda _: "sk-1"))
            await TestFaults().outcome(provider, request)
        await provider.chat(replace(request, tool_choice="required"))
        old, new, forced = there.asked
        assert ("tool_choice" in old.body, forced.body["tool_choice"]) == (False, "required")
        assert (old.path, old.headers["authorization"]) == ("/v1/chat/completions", "Bearer sk-1")
        assert (old.body["max_tokens"], new.body["max_completion_tokens"]) == (9, 9)
        assert old.body["stream_options"] == {"include_usage": True}
        function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
        assert old.body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "type": "function", "function": function}]},
            {"role": "tool", "content": "rain", "tool_call_id": "t1"},
        ]
        described = {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA}
        assert old.body["tools"] == [{"type": "function", "function": described}]

    run(work)


def test_key__that_is_not_there__asks_nobody() -> None:
    def missing(reference: str) -> str:
        raise ConfigRejected("the variable KEY is not set", code="secret-missing")

    async def work(there: Service, http: Any) -> None:
        with pytest.raises(AIError, match="secret-missing") as refused:
            await TestFaults().provider(http, there.url, key=Secret("env:KEY", missing)).chat(TestFaults().request())
        assert (refused.value.kind, there.asked) == (AIErrorKind.AUTH, [])

    run(work)


def test_tool_calls__in_pieces_side_by_side__are_given_whole_and_only_when_the_model_is_done() -> None:
    def part(place: int, text: str, **more: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": place, "function": {"arguments": text} | more} | ({"id": f"t{place}"} if more else {})]})

    pieces = sse(part(0, "", name="weather"), part(1, "", name="clock"), part(0, '{"city":'), part(1, "{}"), part(0, ' "Oslo"}'))

    async def work(there: Service, http: Any) -> None:
        provider = TestFaults().provider(http, there.url)
        for reason, state, calls in (("tool_calls", EndState.FINISHED, 2), ("length", EndState.LENGTH, 0)):
            there.answer = lambda _, reason=reason: [*head(kind="text/event-stream"), *pieces, *sse(chunk({}, reason))]
            *content, end = [event async for event in provider.stream(TestFaults().request())]
            assert (end.state, len(content)) == (state, calls)
            if calls:
                assert [event.call for event in content] == [ToolCall("t0", "weather", '{"city": "Oslo"}'), ToolCall("t1", "clock", "{}")]

    run(work)


def test_quota__spent_is_told_from_a_rate() -> None:
    async def work(there: Service, http: Any) -> None:
        for code, kind in (("insufficient_quota", AIErrorKind.QUOTA), ("rate_limit_exceeded", AIErrorKind.RATE)):
            there.answer = lambda _, code=code: whole({"error": {"message": "no", "type": code, "code": code}}, 429, retry_after_ms="1500")
            with pytest.raises(AIError) as refused:
                await TestFaults().provider(http, there.url).chat(TestFaults().request())
            assert (refused.value.kind, refused.value.retry_after) == (kind, 1.5)

    run(work)


def test_media_and_embeddings__are_asked_for_and_checked() -> None:
    kinds = ("chat", "embedding", "image", "speech")

    async def work(there: Service, http: Any) -> None:
        models = (NamedModel(id="all", kinds=kinds),)
        provider = OpenAIProvider(http, OpenAIInstance(base_url=f"{there.url}/v1", models=models))
        there.answer = lambda _: whole({"data": [{"index": 1, "embedding": [3.0]}, {"index": 0, "embedding": [1.0]}], "usage": figures((4, 0))})
        vectors = await provider.embed("all", ["one", "two"])
        assert (vectors.vectors, vectors.usage.input_tokens, vectors.usage.origin) == (((1.0,), (3.0,)), 4, "reported")
        there.answer = lambda _: whole({"data": [{"b64_json": b64encode(PNG).decode()}]})
        image = await provider.image("all", "a cat", width=512, height=256)
        assert (image.content, image.content_type, image.synthetic) == (PNG, "image/png", "made by all")
        assert there.asked[-1].body["size"] == "512x256"
        there.answer = lambda _: [*head(kind="audio/mpeg"), b"ID3 sound"]
        speech = await provider.speak("all", "hello", voice="onyx")
        assert (speech.content, speech.content_type, there.asked[-1].body["voice"]) == (b"ID3 sound", "audio/mpeg", "onyx")
        bad = (
            {"data": [{"url": "https://elsewhere.example/x.png"}]},
            {"data": []},
            {"error": {"type": "server_error"}},
            {"data": [{"b64_json": "!"}]},
        )
        for body in bad:
            there.answer = lambda _, body=body: whole(body)
            for call in (provider.image("all", "a cat", width=64, height=64), provider.speak("all", "a"), provider.embed("all", ["a"])):
                with pytest.raises(AIError) as refused:
                    await call
                assert refused.value.kind is AIErrorKind.UPSTREAM

    run(work)


def test_models__listed_by_the_service__join_those_of_the_settings(tmp_path: Path) -> None:
    names = ["gpt-x", "text-embedding-9", "tts-9", "dall-e-9", "whisper-9", "m"]

    async def main() -> None:
        async with service() as there:
            there.answer = lambda _: whole({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
            instances = [{"base-url": f"{there.url}/v1", "models": [{"id": "m", "tools": False}]}]
            settings = {"plugins": {"ai-openai": {"approve": ["secrets", there.grant]}}}
            async with running_hub("ai-openai", config={"ai-openai": {"instances": instances}}, settings=settings, folder=tmp_path) as hub:
                assert there.asked == [], "nobody is asked unless the operator wants it"
                client = hub.client("ai-openai:manage")
                headers = {"prefer": "wait=10", "idempotency-key": "1"}
                job = (await client.request("POST", "/api/actions/ai-openai.refresh-models", json={}, headers=headers)).json()
                assert (job["state"], job["output"]) == ("succeeded", {"models": {"openai": 5}})
                models = {model.id: model for model in hub.hub.generation.wiring.providers.ai_providers["openai"].models()}
                assert {name: set(model.kinds) for name, model in models.items()} == {
                    "gpt-x": {"chat"},
                    "text-embedding-9": {"embedding"},
                    "tts-9": {"speech"},
                    "dall-e-9": {"image"},
                    "m": {"chat"},
                }
                assert not models["m"].tools, "what the operator says about a model holds"

    asyncio.run(main())


@pytest.mark.parametrize(("cached", "thoughts", "told"), [(4, 3, (4, 3)), (None, None, (0, 0)), (8, -1, (0, 0)), (10**12, 6, (0, 0))])
def test_usage__parts_are_told_when_they_can_be_parts(cached: int | None, thoughts: int | None, told: tuple[int, int]) -> None:
    body = TestFaults().reply("Hello.", (7, 5))
    body["usage"] |= {"prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": thoughts}}

    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole(body)
        reply = await TestFaults().provider(http, there.url).chat(TestFaults().request())
        assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.origin) == (7, 5, "reported")
        assert (reply.usage.cached_input_tokens, reply.usage.reasoning_tokens) == told

    run(work)
