"""Logs, seams and links: properties of what is pure, and resuming through HTTP in one process."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luminai import Continuation, End, EndState, Seam, TextDelta, Usage
from luminai.http.ai.continuation import LEAST
from luminai.testing import Cut, FrozenClock, Hang, HubUnderTest, ScriptedProvider, Wait, faults, running_hub
from luminai_chat.turn_log import MAX_AHEAD, LogEvent, TurnLog, merged

BASE = ("personas", "resonance", "knowledge", "ai-offline", "chat")
FINISHED = End(state=EndState.FINISHED, usage=Usage(input_tokens=3, output_tokens=2, origin="reported"))
words = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12), max_size=40)


def told(events: Sequence[LogEvent]) -> str:
    return "".join(msgspec.json.decode(event.data)["text"] for event in events if event.kind == "text")


async def everything(log: TurnLog, after: int = 0) -> list[LogEvent]:
    return [event async for batch in log.follow(after) for event in merged(batch)]


@given(pieces=words, marks=st.sets(st.integers(0, 40)), data=st.data())
@settings(deadline=None)
def test_log__read_in_two_parts__is_the_whole_for_every_cut(pieces: list[str], marks: set[int], data: st.DataObject) -> None:
    """Whatever the pieces, and wherever a reader left: what it had and what it gets are the whole text, each event once, numbers rising."""
    log = TurnLog()
    for number, piece in enumerate(pieces):
        if number in marks:
            log.add("source", {"id": str(number)})
        log.add("text", {"text": piece})
    log.close(log.make("end", {}))
    for cut in range(log.last + 1):
        first = merged([event for event in log.since(0) if event.id <= cut])
        seen = first[-1].id if first else 0
        rest = asyncio.run(everything(log, seen)) if cut % 7 == 0 else merged(log.since(seen))
        assert told(first) + told(rest) == "".join(pieces)
        numbers = [event.id for event in (*first, *rest)]
        assert numbers == sorted(set(numbers))
        assert [event.kind for event in (*first, *rest) if event.kind != "text"].count("source") == len(marks & set(range(len(pieces))))


@given(count=st.integers(20, 60), cut=st.integers(0, 600), repeats=st.integers(0, 400), size=st.integers(1, 50))
@example(count=40, cut=100, repeats=100, size=7)
@example(count=40, cut=5, repeats=5, size=1)
@settings(deadline=None)
def test_continuation__whatever_it_repeats__is_said_once(count: int, cut: int, repeats: int, size: int) -> None:
    """A reply is cut anywhere; its continuation begins there, some characters before, or anew; both parts are the whole."""
    whole = " ".join(f"word{number}" for number in range(count))
    prefix = whole[:cut]
    back = min(repeats, len(prefix))
    if 0 < back < LEAST:
        back = len(prefix) if 4 <= len(prefix) < LEAST else 0
    seam, rest = Continuation(prefix), whole[len(prefix) - back :]
    said = "".join(seam.feed(rest[start : start + size]) for start in range(0, len(rest), size)) + seam.end()
    assert prefix + said == whole


def on_hub(work: Any, **more: Any) -> Any:
    async def main() -> Any:
        async with running_hub(*BASE, **more) as hub:
            return await work(hub)

    return asyncio.run(main())


async def stream(client: Any, method: str, path: str, until: bytes = b"", **more: Any) -> list[tuple[int, str, Any]]:
    """Return the events of a stream, to its end or to the first that says ``until``."""
    raw = b""
    async with client.stream(method, path, headers={"accept": "text/event-stream", **more.pop("headers", {})}, **more) as answer:
        assert answer.status == 200, answer.headers
        async for chunk in answer.chunks:
            raw += chunk
            if until and until in raw and raw.endswith(b"\n\n"):
                break
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in raw.decode().strip().split("\n\n") if not block.startswith(":")]
    return [(int(one["id"]), one["event"], msgspec.json.decode(one["data"])) for one in blocks]


def test_turn__read_again_from_any_event__by_its_owner_alone() -> None:
    async def work(hub: HubUnderTest) -> None:
        hub.provide("ai_providers", ScriptedProvider(("one ", "two ", "three", FINISHED)))
        client = hub.client("chat:read", "chat:write")
        first = await stream(client, "POST", "/api/chat", json={"message": "go", "model": "scripted/one"})
        path = f"/api/chat/turns/{first[0][2]['turn_id']}/events"
        again = await stream(client, "GET", path)
        assert again[-1] == first[-1]
        for number, _, _ in first[:-1]:
            rest = await stream(client, "GET", path, headers={"last-event-id": str(number)})
            read = [event for event in first if event[0] <= number] + rest
            assert "".join(data["text"] for _, kind, data in read if kind == "text") == "one two three"
        assert await stream(client, "GET", f"{path}?after={first[-2][0]}") == [first[-1]]
        other = await hub.client("chat:read", subject="other").request("GET", path)
        assert (other.status, other.json()["code"]) == (404, "chat.turn-not-found")
        assert (await client.request("GET", path, headers={"last-event-id": "-1"})).status == 400

    on_hub(work)


def test_replay__after_its_hours__is_gone_and_the_reply_stays() -> None:
    async def work(hub: HubUnderTest) -> None:
        client = hub.client("chat:read", "chat:write")
        hub.provide("ai_providers", ScriptedProvider(("kept", FINISHED)))
        asked = {"json": {"message": "go", "model": "scripted/one"}, "headers": {"idempotency-key": "k"}}
        found = (await client.request("POST", "/api/chat", **asked)).json()
        assert (await client.request("POST", "/api/chat", **asked)).json() == found
        clock = hub.hub.clock
        assert isinstance(clock, FrozenClock)
        clock.advance(3700)
        await hub.swap("chat")  # it sweeps when it starts
        path = f"/api/chat/turns/{found['turn_id']}/events"
        async with asyncio.timeout(20):
            gone = await client.request("GET", path)
            while gone.status == 200:
                gone = await client.request("GET", path)
        assert (gone.status, gone.json()["code"]) == (404, "chat.log-swept")
        assert (await client.request("GET", f"/api/session/{found['session_id']}")).json()["chat_history"][-1]["content"] == "kept"

    on_hub(work, clock=FrozenClock(), config={"chat": {"replay-hours": 1}})


def test_reply__continued__keeps_its_text_and_the_branch_goes_on() -> None:
    async def work(hub: HubUnderTest) -> None:
        provider = ScriptedProvider(
            ("The tower of the old harbour ", "stands", Cut()), ("the old harbour stands", " on a rock.", FINISHED), ("Yes.", FINISHED)
        )
        hub.provide("ai_providers", provider)
        client = hub.client("chat:read", "chat:write")
        model = {"model": "scripted/one"}
        first = (await client.request("POST", "/api/chat", json={"message": "Which tower?", **model})).json()
        assert any("/continue" in card["body"] or card["title"] == "The reply is cut" for card in first["notebook"])
        path = f"/api/chat/turns/{first['turn_id']}/continue"
        key = {"idempotency-key": "again"}
        second = (await client.request("POST", path, json={}, headers=key)).json()
        assert (second["response"], second["continues"], second["end_state"]) == (" on a rock.", first["message_id"], "finished")
        assert (await client.request("POST", path, json={}, headers=key)).json() == second, "a repeated request continues once"
        assert len(provider.asked) == 2
        *_, question, prefix, order = provider.asked[1].messages
        assert (question.content, prefix.content) == ("Which tower?", "The tower of the old harbour stands")
        assert order.role == "user"
        await client.request("POST", "/api/chat", json={"message": "Sure?", "session_id": first["session_id"], **model})
        said = [(message.role, message.content) for message in provider.asked[2].messages[1:]]
        assert said == [("user", "Which tower?"), ("assistant", "The tower of the old harbour stands on a rock."), ("user", "Sure?")]
        stranger = await hub.client("chat:write", subject="other").request("POST", path, json={})
        assert (stranger.status, stranger.json()["code"]) == (404, "chat.turn-not-found")

    on_hub(work)


def test_turn__with_more_events_than_a_log_holds__ends_as_length_with_all_that_was_told() -> None:
    async def work(hub: HubUnderTest) -> None:
        hub.provide("ai_providers", ScriptedProvider([TextDelta("x")] * 25_000))
        found = await stream(hub.client("chat:read", "chat:write"), "POST", "/api/chat", json={"message": "go", "model": "scripted/one"})
        end = found[-1][2]
        assert end["end_state"] == "length"
        assert "".join(data["text"] for _, kind, data in found if kind == "text") == end["response"]
        assert 19_000 < len(end["response"]) <= 20_000
        again = await stream(hub.client("chat:read", "chat:write"), "GET", f"/api/chat/turns/{end['turn_id']}/events")
        assert len(again) < 200, "a reader that is behind is told in few steps"
        assert again[-1] == found[-1]

    on_hub(work)


def test_reader__that_never_reads__costs_nothing_and_stops_nobody() -> None:
    async def work(hub: HubUnderTest) -> None:
        hub.provide("ai_providers", ScriptedProvider([TextDelta("y" * 50)] * 3000, name="long"))
        client = hub.client("chat:read", "chat:write")
        asked = {"json": {"message": "go", "model": "long/one"}, "headers": {"accept": "text/event-stream"}}
        async with client.stream("POST", "/api/chat", **asked) as idle:
            opening = msgspec.json.decode((await anext(idle.chunks)).split(b"data: ", 1)[1].split(b"\n", 1)[0])
            rest = await stream(client, "GET", f"/api/chat/turns/{opening['turn_id']}/events")
            assert len(rest[-1][2]["response"]) == 150_000
            assert rest[-1][2]["end_state"] == "finished"

    on_hub(work)


def test_log__runner_ahead_of_what_is_kept__is_bounded() -> None:
    log = TurnLog(start=5)
    for _ in range(3 * MAX_AHEAD):
        log.add("text", {"text": "z"})
    assert len(log.since(log.kept)) == MAX_AHEAD, "what is written at once is bounded"
    log.has_kept(5 + 2 * MAX_AHEAD)
    assert len(log.since(log.kept)) == MAX_AHEAD
    assert log.last == 5 + 3 * MAX_AHEAD


def test_seam__of_a_gateway__is_marked_and_what_is_void_is_not_stored() -> None:
    async def work(hub: HubUnderTest) -> None:
        steps: Any = (
            ("one ", Seam(model="b/x", keep=True, state=EndState.CUT), "two", FINISHED),
            ("void", Seam(model="b/x", keep=False, state=EndState.CUT), "anew", FINISHED),
        )
        hub.provide("ai_providers", ScriptedProvider(*steps))
        client = hub.client("chat:read", "chat:write")
        for response, keep in (("one two", True), ("anew", False)):
            found = await stream(client, "POST", "/api/chat", json={"message": "go", "model": "scripted/one"})
            assert found[-1][2]["response"] == response
            assert [data for _, kind, data in found if kind == "seam"] == [{"model": "b/x", "keep": keep, "reason": "cut"}]

    on_hub(work)


def test_session__deleted_while_it_is_answered__takes_its_turn_along() -> None:
    async def work(hub: HubUnderTest) -> None:
        hub.provide("ai_providers", ScriptedProvider(("so far", Wait(0.2), " more", FINISHED)))
        client = hub.client("chat:read", "chat:write")
        events = await stream(client, "POST", "/api/chat", until=b"event: text", json={"message": "go", "model": "scripted/one"})
        turn, session = events[0][2]["turn_id"], events[0][2]["session_id"]
        running = asyncio.ensure_future(stream(client, "GET", f"/api/chat/turns/{turn}/events"))
        await asyncio.sleep(0)
        assert (await client.request("DELETE", f"/api/session/{session}")).status == 204
        await running
        assert (await client.request("GET", f"/api/chat/turns/{turn}")).status == 404
        assert (await client.request("GET", "/api/sessions")).json()["items"] == []

    on_hub(work)


def test_start__that_fails_at_its_end__is_taken_back_without_another_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with faults.fail("chat", "start", when="after"):
            async with running_hub(*BASE) as hub:
                assert (await hub.client().request("GET", "/api/chat/turns/turn_x")).status == 503

    asyncio.run(main())
    assert "plugin.failed" in caplog.messages
    assert "plugin.stop.failed" not in caplog.messages


def test_stop__of_the_plugin__ends_its_turns_as_cut() -> None:
    async def work(hub: HubUnderTest) -> None:
        hub.provide("ai_providers", ScriptedProvider(("so far", Hang())))
        client = hub.client("chat:read", "chat:write")
        events = await stream(client, "POST", "/api/chat", until=b"event: text", json={"message": "go", "model": "scripted/one"})
        await hub.swap("chat")
        turn = events[0][2]["turn_id"]
        replay = await stream(client, "GET", f"/api/chat/turns/{turn}/events")
        assert (replay[-1][2]["end_state"], replay[-1][2]["response"]) == ("cut", "so far")

    on_hub(work)
