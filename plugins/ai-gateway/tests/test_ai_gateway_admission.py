"""What is refused before anybody is asked: each with a code of its own, nothing recorded, nothing charged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from gateway_world import World, open_world

from luminai import Actor, ChatMessage, Conflict, End, EndState, Forbidden, HubError, InvalidInput, TextDelta, Tool, TooLarge, Unprocessable, Usage
from luminai.testing import Hang
from luminai_ai_gateway import EmbeddingCall, ImageCall, SpeechCall

ANN = Actor(id="key_ann", subject="ann", scopes=frozenset({"ai-gateway:use"}))
CONFIG = {
    "expose": ["script*", "offline/*"],
    "prompt-characters": 2000,
    "output-tokens": 20,
    "calls-at-once": 3,
    "calls-per-person": 2,
    "waiting": 1,
    "waiting-seconds": 0.3,
    "routes": [{"name": "speaks", "models": ["offline/quote"]}, {"name": "fast", "models": ["left/one"], "retries": 0, "idle-seconds": 0.2}],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("admission")
    (folder / "docs").mkdir()
    with open_world(folder, CONFIG, "knowledge", "ai-offline") as opened:
        yield opened


@pytest.fixture
def model(world: World) -> str:
    return f"{world.provide(('Yes.',)).name}/one"


def refused(world: World, error: type[HubError], code: str, model: str, content: str = "Hello", **more: Any) -> HubError:
    """Ask by both ways; return how it is refused."""
    before = len(world.rows())
    for ask in (world.stream, world.chat):
        with pytest.raises(error) as found:
            ask(model, content, **more)
        assert found.value.code == f"ai-gateway.{code}"
        assert found.value.hint
    assert len(world.rows()) == before
    return found.value


def test_model__that_is_not_there__is_told_with_the_nearest(world: World, model: str) -> None:
    error = refused(world, Unprocessable, "unknown-model", model.replace("/one", "/two"))
    assert model in error.hint
    assert "fast" in refused(world, Unprocessable, "unknown-model", "fats").hint


def test_provider__that_is_not_there_or_the_gateway_itself__is_unknown(world: World) -> None:
    for name in ("nobody/one", "gateway/fast"):
        refused(world, Unprocessable, "unknown-provider", name)


def test_model__that_the_operator_does_not_expose__is_unknown_by_that_name(world: World) -> None:
    world.replace("left", ("Left.",))
    refused(world, Unprocessable, "unknown-model", "left/one")
    assert world.stream("fast")[0] == "Left."
    assert "left/one" not in [one.name for one in world.gateway.models(ANN)]


def test_models__are_routes_and_what_is_exposed(world: World, model: str) -> None:
    answer = world.run(world.hub.client("ai-gateway:read").request("GET", "/api/ai/models"))
    found = {one["name"]: one for one in answer.json()["items"]}
    assert list(found)[:2] == ["speaks", "fast"]
    assert {model, "offline/quote"} <= found.keys()
    assert (found["speaks"]["kinds"], found["speaks"]["chain"], found["speaks"]["available"]) == (["chat"], ["offline/quote"], True)


def test_actor__without_the_scope__is_refused(world: World, model: str) -> None:
    refused(world, Forbidden, "scope", model, scopes=("ai-gateway:read", "chat:write"))


def test_kind__that_the_model_lacks__is_refused(world: World, model: str) -> None:
    calls = (
        world.gateway.embed(EmbeddingCall(actor=ANN, model=model, texts=("a",))),
        world.gateway.image(ImageCall(actor=ANN, model=model, prompt="A cat.")),
        world.gateway.speak(SpeechCall(actor=ANN, model=model, text="Hello.")),
    )
    for call in calls:
        with pytest.raises(Unprocessable) as found:
            world.run(call)
        assert found.value.code == "ai-gateway.wrong-kind"


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text__that_is_none__is_refused(world: World, model: str, text: str) -> None:
    refused(world, InvalidInput, "bad-text", model, text)


def test_prompt__too_long_or_empty__is_refused(world: World, model: str) -> None:
    refused(world, TooLarge, "prompt-too-large", model, "x" * 2001)
    refused(world, TooLarge, "prompt-too-large", model, messages=tuple(ChatMessage("user", "") for _ in range(2001)))
    refused(world, InvalidInput, "empty", model, messages=())


DEEP: dict[str, Any] = {"type": "object"}
for _ in range(40):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
BAD_SCHEMAS = [
    {"type": "objct"},
    {"type": "object", "properties": []},
    {"$ref": "https://elsewhere.example/schema.json"},
    {"type": "object", "required": "name"},
    DEEP,
]


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
def test_schema__that_is_none__is_refused_with_its_findings(world: World, model: str, schema: dict[str, Any]) -> None:
    error = refused(world, Unprocessable, "bad-response-schema", model, response_schema=schema)
    assert error.errors[0].pointer.startswith("/response_schema")
    error = refused(world, Unprocessable, "bad-tool-schema", model, tools=(Tool("look", "Looks.", schema),))
    assert error.errors[0].pointer.startswith("/tools/0/parameters")


def test_tools__bad_names_or_a_model_without_tools__are_refused(world: World, model: str) -> None:
    good = {"type": "object"}
    for tools in ((Tool("no way", "", good),), (Tool("a", "", good), Tool("a", "", good)), (Tool("a", "", {"type": "string"}),)):
        refused(world, Unprocessable, "bad-tool-schema", model, tools=tools)
    refused(world, Unprocessable, "no-tools", model, tools=(Tool("look", "Looks.", good),))


def test_picture__of_no_size__is_refused(world: World, model: str) -> None:
    with pytest.raises(InvalidInput) as found:
        world.run(world.gateway.image(ImageCall(actor=ANN, model=model, prompt="A cat.", width=0)))
    assert found.value.code == "ai-gateway.bad-size"


def test_reply__endless__is_ended_at_its_bound(world: World) -> None:
    name = f"{world.provide(['word '] * 5000).name}/one"

    text, end = world.stream(name)

    assert (end.state, end.code) == (EndState.LENGTH, "too-long")
    assert len(text) <= 20 * 8 + 5


@pytest.mark.parametrize(("told", "seen"), [((-3, 5), 1), ((3, 0), 1), ((3, 10**12), 1)])
def test_counts__that_cannot_be__are_estimated_and_told(world: World, told: tuple[int, int], seen: int) -> None:
    usage = Usage(input_tokens=told[0], output_tokens=told[1], origin="reported")
    name = f"{world.provide(('Yes.', End(state=EndState.FINISHED, usage=usage))).name}/one"

    _, end = world.stream(name)

    assert end.usage is not None
    assert end.trace is not None
    assert (end.usage.output_tokens, end.usage.origin, end.trace.legs[0].code) == (seen, "estimated", "wrong-count")
    assert (world.row()["usage_origin"], world.row()["output_tokens"]) == ("estimated", seen)


def test_key__of_a_call_that_gave_something__is_used_up(world: World) -> None:
    provider = world.provide(("Yes.",))
    name = f"{provider.name}/one"

    world.chat(name, key="once")
    with pytest.raises(Conflict) as found:
        world.stream(name, key="once")

    assert (found.value.code, len(provider.asked)) == ("ai-gateway.key-used", 1)
    assert world.rows()[0]["id"] in found.value.detail
    world.chat(name, key="once", subject="bob")


def test_key__of_a_call_that_gave_nothing__is_free_again(world: World) -> None:
    name = f"{world.provide((Hang(),), ('Yes.',)).name}/one"

    with pytest.raises(HubError):
        world.stream(name, key="again", timeout=0.1)

    assert world.stream(name, key="again")[0] == "Yes."


def test_places__are_bounded_for_one_and_for_all__and_those_who_wait_come_in_order(world: World) -> None:
    name = f"{world.provide((TextDelta('.'), Hang())).name}/one"

    async def outcome(subject: str) -> str:
        try:
            await world.gateway.chat(world.call(name, subject=subject, timeout=3))
        except HubError as error:
            return error.code
        return "answered"

    async def main() -> None:
        async def hold(subject: str) -> Any:
            stream = world.gateway.stream(world.call(name, subject=subject))
            await anext(stream)
            return stream

        held = [await hold("cid"), await hold("cid")]
        assert await outcome("cid") == "ai-gateway.too-many-calls"
        held.append(await hold("dan"))
        assert await outcome("eve") == "ai-gateway.busy", "nobody left in time"
        waits = asyncio.create_task(hold("eve"))
        while not world.gateway.waiting:  # noqa: ASYNC110 - until it stands in the queue
            await asyncio.sleep(0)
        assert await outcome("fay") == "ai-gateway.busy", "nobody else may wait"
        await held.pop().aclose()
        held.append(await waits)
        for stream in held:
            async with aclosing(stream):
                pass
        assert (world.gateway.running, world.gateway.waiting) == (0, 0)

    world.run(main())
