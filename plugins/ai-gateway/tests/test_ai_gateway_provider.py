"""The routes as an AI provider, and calls over real providers whose services fail in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ai_service import ABORT, HANG, Asked, Service, Step, head, service, sse, whole
from click.testing import CliRunner
from gateway_world import World, open_world

from luminai import AIError, AIErrorKind, ChatMessage, ChatRequest, EndState, HubError, TextDelta
from luminai.testing import AIProviderContract, Cut, ScriptedProvider, running_hub
from luminai_ai_gateway import EmbeddingCall, commands

QUICK = {"first-seconds": 3.0, "idle-seconds": 0.3, "total-seconds": 15.0, "retries": 0}


class TestContract(AIProviderContract):
    @asynccontextmanager
    async def provider(self, folder: Path):
        config = {"routes": [{"name": "fast", "models": ["nobody/one", "scripted/one"]}]}
        async with running_hub("ai-gateway", config={"ai-gateway": config}, folder=folder) as hub:
            hub.provide("ai_providers", ScriptedProvider(("Hello", " there", ", you.")))
            yield hub.hub.generation.wiring.providers.ai_providers["gateway"]

    def request(self) -> ChatRequest:
        return ChatRequest(model="fast", messages=(ChatMessage("user", "hello"),))


def test_provider__failing_route__does_not_rest_the_others(tmp_path: Path) -> None:
    routes = [{"name": "bad", "models": ["broken/one"], "retries": 0}, {"name": "good", "models": ["scripted/one"]}]

    async def main() -> None:
        async with running_hub("ai-gateway", config={"ai-gateway": {"routes": routes}}, folder=tmp_path) as hub:
            hub.provide("ai_providers", ScriptedProvider((Cut(),), name="broken"), owner="broken")
            hub.provide("ai_providers", ScriptedProvider(("Yes.",)), owner="good")
            gateway = hub.hub.generation.wiring.providers.ai_providers["gateway"]
            ask = {"messages": (ChatMessage("user", "hello"),)}
            codes = []
            for _ in range(8):
                with pytest.raises(AIError) as failed:
                    await gateway.chat(ChatRequest(model="bad", **ask))
                codes.append((failed.value.kind, failed.value.code))
            assert codes[0] == (AIErrorKind.UPSTREAM, "upstream")
            assert codes[-1] == (AIErrorKind.UPSTREAM, "breaker-open"), "the broken provider itself rests"
            reply = await gateway.chat(ChatRequest(model="good", **ask))
            assert (reply.text, reply.trace.legs[0].model) == ("Yes.", "scripted/one")
            with pytest.raises(AIError) as unknown:
                await gateway.chat(ChatRequest(model="scripted/one", **ask))
            assert unknown.value.kind is AIErrorKind.INVALID, "only routes: the rest has a provider of its own"

    asyncio.run(main())


def told_by_command(turn: str) -> str:
    """Return what ``luminai ai trace TURN`` asks the hub for."""
    asked: list[str] = []
    terminal = SimpleNamespace(request=lambda _, path, **__: asked.append(path), emit=lambda _: None)
    done = CliRunner().invoke(commands.ai, ["trace", turn], obj=terminal)
    assert done.exit_code == 0, done.output
    return asked[0]


def test_chat__over_a_route__by_name(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    routes = [{"name": "fast", "models": ["scripted/one"]}]
    plugins = ("ai-gateway", "personas", "resonance", "knowledge", "ai-offline", "chat")

    async def main() -> None:
        async with running_hub(*plugins, config={"ai-gateway": {"routes": routes}}, folder=tmp_path) as hub:
            hub.provide("ai_providers", ScriptedProvider(("Hello", " Ann.")))
            client = hub.client("*")
            answer = (await client.request("POST", "/api/chat", json={"message": "Hi", "model": "gateway/fast"})).json()
            assert (answer["response"], answer["model"], answer["end_state"]) == ("Hello Ann.", "gateway/fast", "finished")

            told = (await client.request("GET", told_by_command(answer["turn_id"]))).json()
            assert (told["trace"], told["usage"], told["latency_ms"]) == (answer["trace"], answer["usage"], answer["latency_ms"])
            assert [leg["model"] for leg in told["trace"]["legs"]] == ["scripted/one"]
            assert told["trace"]["queue"] <= told["trace"]["first"] <= told["trace"]["total"], "its account of time"

    asyncio.run(main())


class Services:
    """Two services that speak OpenAI's API, the first of which fails."""

    def __init__(self, world: World, bad: Service, good: Service) -> None:
        self.world = world
        self.bad = bad
        self.good = good


def chunk(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}


def words(*texts: str) -> list[bytes]:
    return [*head(kind="text/event-stream"), *sse(*(chunk(text) for text in texts))]


def ending(prompt: int, tokens: int) -> list[bytes]:
    return [
        *sse(chunk("", "stop"), {"id": "c1", "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": tokens}}),
        b"data: [DONE]\n\n",
    ]


def good(asked: Asked) -> Sequence[Step]:
    if asked.body.get("stream"):
        return [*words("Good", " reply."), *ending(7, 5)]
    message = {"role": "assistant", "content": "Good reply."}
    return whole({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 5}})


@contextmanager
def two_services() -> Iterator[tuple[Service, Service, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        opened = [service(), service()]
        bad, fine = [runner.run(one.__aenter__()) for one in opened]
        try:
            yield bad, fine, runner
        finally:
            for one in opened:
                runner.run(one.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with two_services() as (bad, fine, runner):
        config = {
            "direct": QUICK,
            "routes": [
                {"name": "safe", "models": ["bad/m", "good/m"], **QUICK},
                {"name": "kept", "models": ["bad/m", "good/m"], **QUICK, "mid-stream": "keep"},
            ],
        }
        instances = [
            {"name": name, "base-url": f"{one.url}/v1", "models": [{"id": "m", "kinds": ["chat", "embedding"], "structured": name == "good"}]}
            for name, one in (("bad", bad), ("good", fine))
        ]
        more = {
            "configs": {"ai-openai": {"instances": instances}},
            "settings": {"plugins": {"ai-openai": {"approve": ["secrets", bad.grant, fine.grant]}}, "breaker": {"failures": 1000}},
            "runner": runner,
        }
        with open_world(tmp_path_factory.mktemp("services"), config, "ai-openai", **more) as world:
            fine.answer = good
            yield Services(world, bad, fine)


RUBBISH = b"data: \xff\xfe{not json\n\n"
BEFORE = [
    (whole({"error": {"message": "no", "type": "server_error"}}), "error-in-answer"),
    ([*head(kind="text/event-stream"), *sse({"error": {"message": "no", "type": "server_error"}})], "error-in-answer"),
    ([*head(kind="text/event-stream"), RUBBISH], "unreadable"),
    (whole({"error": {"type": "rate_limit_error"}}, 429, Retry_After="9"), "rate"),
    (whole({"error": "x"}, 503), "upstream"),
    (whole({"error": "x"}, 401), "auth"),
    ([ABORT], "upstream"),
    ([*head(kind="text/event-stream"), HANG], "stalled"),
    ([*head(kind="text/event-stream")], "cut"),
]


@pytest.mark.shows("LK-53")
@pytest.mark.parametrize(("steps", "code"), BEFORE)
def test_service__that_fails_before_content__is_told_in_the_trace_and_another_answers(services: Services, steps: Any, code: str) -> None:
    services.bad.answer = lambda _: steps

    text, end = services.world.stream("safe")

    assert (text, end.state, end.usage.output_tokens, end.usage.origin) == ("Good reply.", EndState.FINISHED, 5, "reported")
    assert [(leg.model, leg.code) for leg in end.trace.legs] == [("bad/m", code), ("good/m", "")]
    row = services.world.row()
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("good/m", 7, 5)


@pytest.mark.parametrize(("steps", "code"), [case for case in BEFORE if case[1] != "stalled"])
def test_service__that_fails_alone__has_its_own_code_and_nothing_counts(services: Services, steps: Any, code: str) -> None:
    services.bad.answer = lambda _: steps

    with pytest.raises(HubError) as failed:
        services.world.stream("bad/m")

    expected = code if code in ("error-in-answer", "unreadable", "cut") else f"provider-{code}"
    assert failed.value.code == f"ai-gateway.{expected}"
    row = services.world.row()
    assert (row["state"], row["code"], row["input_tokens"], row["output_tokens"]) == ("failed", code, 0, 0)


WITHIN = [
    ([], EndState.CUT, "cut"),
    ([ABORT], EndState.CUT, "cut"),
    ([HANG], EndState.STALLED, ""),
    ([b": still here\n\n", 0.1] * 20, EndState.STALLED, ""),
    ([RUBBISH, *ending(7, 5)], EndState.FAILED, "unreadable"),
    ([*sse({"error": {"message": "no"}})], EndState.FAILED, "error-in-answer"),
]


@pytest.mark.parametrize(("steps", "state", "code"), WITHIN)
def test_service__that_fails_within_a_reply__ends_it_honestly_or_is_followed_by_another(
    services: Services, steps: Any, state: EndState, code: str
) -> None:
    services.bad.answer = lambda _: [*words("Half", " of it"), *steps]

    text, end = services.world.stream("safe")

    assert (text, end.state, end.code, end.usage.origin) == ("Half of it", state, code, "estimated")
    assert services.world.row()["state"] == state
    text, end = services.world.stream("kept")
    assert (text, end.state) == ("Half of itGood reply.", EndState.FINISHED)
    assert [leg.state for leg in end.trace.legs] == [state, EndState.FINISHED]


def test_service__with_counts_that_cannot_be__is_estimated_and_told(services: Services) -> None:
    services.bad.answer = lambda _: [*words("Good", " reply."), *ending(-7, 10**12)]

    _, end = services.world.stream("bad/m")

    assert (end.state, end.usage.origin, end.usage.output_tokens) == (EndState.FINISHED, "estimated", 3)
    assert end.trace.legs[0].code == "wrong-count"


def test_service__endless__is_ended(services: Services) -> None:
    services.bad.answer = lambda _: [*words(*["forever "] * 10), *(sse(*[chunk("more " * 100)] * 100) * 40)]

    _, end = services.world.stream("bad/m", max_output_tokens=100)

    assert (end.state, end.code) == (EndState.LENGTH, "too-long")


def test_reader__that_leaves__hangs_up_on_the_service_at_once(services: Services) -> None:
    services.bad.answer = lambda _: [*words("Half"), HANG]

    async def leave() -> None:
        async with aclosing(services.world.gateway.stream(services.world.call("bad/m"))) as stream:
            assert await anext(stream) == TextDelta("Half")
        await services.bad.has_left()

    services.world.run(leave())
    row = services.world.row()
    assert (row["state"], row["output_tokens"], row["usage_origin"]) == ("cancelled", 1, "estimated")


def test_whole__over_services__is_asked_without_a_stream(services: Services) -> None:
    services.bad.answer = lambda _: whole({"error": {"message": "no"}})

    reply = services.world.chat("safe")

    assert (reply.text, reply.usage.output_tokens, [leg.code for leg in reply.trace.legs]) == ("Good reply.", 5, ["error-in-answer", ""])
    assert not services.good.asked[-1].body.get("stream")


def test_schema__that_a_service_keeps_to__is_told_as_its_doing(services: Services) -> None:
    services.bad.answer = lambda _: whole({"choices": [{"message": {"content": '{"a": 1}'}, "finish_reason": "stop"}]})
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert services.world.chat("bad/m", response_schema=schema).trace.enforced == "hub"
    services.good.answer = services.bad.answer
    try:
        assert services.world.chat("good/m", response_schema=schema).trace.enforced == "provider"
    finally:
        services.good.answer = good


def test_embeddings__other_than_asked_for__are_another_models(services: Services) -> None:
    def vectors(*rows: Sequence[float]) -> Any:
        return whole({"data": [{"index": n, "embedding": row} for n, row in enumerate(rows)], "usage": {"prompt_tokens": 4}})

    services.bad.answer, services.good.answer = lambda _: vectors([1.0]), lambda _: vectors([1.0], [2.0])
    try:
        call = services.world.call("safe")
        reply = services.world.run(services.world.gateway.embed(EmbeddingCall(actor=call.actor, model="safe", texts=("a", "b"))))
    finally:
        services.good.answer = good
    assert reply.vectors == ((1.0,), (2.0,))
    row = services.world.row()
    assert (row["kind"], row["model"], row["input_tokens"], row["state"]) == ("embedding", "good/m", 4, "finished")
