"""The compatible APIs by HTTP: what each dialect says when things go wrong, and what personas add."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from luminai import Decision, Denied, EndState, MediaReply, Model, Source, SourceFound, ToolCall, ToolCallFound
from luminai.testing import HubUnderTest, ScriptedProvider, running_hub
from luminai.testing.scripted_provider import Cut, Hang, Step, ended

PLUGINS = ("personas", "resonance", "knowledge", "ai-offline", "chat", "ai-gateway", "ai-faces")
CONFIG = {
    "ai-faces": {"heartbeat-seconds": 0.1},
    "ai-gateway": {"routes": [{"name": "again", "models": ["first/one", "second/one"], "mid-stream": "restart"}]},
}
HELLO = [{"role": "user", "content": "hello"}]
NAMES = (f"p{number}" for number in itertools.count())
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"


class World:
    """A hub with the plugin, in a loop of its own."""

    def __init__(self, hub: HubUnderTest, runner: asyncio.Runner) -> None:
        self.hub = hub
        self.run = runner.run
        self.client = hub.client("ai-faces:use")

    def provider(self, *replies: Sequence[Step], name: str = "", follows: bool = True) -> ScriptedProvider:
        """Return a new provider of the hub."""
        found = ScriptedProvider(*replies, name=name or next(NAMES), follows_instructions=follows)
        self.hub.provide("ai_providers", found, owner=found.name)
        return found

    def ask(self, path: str, body: Any, **more: Any) -> Any:
        """Return status and body."""
        answer = self.run(self.client.request("POST", path, json=body, **more))
        return answer.status, answer.json()

    def events(self, path: str, body: Any) -> list[Any]:
        """Return what a stream says."""
        answer = self.run(self.client.request("POST", path, json=body))
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        return [line if line == "[DONE]" else json.loads(line) for line in told(answer.text)]


def told(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        hub = runner.run(stack.enter_async_context(running_hub(*PLUGINS, config=CONFIG)))
        try:
            yield World(hub, runner)
        finally:
            runner.run(stack.aclose())


def requests(model: str, *, stream: bool) -> dict[str, tuple[str, Any]]:
    """Return the same question in every dialect."""
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return {
        "chat": (CHAT, {"model": model, "messages": HELLO, "stream": stream}),
        "responses": (RESPONSES, {"model": model, "input": "hello", "stream": stream}),
        "messages": (MESSAGES, {"model": model, "max_tokens": 100, "messages": HELLO, "stream": stream}),
        "gemini": (f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}),
    }


DIALECTS = tuple(requests("", stream=True))
PART = [{"type": "text", "text": "hello"}]
TOOL = [{"name": "look"}]
OWN_TOOL = [{"name": "look", "input_schema": {"type": "object"}}]
ITEMS = [{"role": "user", "content": "hello"}]
LISTS: dict[str, tuple[str, int, list[Any], Callable[[list[Any]], Any]]] = {
    "chat-messages": (CHAT, 5000, HELLO, lambda many: {"messages": many}),
    "chat-content": (CHAT, 1000, PART, lambda many: {"messages": [{"role": "user", "content": many}]}),
    "chat-calls": (
        CHAT,
        256,
        [{"id": "a", "function": {"name": "look"}}],
        lambda many: {"messages": [*HELLO, {"role": "assistant", "tool_calls": many}]},
    ),
    "chat-tools": (CHAT, 256, TOOL, lambda many: {"messages": HELLO, "tools": [{"type": "function", "function": one} for one in many]}),
    "responses-input": (RESPONSES, 5000, ITEMS, lambda many: {"input": many}),
    "responses-content": (RESPONSES, 1000, PART, lambda many: {"input": [{"role": "user", "content": many}]}),
    "responses-output": (RESPONSES, 1000, PART, lambda many: {"input": [*ITEMS, {"type": "function_call_output", "call_id": "a", "output": many}]}),
    "responses-tools": (RESPONSES, 256, TOOL, lambda many: {"input": "hello", "tools": [{"type": "function", **one} for one in many]}),
    "embeddings-input": ("/v1/embeddings", 2048, ["hello"], lambda many: {"input": many}),
    **{
        f"{name}-{at}": (path, most, items, body)
        for name, path in (("messages", MESSAGES), ("count", f"{MESSAGES}/count_tokens"))
        for at, most, items, body in (
            ("messages", 5000, HELLO, lambda many: {"max_tokens": 9, "messages": many}),
            ("content", 1000, PART, lambda many: {"max_tokens": 9, "messages": [{"role": "user", "content": many}]}),
            ("system", 1000, PART, lambda many: {"max_tokens": 9, "messages": HELLO, "system": many}),
            ("tools", 256, OWN_TOOL, lambda many: {"max_tokens": 9, "messages": HELLO, "tools": many}),
            (
                "result",
                1000,
                PART,
                lambda many: {
                    "max_tokens": 9,
                    "messages": [*HELLO, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": many}]}],
                },
            ),
        )
    },
}
"""Every list of a body: where it is sent, its bound, an item, and the body around the items."""
ENDS = {
    "chat": ("stop", "tool_calls", "length", "[DONE]"),
    "responses": ("response.completed", "response.incomplete"),
    "messages": ("end_turn", "tool_use", "max_tokens", "message_stop"),
    "gemini": ("STOP", "MAX_TOKENS", "finishReason"),
}
"""Words by which a dialect says that a reply is whole."""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("state", [EndState.CUT, EndState.STALLED, EndState.FAILED, EndState.CANCELLED])
def test_stream__broken__is_an_error_and_never_a_good_end(world: World, dialect: str, state: EndState) -> None:
    provider = world.provider(("Half a", " reply", ended(state, reason="so it was")))
    path, body = requests(f"{provider.name}/one", stream=True)[dialect]
    answer = world.run(world.client.request("POST", path, json=body))
    assert answer.status == 200
    assert "Half a" in answer.text
    lines = told(answer.text)
    assert f"ai-faces.{state}" in lines[-1]
    assert '"error"' in lines[-1]
    assert not any(f'"{word}"' in answer.text or lines[-1] == word for word in ENDS[dialect])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_whole__broken__is_an_error_with_what_came(world: World, dialect: str) -> None:
    provider = world.provider(("Half a", Cut()))
    path, body = requests(f"{provider.name}/one", stream=False)[dialect]
    answer = world.run(world.client.request("POST", path, json=body))
    found = answer.json()
    assert (answer.status, found["code"]) == (502, "ai-faces.cut")
    assert found["facts"]["text"] == "Half a"
    assert found["facts"]["end_state"] == "cut"
    assert answer.headers["x-should-retry"] == "false", "what was generated is not generated again unasked"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_stream__silent__says_that_it_stands(world: World, dialect: str) -> None:
    provider = world.provider(("Half a", Hang()))
    path, body = requests(f"{provider.name}/one", stream=True)[dialect]
    beat = {"messages": b"event: ping\n", "gemini": b"\n"}.get(dialect, b": still here\n\n")

    async def read() -> None:
        async with world.client.stream("POST", path, json=body) as answer:
            async for chunk in answer.chunks:
                if chunk.startswith(beat):
                    return
        pytest.fail("no heartbeat came")

    world.run(read())
    assert provider.closed == 1, "who leaves hangs up on the provider"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_stream__plugin_renewed__says_that_this_is_no_end(world: World, dialect: str) -> None:
    provider = world.provider(("Half a", Hang()))
    path, body = requests(f"{provider.name}/one", stream=True)[dialect]

    async def read() -> str:
        text = b""
        async with world.client.stream("POST", path, json=body) as answer:
            async for chunk in answer.chunks:
                text += chunk
                if b"Half a" in chunk:
                    renewed = asyncio.create_task(world.hub.swap("ai-faces"))
            await renewed
        return text.decode()

    text = world.run(read())
    assert "ai-faces.interrupted" in text
    assert not any(f'"{word}"' in text for word in ENDS[dialect])


def test_stream__nothing_in_time__begins_all_the_same_and_tells_the_failure(world: World) -> None:
    provider = world.provider((Hang(),))
    world.run(world.hub.swap("ai-gateway", config=CONFIG["ai-gateway"] | {"direct": {"first-seconds": 0.5, "retries": 0}}, cascade=True))
    world.hub.provide("ai_providers", provider, owner=provider.name)
    found = world.run(world.client.request("POST", CHAT, json={"model": f"{provider.name}/one", "messages": HELLO, "stream": True}))
    assert found.status == 200
    assert ": still here" in found.text
    assert json.loads(told(found.text)[-1])["error"]["code"] == "ai-gateway.provider-timeout"


def test_route_that_restarts__what_was_sent_is_void__is_told(world: World) -> None:
    world.provider(("Half a", Cut()), name="first")
    world.provider(("A whole reply",), name="second")
    found = world.events(CHAT, {"model": "again", "messages": HELLO, "stream": True})
    assert found[-1]["error"]["code"] == "ai-faces.void"
    status, whole = world.ask(CHAT, {"model": "again", "messages": HELLO})
    assert (status, whole["choices"][0]["message"]["content"]) == (200, "A whole reply")
    assert whole["luminai"]["model"] == "second/one"


def test_credential__in_each_header_of_the_vendors__is_the_hubs_own_key(world: World) -> None:
    key = world.run(world.hub.hub.keys.create("faces", ["ai-faces:use"], subject="user_keys"))[1]
    strangers = world.hub.client()

    def ask(path: str = "/v1/models", **headers: str) -> Any:
        return world.run(strangers.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}))

    for headers in ({"authorization": f"Bearer {key}"}, {"x_api_key": key}, {"x_goog_api_key": key}):
        assert ask(**headers).status == 200
    assert "models" in ask(x_goog_api_key=key).json()
    assert ask(f"/v1beta/models?key={key}").status == 401, "addresses are logged on the way"
    twice = ask(authorization=f"Bearer {key}", x_goog_api_key=key)
    assert (twice.status, twice.json()["code"]) == (400, "duplicate-header")
    for path, shape in (("/v1/models", {"type": "authentication_error", "code": "not-signed-in"}), ("/v1beta/models", {"status": "UNAUTHENTICATED"})):
        refused = ask(path)
        assert refused.status == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["error"].items() >= shape.items()
        assert (refused.json()["code"], refused.json()["status"]) == ("not-signed-in", 401)


def test_credential__without_the_scope__is_refused_everywhere(world: World) -> None:
    others = world.hub.client("chat:write")
    for path, body in requests("up/m", stream=False).values():
        answer = world.run(others.request("POST", path, json=body))
        assert (answer.status, answer.json()["code"]) == (403, "missing-scope")
    assert world.run(others.request("GET", "/v1/models")).status == 403


def test_tools__a_choice__is_known_or_refused(world: World) -> None:
    provider = world.provider(("No tool.",))
    offered = [{"type": "function", "function": {"name": name}} for name in ("one", "two")]

    def ask(choice: Any) -> Any:
        return world.ask(CHAT, {"model": f"{provider.name}/one", "messages": HELLO, "tools": offered, "tool_choice": choice})

    status, found = ask("none")
    assert (status, provider.asked[-1].tools, found["luminai"].get("ignored")) == (200, (), None)
    status, problem = ask({"type": "function", "function": {"name": "three"}})
    assert (status, problem["code"]) == (400, "ai-faces.unknown-tool")


def test_arguments__that_are_no_object__end_the_dialects_that_need_one(world: World) -> None:
    provider = world.provider((ToolCallFound(ToolCall("c1", "one", "[1")),))
    for dialect in ("messages", "gemini"):
        path, body = requests(f"{provider.name}/one", stream=False)[dialect]
        status, problem = world.ask(path, body)
        assert (status, problem["code"]) == (502, "ai-faces.bad-arguments")
        path, body = requests(f"{provider.name}/one", stream=True)[dialect]
        assert world.events(path, body)[-1]["code"] == "ai-faces.bad-arguments"
    _, found = world.ask(*requests(f"{provider.name}/one", stream=False)["chat"])
    assert found["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "[1", "OpenAI's clients read the text themselves"


def test_idempotency_key__the_same_request_again__is_answered_and_not_asked_again(world: World) -> None:
    provider = world.provider(("Once.",))
    path, body = requests(f"{provider.name}/one", stream=True)["chat"]
    first, again = (world.run(world.client.request("POST", path, json=body, headers={"idempotency-key": "faces-1"})) for _ in range(2))
    assert first.text == again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert len(provider.asked) == 1


def test_long_text__is_taken_here_and_nowhere_else(world: World) -> None:
    provider = world.provider(("Read.",))
    long = [{"role": "user", "content": "word " * 30_000}]
    assert world.ask(CHAT, {"model": f"{provider.name}/one", "messages": long})[0] == 200
    status, problem = world.ask(CHAT, {"model": f"{provider.name}/one", "messages": [{"role": "user", "content": "x" * 1_000_001}]})
    assert (status, problem["code"], problem["error"]["type"]) == (400, "too-large-inside", "invalid_request_error")
    answer = world.run(world.hub.client("chat:write").request("POST", "/api/chat", json={"message": "x" * 70_000}))
    assert answer.json()["code"] == "too-large-inside"


def test_gemini_stream__without_sse__is_one_array(world: World) -> None:
    provider = world.provider(("Hello", " there."), ("Half a", Cut()))
    path, body = requests(f"{provider.name}/one", stream=True)["gemini"]
    path = path.removesuffix("?alt=sse")
    status, found = world.ask(path, body)
    assert (status, found[-1]["candidates"][0]["finishReason"]) == (200, "STOP")
    _, broken = world.ask(path, body)
    assert broken[-1]["error"]["status"] == "INTERNAL"
    status, problem = world.ask(path.replace("streamGenerateContent", "dance"), body)
    assert (status, problem["error"]["status"]) == (404, "NOT_FOUND")


def test_models__by_pages__are_each_there_once(world: World) -> None:
    async def pages(path: str, size: str, after: str, items: str, more: str) -> list[str]:
        found: list[Any] = []
        token = ""
        while True:
            answer = (await world.client.request("GET", path, query={size: 2} | ({after: token} if token else {}))).json()
            found += answer[items]
            if not answer.get(more):
                return [str(one.get("id", one.get("baseModelId"))) for one in found]
            token = str(answer.get("last_id", answer.get("nextPageToken")))

    every = [one["id"] for one in world.run(world.client.request("GET", "/v1/models")).json()["data"]]
    assert every[0].startswith("persona:")
    assert every == world.run(pages("/v1/models", "limit", "after_id", "data", "has_more"))
    assert every == world.run(pages("/v1beta/models", "pageSize", "pageToken", "models", "nextPageToken"))
    assert world.run(world.client.request("GET", "/v1/models/nothing")).json()["code"] == "ai-faces.unknown-model"


class TestPersonas:
    def test_persona__its_instructions_come_first__and_the_reply_is_evaluated(self, world: World) -> None:
        provider = world.provider(("A considered", " reply."))
        messages = [{"role": "system", "content": "Speak Danish."}, *HELLO]
        status, found = world.ask(CHAT, {"model": f"persona:ely@{provider.name}/one", "messages": messages})
        assert status == 200
        system, own, question = provider.asked[-1].messages
        assert "Ely" in system.content
        assert (own.content, question.content) == ("Speak Danish.", "hello")
        notes = found["luminai"]
        assert notes["persona"]["id"] == "ely"
        assert 0 <= notes["R"] <= 1
        assert notes["witness_chips"][0] == {"id": "r", "label": f"R={notes['R']:.2f}", "icon": "bolt"}

    def test_persona__over_a_model_that_takes_no_instructions__frames_it(self, world: World) -> None:
        source = SourceFound(Source(id="d1", title="Birds"))
        provider = world.provider((source, "Quoted."), follows=False)
        model = f"persona:ely@{provider.name}/one"
        _, found = world.ask(CHAT, {"model": model, "messages": HELLO})
        text = "".join(
            one["choices"][0]["delta"].get("content", "") for one in world.events(CHAT, {"model": model, "messages": HELLO, "stream": True})[:-1]
        )
        assert found["choices"][0]["message"]["content"] == text
        assert text.endswith("\n\nQuoted.")
        assert len(text) > len("Quoted.") + 2
        assert [one.role for one in provider.asked[-1].messages] == ["user"]
        assert found["luminai"]["sources"][0]["title"] == "Birds"

    @pytest.mark.parametrize("name", ["persona:", "persona:nobody", "persona:@up/m", "persona:nobody@up/m"])
    def test_persona__that_is_not_there__is_not_found(self, world: World, name: str) -> None:
        for path, body in requests(name, stream=False).values():
            status, problem = world.ask(path, body)
            assert (status, problem["code"]) == (404, "personas.unknown")


class TestDecisions:
    @pytest.fixture
    def steps(self, world: World) -> Iterator[None]:
        async def guard(subject: Any) -> Denied | None:
            return Denied("safety.no", "Not that.") if "forbidden" in subject.ask.message else None

        async def mask(text: str) -> str:
            return str(text).replace("secret", "######")

        decisions = world.hub.hub.generation.wiring.decisions
        decisions.add("test", [Decision(point="guard.turn", decide=guard), Decision(point="filter.reply", decide=mask)])
        yield
        decisions.remove("test")

    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_guard__says_no__and_no_model_is_asked(self, world: World, steps: None, dialect: str) -> None:
        provider = world.provider(("Never.",))
        path, body = requests(f"{provider.name}/one", stream=True)[dialect]
        status, problem = world.ask(path, json.loads(json.dumps(body).replace('"hello"', '"the forbidden"')))
        assert (status, problem["code"]) == (403, "safety.no")
        assert provider.asked == []

    def test_filter__changes_a_whole_reply__and_marks_a_stream_as_filtered(self, world: World, steps: None) -> None:
        provider = world.provider(("The secret.",))
        body = {"model": f"{provider.name}/one", "messages": HELLO}
        assert world.ask(CHAT, body)[1]["choices"][0]["message"]["content"] == "The ######."
        last = world.events(CHAT, body | {"stream": True})[-2]
        assert last["choices"][0]["finish_reason"] == "content_filter"
        assert last["luminai"]["end_state"] == "filtered"


@pytest.mark.parametrize("name", LISTS)
def test_list__with_one_item_too_many__is_refused(world: World, name: str) -> None:
    path, most, item, body = LISTS[name]
    status, found = world.ask(path, {"model": "nobody/one", **body(item * most)})
    assert status in (404, 413), "there is no such model, and 5000 messages are more than the gateway sends to any"
    status, found = world.ask(path, {"model": "nobody/one", **body(item * (most + 1))})
    assert (status, found["code"]) == (400, "invalid-input")
    assert str(most) in json.dumps(found)


class Maker(ScriptedProvider):
    """Makes pictures and sounds."""

    def __init__(self) -> None:
        super().__init__(name=next(NAMES))
        self.asked: list[tuple[str, ...]] = []

    def models(self) -> list[Model]:
        return [Model(id="all", kinds=frozenset({"image", "speech"}))]

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:
        self.asked.append((prompt, f"{width}x{height}"))
        return MediaReply(content=b"GIF89a", content_type="image/gif", synthetic="drawn")

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:
        self.asked.append((text, voice))
        return MediaReply(content=b"RIFF", content_type="audio/wav", synthetic="spoken\r\nX-Bad: 世")


def test_media__are_given_with_how_they_were_made(world: World) -> None:
    maker = Maker()
    world.hub.provide("ai_providers", maker, owner=maker.name)
    model = f"{maker.name}/all"
    status, body = world.ask("/v1/images/generations", {"model": model, "prompt": "a cat", "quality": "hd", "size": "auto"})
    assert (status, body["data"]) == (200, [{"b64_json": "R0lGODlh"}]), body
    assert body["luminai"] == {"content_type": "image/gif", "synthetic": "drawn", "ignored": ["quality"]}
    world.ask("/v1/images/generations", {"model": model, "prompt": "a cat", "size": "64x32"})
    for voice in ({}, {"voice": "default"}, {"voice": "onyx"}):
        answer = world.run(world.client.request("POST", "/v1/audio/speech", json={"model": model, "input": "Hello.", "speed": 2, **voice}))
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"RIFF", "audio/wav")
        assert answer.headers["x-luminai-synthetic"] == "spoken??X-Bad: ?"
        assert answer.headers["x-luminai-ignored"] == "speed"
        assert "x-bad" not in answer.headers
    assert maker.asked == [("a cat", "1024x1024"), ("a cat", "64x32"), ("Hello.", ""), ("Hello.", ""), ("Hello.", "onyx")]


@pytest.mark.parametrize(
    ("path", "more", "code"),
    [
        ("images/generations", {"n": 2}, "ai-faces.unsupported"),
        ("images/generations", {"response_format": "url"}, "ai-faces.unsupported"),
        ("images/generations", {"stream": True}, "ai-faces.unsupported"),
        ("images/generations", {"size": "9999x9999"}, "ai-gateway.bad-size"),
        ("images/generations", {"size": "10x"}, "invalid-input"),
        ("images/generations", {"prompt": " "}, "ai-gateway.empty"),
        ("audio/speech", {"input": ""}, "ai-gateway.empty"),
        ("audio/speech", {"stream_format": "sse"}, "ai-faces.unsupported"),
        ("audio/speech", {"voice": "v" * 201}, "invalid-input"),
        ("audio/speech", {"model": "nobody/none"}, "ai-gateway.unknown-provider"),
    ],
)
def test_media__that_cannot_be_given__are_refused(world: World, path: str, more: dict[str, Any], code: str) -> None:
    maker = Maker()
    world.hub.provide("ai_providers", maker, owner=maker.name)
    model = f"{maker.name}/all"
    status, body = world.ask(f"/v1/{path}", {"model": model, "prompt": "a cat", "input": "Hello.", **more})
    assert (400 <= status < 500, body["code"], maker.asked) == (True, code, []), body
