"""Replies that must keep to a schema or call a tool, and replies that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from gateway_world import World, open_world
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from luminai import End, EndState, InvalidInput, TextDelta, Tool, ToolCall, ToolCallFound, Upstream
from luminai.testing import Cut, ScriptedProvider
from luminai_ai_gateway.schema import mismatch, schema_problems

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
NAMES = count(1)
GOOD, BAD = '{"city":"Oslo"}', '{"town":"Oslo"}'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    kept = {"name": "kept", "models": ["left/one"], "cache": True, "retries": 0}
    config = {"direct": {"retries": 1}, "routes": [kept, {"name": "once", "models": ["left/one"], "retries": 0}]}
    with open_world(tmp_path_factory.mktemp("structured"), config) as opened:
        yield opened


class Structured(ScriptedProvider):
    """A provider that says that it keeps replies to schemas itself."""

    def models(self) -> Any:
        return [replace(one, structured=True) for one in super().models()]


class Calling(ScriptedProvider):
    """A provider whose model calls tools."""

    def models(self) -> Any:
        return [replace(one, tools=True) for one in super().models()]


def offer(world: World, *replies: Any, kind: Any = ScriptedProvider) -> tuple[Any, str]:
    provider = kind(*replies, name=f"shape{next(NAMES)}")
    world.hub.provide("ai_providers", provider)
    return provider, f"{provider.name}/one"


def test_whole__good_reply__is_enforced_by_the_hub_that_looked(world: World) -> None:
    provider, name = offer(world, (f"```json\n{GOOD}\n```",))

    reply = world.chat(name, response_schema=SCHEMA)

    assert (reply.text, reply.trace.enforced) == (GOOD, "hub")
    assert provider.asked[0].response_schema == SCHEMA
    assert json.dumps(SCHEMA, separators=(",", ":")) in provider.asked[0].messages[0].content, "a model that may not know schemas is told in words"


def test_whole__provider_that_sees_to_it__is_told_as_that(world: World) -> None:
    provider, name = offer(world, (GOOD,), kind=Structured)

    assert world.chat(name, response_schema=SCHEMA).trace.enforced == "provider"
    assert [one.role for one in provider.asked[0].messages] == ["user"]


@pytest.mark.parametrize("kind", [ScriptedProvider, Structured])
def test_whole__bad_reply__is_mended_once(world: World, kind: Any) -> None:
    provider, name = offer(world, (BAD,), (GOOD,), kind=kind)

    reply = world.chat(name, response_schema=SCHEMA)

    assert (reply.text, reply.trace.enforced, len(provider.asked)) == (GOOD, "hub", 2)
    assert provider.asked[1].messages[-2].content == BAD
    assert reply.usage.output_tokens == len(GOOD.split()), "the first reply is not in it"


def test_whole__reply_that_cannot_be_mended__is_refused_and_nothing_is_given(world: World) -> None:
    provider, name = offer(world, (BAD,))

    for ask in (world.chat, world.stream):
        with pytest.raises(Upstream) as refused:
            ask(name, response_schema=SCHEMA)
        assert refused.value.code == "ai-gateway.schema-mismatch"
        assert (world.row()["state"], world.row()["code"]) == ("failed", "schema-mismatch")
    assert len(provider.asked) == 4


def test_whole__no_budget__is_not_mended(world: World) -> None:
    left = world.replace("left", (BAD,), (GOOD,))

    with pytest.raises(Upstream):
        world.chat("once", response_schema=SCHEMA)

    assert len(left.asked) == 1


def test_stream__model_that_does_not_see_to_it__comes_when_it_is_known_to_be_good(world: World) -> None:
    _, name = offer(world, (BAD,), tuple(GOOD))

    *content, end = world.run(world.events(world.call(name, response_schema=SCHEMA)))

    assert (content, end.trace.enforced) == ([TextDelta(GOOD)], "hub")


def test_stream__provider_that_sees_to_it__comes_as_it_is_made_and_is_looked_at(world: World) -> None:
    _, name = offer(world, tuple(GOOD), kind=Structured)
    *content, end = world.run(world.events(world.call(name, response_schema=SCHEMA)))
    assert (len(content), end.state, end.trace.enforced) == (len(GOOD), EndState.FINISHED, "provider")

    _, name = offer(world, tuple(BAD), kind=Structured)
    *content, end = world.run(world.events(world.call(name, response_schema=SCHEMA)))
    assert (end.state, end.code, end.trace.enforced) == (EndState.FAILED, "schema-mismatch", "")


LOOK = {"tools": (Tool("look", "Looks.", {"type": "object"}),), "tool_choice": "required"}
CALL = ToolCallFound(ToolCall("c1", "look", "{}"))


def test_tool_that_must_be_called__words_in_its_place__are_asked_for_again(world: World) -> None:
    provider, name = offer(world, ("I would rather talk.",), (CALL,), kind=Calling)

    reply = world.chat(name, **LOOK)

    assert (reply.text, reply.tool_calls, [one.tool_choice for one in provider.asked]) == ("", (CALL.call,), ["required"] * 2)
    assert reply.trace.legs[0].code == "no-tool-called"


def test_tool_that_must_be_called__and_never_is__fails_and_says_so(world: World) -> None:
    _, name = offer(world, ("I would rather talk.",), kind=Calling)

    with pytest.raises(Upstream) as refused:
        world.chat(name, **LOOK)
    assert refused.value.code == "ai-gateway.no-tool-called"
    assert (world.row()["state"], world.row()["code"]) == ("failed", "no-tool-called")

    text, end = world.stream(name, **LOOK)
    assert (text, end.state, end.code) == ("I would rather talk.", EndState.FAILED, "no-tool-called")
    assert (world.row()["state"], world.row()["code"]) == ("failed", "no-tool-called")
    with pytest.raises(InvalidInput) as refused:
        world.chat(name, tool_choice="required")
    assert refused.value.code == "ai-gateway.nothing-to-call"


def test_reply__that_was_cut_off_at_its_length__was_only_asked_for(world: World) -> None:
    _, name = offer(world, (GOOD[:5], End(state=EndState.LENGTH)))

    reply = world.chat(name, response_schema=SCHEMA)

    assert (reply.text, reply.end, reply.trace.enforced) == (GOOD[:5], EndState.LENGTH, "asked")


def test_schema__with_patterns__is_not_judged_whole(world: World) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "pattern": "^(a+)+$"}}}
    _, name = offer(world, ('{"city":"%s!"}' % ("a" * 60),))

    assert world.chat(name, response_schema=schema).trace.enforced == "asked"


def test_check__of_a_schema_made_to_run_for_ever__ends() -> None:
    parts = {f"p{n}": {"allOf": [{"$ref": f"#/$defs/p{n + 1}"}] * 2} for n in range(30)} | {"p30": {"type": "object"}}
    schema = {"$ref": "#/$defs/p0", "$defs": parts}
    assert schema_problems(schema) == ()
    assert mismatch(schema, "{}") == ("the schema asks for more than can be checked",)
    assert mismatch({"$ref": "#"}, "{}")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
@settings(max_examples=50, deadline=None)
def test_check__of_any_json_by_its_own_constant__fits(value: Any) -> None:
    text = json.dumps(value)
    assert mismatch({"const": value}, text) == ()
    assert mismatch({"not": {"const": value}}, text) != ()


@pytest.mark.shows("PX-47", "PX-D13")
def test_cache__same_person_prompt_and_input__gets_the_kept_reply_and_pays_nothing(world: World) -> None:
    left = world.replace("left", ("One.",), ("Two.",), ("Three.",), ("Four.",), ("Five.",))

    first, again, streamed = world.chat("kept", subject="cat"), world.chat("kept", subject="cat"), world.stream("kept", subject="cat")

    assert (first.text, first.trace.cache, again.text, again.trace.cache) == ("One.", "kept", "One.", "hit")
    assert (streamed[0], streamed[1].trace.cache) == ("One.", "hit")
    assert (len(left.asked), again.usage.output_tokens) == (1, 0)
    row = world.row("cat")
    assert (row["state"], row["model"], row["output_tokens"], row["cost_micros"]) == ("finished", "left/one", 0, 0)
    assert world.chat("kept", subject="dog").text == "Two.", "nobody gets what another had made"
    assert world.chat("kept", subject="cat", prompt_version="2").text == "Three."
    assert world.chat("kept", "Goodbye", subject="cat").text == "Four."
    assert world.chat("once", subject="cat").text == "Five.", "only where the route says so"


def test_cache__reply_that_did_not_finish__is_not_kept(world: World) -> None:
    world.replace("left", ("Half", Cut()), ("Whole.",))

    assert world.stream("kept", subject="elk")[1].state is EndState.CUT
    assert world.stream("kept", subject="elk")[0] == "Whole."
