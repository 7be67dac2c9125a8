"""The provider over servers that speak Ollama's API, good ones and bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ai_faults import TEXT, WORDS, ProviderFaults
from ai_service import Asked, Service, Step, head, lines, run, service, whole

from luminai import AIError, ChatMessage, ChatRequest, EndState, NamedModel, Tool, ToolCall
from luminai.testing import AIProviderContract, running_hub
from luminai_ai_ollama.config import OllamaInstance
from luminai_ai_ollama.provider import OllamaProvider

REASONS = {"stop": "stop", "length": "length", "odd": "unload", "filter": "filter"}
NDJSON = "application/x-ndjson"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def line(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": text}, "done": False} | more


def done(reason: str, tokens: tuple[int, int] | None) -> dict[str, Any]:
    used = {"prompt_eval_count": tokens[0], "eval_count": tokens[1]} if tokens else {}
    return {"done": True, "done_reason": REASONS[reason], "total_duration": 1} | used


class TestFaults(ProviderFaults):
    kind = NDJSON

    def provider(self, http: Any, url: str, **more: Any) -> Any:
        return OllamaProvider(http, OllamaInstance(base_url=url, models=(NamedModel(id="m"),), **more))

    def content(self, words: Sequence[str]) -> list[bytes]:
        return lines(*map(line, words))

    def ending(self, reason: str, tokens: tuple[int, int] | None) -> list[bytes]:
        return lines(line("", **done(reason, tokens)))

    def reply(self, text: str, tokens: tuple[int, int] | None) -> Any:
        return line(text, **done("stop", tokens))

    def error(self) -> list[bytes]:
        return lines({"error": "an error was encountered while running the model"})

    def sign_of_life(self) -> bytes:
        return lines(line(""))[0]

    def test_stream__ended_by_the_model__is_what_it_says(self) -> None:  # it has no filter
        for reason, state in (("length", EndState.LENGTH), ("odd", EndState.FAILED)):
            text, end = self.stream(*self.content(WORDS), *self.ending(reason, (7, 5)))
            assert (text, end.state) == (TEXT, state)


def good(asked: Asked) -> Sequence[Step]:
    faults = TestFaults()
    if asked.method == "GET":
        return whole({"models": [{"name": "qwen3:8b", "details": {"family": "qwen3"}}, {"name": "nomic", "details": {"family": "nomic-bert"}}]})
    if asked.body["stream"]:
        return [*head(kind=NDJSON), *faults.content(WORDS), *faults.ending("stop", (7, 5))]
    return whole(faults.reply(TEXT, (7, 5)))


@asynccontextmanager
async def hub_over(there: Service, folder: Path):
    config = {"instances": [{"base-url": there.url, "models": [{"id": "m"}]}]}
    settings = {"plugins": {"ai-ollama": {"approve": ["secrets", "outbound:127.0.0.1:11434", there.grant]}}}
    async with running_hub("ai-ollama", config={"ai-ollama": config}, settings=settings, folder=folder) as hub:
        assert hub.state("ai-ollama") == "enabled"
        yield hub


class TestContract(AIProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        async with service() as there:
            there.answer = good
            async with hub_over(there, folder) as hub:
                yield hub.hub.generation.wiring.providers.ai_providers["ollama"]

    def request(self) -> ChatRequest:
        return ChatRequest(model="m", messages=(ChatMessage("user", "hello"),))


def test_request__is_written_as_the_api_wants_it() -> None:
    messages = (ChatMessage("user", "hello"), ChatMessage("assistant", "", tool_calls=(ToolCall("t1", "weather", '{"city":"Oslo"}'),)))

    async def work(there: Service, http: Any) -> None:
        there.answer = good
        provider = TestFaults().provider(http, there.url)
        tool = Tool("weather", "Tells the weather.", SCHEMA)
        request = ChatRequest(model="m", messages=(*messages, ChatMessage("tool", "rain", "t1")), tools=(tool,), temperature=0.5)
        await provider.chat(ChatRequest(model="m", messages=messages[:1], max_output_tokens=9, response_schema=SCHEMA))
        await provider.chat(request)
        short, long = (asked.body for asked in there.asked)
        assert short == {
            "model": "m",
            "stream": False,
            "options": {"num_predict": 9},
            "format": SCHEMA,
            "messages": [{"role": "user", "content": "hello"}],
        }
        assert long["messages"][1:] == [
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
            {"role": "tool", "content": "rain", "tool_name": "weather"},
        ]
        assert long["tools"][0]["function"]["parameters"] == SCHEMA

    run(work)


def test_reply__tool_call__is_given_with_its_arguments_as_json() -> None:
    asks = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}

    async def work(there: Service, http: Any) -> None:
        there.answer = lambda _: whole({"message": asks} | done("stop", (7, 5)))
        reply = await TestFaults().provider(http, there.url).chat(TestFaults().request())
        assert reply.tool_calls == (ToolCall("call_0", "weather", '{"city":"Oslo"}'),)

    run(work)


def test_embeddings__other_than_asked_for__are_refused() -> None:
    async def work(there: Service, http: Any) -> list[str]:
        provider = OllamaProvider(http, OllamaInstance(base_url=there.url, models=(NamedModel(id="e", kinds=("embedding",)),)))
        found = []
        for rows in ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0]], [[1.0, 2.0], [3.0]], [[], []]):
            there.answer = lambda _, rows=rows: whole({"embeddings": rows, "prompt_eval_count": 4})
            try:
                found.append((await provider.embed("e", ["one", "two"])).usage.origin)
            except AIError as error:
                found.append(str(error))
        return found

    assert run(work) == ["reported", *["the provider answered with other vectors than were asked for"] * 3]


def test_models__are_listed_at_the_start__and_a_pull_tells_how_far_it_is(tmp_path: Path) -> None:
    steps = lines({"status": "pulling manifest"}, {"status": "pulling 1", "total": 100, "completed": 40}, {"status": "success"})

    async def main() -> None:
        async with service() as there:
            there.answer = good
            async with hub_over(there, tmp_path) as hub:
                provider = hub.hub.generation.wiring.providers.ai_providers["ollama"]
                async with asyncio.timeout(5):
                    while len(provider.models()) < 3:  # noqa: ASYNC110 - the list itself is what is waited for
                        await asyncio.sleep(0.01)
                kinds = {model.id: set(model.kinds) for model in provider.models()}
                assert kinds == {"qwen3:8b": {"chat"}, "nomic": {"embedding"}, "m": {"chat"}}

                async def pull(*answer: bytes) -> dict[str, Any]:
                    there.answer = lambda asked: good(asked) if asked.method == "GET" else [*head(kind=NDJSON), *answer]
                    client = hub.client("ai-ollama:manage")
                    body = {"model": "qwen3:8b"}
                    asked = await client.request(
                        "POST", "/api/actions/ai-ollama.pull", json=body, headers={"prefer": "wait=10", "idempotency-key": str(len(answer))}
                    )
                    found: dict[str, Any] = asked.json()
                    return found

                job = await pull(*steps)
                assert (job["state"], job["output"]) == ("succeeded", {"model": "qwen3:8b", "models": 3}), job
                assert there.asked[-2].body == {"model": "qwen3:8b", "stream": True}

    asyncio.run(main())


def test_pull__breaks_off_or_is_refused__is_an_error() -> None:
    async def work(there: Service, http: Any) -> list[str]:
        provider = TestFaults().provider(http, there.url)
        found = []
        for answer in (lines({"status": "pulling manifest"}), lines({"error": "pull model manifest: file does not exist"}), [b"rubbish\n"]):
            there.answer = lambda _, answer=answer: [*head(kind=NDJSON), *answer]
            try:
                async for step in provider.pull("x", timeout=5.0):
                    found.append(step.status)  # noqa: PERF401 - what came before an error counts
            except AIError as error:
                found.append(str(error.kind))
        return found

    assert run(work) == ["pulling manifest", "upstream", "upstream", "upstream"]
