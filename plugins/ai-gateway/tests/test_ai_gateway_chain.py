"""Routes: who is asked, in which order, how often; and how a reply ends whose provider broke off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from gateway_world import World, open_world

from luminai import (
    AIError,
    AIErrorKind,
    DeadlineExceeded,
    End,
    EndState,
    HubError,
    RateLimited,
    Seam,
    TextDelta,
    Unavailable,
    Unprocessable,
    Upstream,
)
from luminai.testing import Cut, Hang, Wait


def rate_limited(seconds: float) -> AIError:
    return AIError(AIErrorKind.RATE, "too many requests", retry_after=seconds)


BROKEN = AIError(AIErrorKind.UPSTREAM, "broken")
TIMES = {"first-seconds": 0.3, "idle-seconds": 0.2, "total-seconds": 3.0}


def route(name: str, *models: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "models": [f"{model}/one" for model in models], **TIMES, "retries": 0, **more}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    routes = [
        route("two", "left", "right", aliases=["double"]),
        route("again", "left", retries=2),
        route("keep", "left", "right", **{"mid-stream": "keep"}),
        route("restart", "left", "right", **{"mid-stream": "restart"}),
    ]
    config = {"routes": routes, "direct": {**TIMES, "retries": 0}}
    with open_world(tmp_path_factory.mktemp("chain"), config) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nobody_there(world: World) -> Iterator[None]:
    yield
    world.take_away("left", "right")


def test_route__first_model_answers__nobody_else_is_asked(world: World) -> None:
    left, right = world.replace("left", ("Left.",)), world.replace("right", ("Right.",))

    text, end = world.stream("double")

    assert (text, end.state, len(left.asked), len(right.asked)) == ("Left.", EndState.FINISHED, 1, 0)
    assert end.trace is not None
    assert [(leg.model, leg.state, leg.code) for leg in end.trace.legs] == [("left/one", EndState.FINISHED, "")]


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (BROKEN, "upstream"),
        (rate_limited(5), "rate"),
        (AIError(AIErrorKind.AUTH, "no"), "auth"),
        (AIError(AIErrorKind.QUOTA, "spent"), "quota"),
        (AIError(AIErrorKind.INVALID, "what?"), "invalid"),
        (Cut(), "upstream"),
        (Hang(), "stalled"),
        (TextDelta(""), "unnamed"),
        (End(state=EndState.FAILED, reason="no"), "failed"),
        (ValueError("own fault"), "raised"),
    ],
)
def test_route__first_model_fails_before_content__the_next_one_answers(world: World, failing: Any, code: str) -> None:
    steps = ("", Hang()) if isinstance(failing, TextDelta) else (failing,)
    left = world.replace("left", steps)
    if isinstance(failing, ValueError):

        async def stream(_: Any) -> Any:
            raise failing
            yield

        left.stream = stream  # type: ignore[assignment]
    world.replace("right", ("Right.",))

    text, end = world.stream("two")

    assert (text, end.state) == ("Right.", EndState.FINISHED)
    assert end.trace is not None
    first, second = end.trace.legs
    assert (first.model, first.state, second.model, second.state) == ("left/one", None, "right/one", EndState.FINISHED)
    assert first.code == ("stalled" if code == "unnamed" else code)


def test_route__first_model_is_not_there__the_next_one_answers(world: World) -> None:
    world.replace("right", ("Right.",))

    text, end = world.stream("two")

    assert text == "Right."
    assert end.trace is not None
    assert end.trace.legs[0].code == "not-there"


@pytest.mark.parametrize(
    ("failing", "error", "code"),
    [
        (BROKEN, Upstream, "provider-upstream"),
        (AIError(AIErrorKind.UPSTREAM, "x", code="error-in-answer"), Upstream, "error-in-answer"),
        (AIError(AIErrorKind.UPSTREAM, "x", code="unreadable"), Upstream, "unreadable"),
        (rate_limited(7), RateLimited, "provider-rate"),
        (AIError(AIErrorKind.QUOTA, "x"), RateLimited, "provider-quota"),
        (AIError(AIErrorKind.AUTH, "x"), Upstream, "provider-auth"),
        (AIError(AIErrorKind.INVALID, "x"), Unprocessable, "refused"),
        (Hang(), DeadlineExceeded, "provider-timeout"),
    ],
)
def test_route__all_fail__each_failure_has_its_own_code(world: World, failing: Any, error: type[HubError], code: str) -> None:
    world.replace("left", (failing,))
    world.replace("right", (failing,))
    for ask in (world.stream, world.chat):
        with pytest.raises(error) as refused:
            ask("two")
        assert refused.value.code == f"ai-gateway.{code}"
        assert refused.value.hint
        assert world.row()["state"] in ("failed", "stalled")
        assert (world.row()["output_tokens"], world.row()["input_tokens"]) == (0, 0)
    if code == "provider-rate":
        assert refused.value.retry_after == 7


def test_route__nobody_there__is_unavailable(world: World) -> None:
    with pytest.raises(Unavailable) as refused:
        world.stream("two")
    assert refused.value.code == "ai-gateway.no-provider"


def test_budget__failing_model_is_asked_again_as_often_as_the_route_says(world: World) -> None:
    left = world.replace("left", (rate_limited(0.01),), (rate_limited(0.01),), ("At last.",))

    text, end = world.stream("again")

    assert (text, len(left.asked)) == ("At last.", 3)
    assert end.trace is not None
    assert [leg.code for leg in end.trace.legs] == ["rate", "rate", ""]
    left = world.replace("left", (rate_limited(0.01),))
    with pytest.raises(RateLimited):
        world.stream("again")
    assert len(left.asked) == 3, "the budget is for the whole call"


def test_budget__what_another_try_cannot_mend__is_not_tried_again(world: World) -> None:
    for kind in (AIErrorKind.AUTH, AIErrorKind.QUOTA, AIErrorKind.INVALID):
        left = world.replace("left", (AIError(kind, "no"),), ("never",))
        with pytest.raises(HubError):
            world.stream("again")
        assert len(left.asked) == 1


def test_budget__retry_after_beyond_the_deadline__is_told_at_once(world: World) -> None:
    left = world.replace("left", (rate_limited(3600),))

    with pytest.raises(RateLimited) as refused:
        world.stream("again")

    assert (refused.value.retry_after, len(left.asked)) == (3600, 1)


BREAKS = [(Cut(), EndState.CUT), (Hang(), EndState.STALLED), (End(state=EndState.FAILED, reason="no"), EndState.FAILED)]


@pytest.mark.parametrize(("step", "state"), BREAKS)
def test_stop__reply_that_breaks_off__ends_as_what_happened(world: World, step: Any, state: EndState) -> None:
    world.replace("left", ("Half", step))
    right = world.replace("right", ("Right.",))

    text, end = world.stream("two")

    assert (text, end.state, right.asked) == ("Half", state, [])
    assert end.reason
    assert end.usage is not None
    assert end.usage.origin == "estimated"


@pytest.mark.parametrize(("step", "state"), BREAKS)
def test_keep__reply_that_breaks_off__is_gone_on_with_behind_a_seam(world: World, step: Any, state: EndState) -> None:
    world.replace("left", ("One two", step))
    right = world.replace("right", (" three.",))

    *content, end = world.run(world.events(world.call("keep")))

    (seam,) = [event for event in content if isinstance(event, Seam)]
    assert [event.text for event in content if isinstance(event, TextDelta)] == ["One two", " three."]
    assert content.index(seam) == 1
    assert (seam.model, seam.keep, seam.state) == ("right/one", True, state)
    assert end.state is EndState.FINISHED
    assert [(one.role, one.content) for one in right.asked[0].messages][:2] == [("user", "Hello"), ("assistant", "One two")]
    assert end.usage.origin == "estimated", "a part of it is"
    assert end.usage.output_tokens == 2 + 1
    assert [leg.state for leg in end.trace.legs] == [state, EndState.FINISHED]


def test_keep__what_the_second_says_again_of_the_first__is_said_once(world: World) -> None:
    first, more = "The quick brown fox jumps over the lazy dog, and", " sleeps."
    world.replace("left", (first, Cut()))
    right = world.replace("right", (*first, *more), (*first[-20:], *more), (first[:-1], "!"), (first[-20:], Cut()))

    for _ in range(2):
        text, end = world.stream("keep")
        assert (text, end.state) == (first + more, EndState.FINISHED)
    assert right.asked[0].messages[-1].content.endswith(first[-160:]), "it is shown where to go on"

    text, _ = world.stream("keep")
    assert text == f"{first}{first[:-1]}!", "what only resembles it stays"

    text, end = world.stream("keep")
    assert (text, end.state) == (first, EndState.CUT)


def test_keep__a_long_repetition__is_no_silence(world: World) -> None:
    first = "word " * 12
    world.replace("left", (first, Cut()))
    world.replace("right", [step for word in first.split() for step in (f"{word} ", Wait(TIMES["idle-seconds"] / 4))] + ["end."])

    text, end = world.stream("keep")

    assert (text, end.state) == (f"{first}end.", EndState.FINISHED)


def test_keep__model_that_only_quotes__is_not_asked_to_go_on(world: World) -> None:
    world.replace("left", ("Half", Cut()))
    right = world.replace("right", ("Quotation.",), follows_instructions=False)

    text, end = world.stream("keep")

    assert (text, end.state, right.asked) == ("Half", EndState.CUT, [])
    assert [(leg.state, leg.code) for leg in end.trace.legs] == [(EndState.CUT, ""), (None, "not-there")]


def test_restart__reply_that_breaks_off__begins_anew_behind_a_seam_and_only_that_counts(world: World) -> None:
    world.replace("left", ("One two three four five six", Cut()))
    world.replace("right", ("Right.",))

    text, end = world.stream("restart")

    assert (text, end.state, end.usage.output_tokens, end.usage.origin) == ("Right.", EndState.FINISHED, 1, "reported")


@pytest.mark.parametrize("name", ["keep", "restart"])
def test_seam__no_other_model_answers__the_reply_ends_as_it_broke_off(world: World, name: str) -> None:
    world.replace("left", ("Half", Cut()))
    world.replace("right", (BROKEN,))

    *content, end = world.run(world.events(world.call(name)))

    assert content == [TextDelta("Half")], "no seam: nobody went on"
    assert end.state is EndState.CUT


@pytest.mark.parametrize("name", ["two", "keep", "restart"])
def test_whole__reply_that_breaks_off__another_model_gives_it(world: World, name: str) -> None:
    world.replace("left", ("Half", Cut()))
    world.replace("right", ("Right.",))

    reply = world.chat(name)

    assert (reply.text, reply.end) == ("Right.", EndState.FINISHED)
    world.replace("right", (BROKEN,))
    reply = world.chat(name)
    assert (reply.text, reply.end) == ("Half", EndState.CUT), "half is better than nothing, and called half"


def test_idle__slow_content__is_no_stall(world: World) -> None:
    world.replace("left", ("a", Wait(0.05), "b", Wait(0.05), "c", Wait(0.05), "d", Wait(0.05), "e", Wait(0.05), "f"))

    assert world.stream("two")[0] == "abcdef"


def test_idle__empty_pieces__do_not_reset_the_clock(world: World) -> None:
    world.replace("left", ("a", *(step for _ in range(40) for step in (Wait(0.05), ""))))

    text, end = world.stream("two")

    assert (text, end.state) == ("a", EndState.STALLED)


def test_deadline__of_the_whole_call__ends_what_is_endless(world: World) -> None:
    world.replace("left", tuple(step for _ in range(2000) for step in ("a ", Wait(0.01))))

    text, end = world.stream("two", timeout=0.3)

    assert (end.state, text[:4]) == (EndState.STALLED, "a a ")


def test_reader__that_leaves__closes_the_provider_at_once_and_the_call_is_cancelled(world: World) -> None:
    left = world.replace("left", ("some words", Hang()))

    async def leave() -> None:
        async with aclosing(world.gateway.stream(world.call("two"))) as stream:
            assert await anext(stream) == TextDelta("some words")
        assert left.closed == 1

    world.run(leave())
    row = world.row()
    assert (row["state"], row["output_tokens"], row["usage_origin"]) == ("cancelled", 3, "estimated")


def test_task__cancelled_before_content__closes_the_provider_and_nothing_counts(world: World) -> None:
    left = world.replace("left", (Hang(),))

    async def cancel() -> None:
        task = asyncio.create_task(world.events(world.call("two")))
        while not left.asked:  # noqa: ASYNC110 - a double has no event to wait for
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.closed == 1

    world.run(cancel())
    row = world.row()
    assert (row["state"], row["output_tokens"], row["input_tokens"]) == ("cancelled", 0, 0)
