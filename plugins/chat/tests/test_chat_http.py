"""Conversations over HTTP on the real core, with the offline answerer and with a scripted one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from luminai import AIError, AIErrorKind, ChatRequest, End, EndState, TextDelta, Usage
from luminai.testing import Cut, Hang, HubUnderTest, ScriptedProvider, running_hub

PAGE = """# Generations

A generation is an immutable snapshot of the running plugins with their apps, hook plans and schedules.
"""
BASE = ("personas", "resonance", "knowledge", "ai-offline", "chat")
OPEN = {"chat": {"playground": True}}


def on_hub(tmp_path: Path, work: Any, **more: Any) -> Any:
    """Run ``work(hub)`` with a documentation of one page."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "generations.md").write_text(PAGE)

    async def main() -> Any:
        async with running_hub(*BASE, folder=tmp_path, config=more.pop("config", OPEN), **more) as hub:
            return await work(hub)

    return asyncio.run(main())


class Rogue(ScriptedProvider):
    """Breaks the contract, as no double that keeps it can: raises anything, or just stops."""

    async def stream(self, request: ChatRequest) -> AsyncIterator[Any]:
        try:
            for step in self._replies[0]:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.closed += 1


def with_provider(hub: HubUnderTest, provider: ScriptedProvider) -> dict[str, str]:
    """Register a provider and return what a question must name to reach it."""
    hub.provide("ai_providers", provider)
    return {"model": "scripted/one"}


FINISHED = End(state=EndState.FINISHED, usage=Usage(input_tokens=3, output_tokens=2, origin="reported"))


@pytest.mark.shows("LR-21", "LR-02", "LR-109", "LR-100", "LR-D9", "LR-93", "LR-D19")
def test_playground__question_about_the_docs__is_answered_with_sources_and_r_and_nothing_is_saved(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        answer = await hub.client().request("POST", "/api/chat", json={"message": "What is a generation?"})
        found = answer.json()
        assert answer.status == 200
        quote = found["sources"][0]["quote"]
        assert quote in PAGE
        assert quote in found["response"]
        assert found["sources"][0]["url"].startswith("/docs/generations")
        assert found["R"] == round(found["resonance"]["value"] + 1e-9, 2)
        parts = {part["name"]: part["value"] for part in found["resonance"]["parts"]}
        assert found["resonance"]["value"] == pytest.approx(parts["phi_e"] * parts["phi_t"] * parts["psi_r"])
        assert [chip["id"] for chip in found["witness_chips"]][:2] == ["r", "presence"]
        assert {card["section"] for card in found["notebook"]} == {"reasoning", "evidence"}
        assert (found["session_id"], found["message_id"], found["playground"]) == (None, None, True)
        sessions = await hub.client("chat:read", subject="127.0.0.1").request("GET", "/api/sessions")
        assert sessions.json()["items"] == []
        assert (await hub.client().request("GET", "/api/status")).json()["R_global"] is None

    on_hub(tmp_path, work)


def test_playground__not_covered__is_refused_with_what_was_searched(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        found = (await hub.client().request("POST", "/api/chat", json={"message": "What is the capital of Mongolia?"})).json()
        assert found["covered"] is False
        assert found["sources"] == []
        assert "Nothing here covers that" in found["response"]

    on_hub(tmp_path, work)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"message": ""}, 400, "invalid-input"),
        ({"message": "   "}, 400, "chat.empty-message"),
        ({"message": "a\x00b"}, 400, "bad-text"),
        ({"message": "a\x07b"}, 400, "chat.bad-characters"),
        ({"message": "x" * 16_001}, 400, "invalid-input"),
        ({"message": "x" * 2_001}, 413, "chat.playground-too-long"),
        ({"message": "x", "session_id": "ses_" + "0" * 32}, 422, "chat.playground-no-session"),
        ({"message": "x", "session_id": "nonsense"}, 400, "invalid-input"),
        ({"message": "x", "persona": "eli"}, 422, "personas.unknown"),
        ({"message": "x", "model": "offline/quot"}, 422, "chat.unknown-model"),
        ({"message": "x", "calculator": "formula-z"}, 422, "resonance.unknown-calculator"),
        ({"message": "x", "unknown": 1}, 400, "invalid-input"),
        ({"message": "x", "context": {"active_frequencies": ["jooy"]}}, 422, "resonance.unknown-frequency"),
        ({"message": "x", "context": {"signals": {"urgency": 7}}}, 400, "invalid-input"),
        ([], 400, "invalid-input"),
    ],
)
def test_chat__bad_input__gets_its_own_code(tmp_path: Path, body: Any, status: int, code: str) -> None:
    answer = on_hub(tmp_path, lambda hub: hub.client().request("POST", "/api/chat", json=body))

    assert (answer.status, answer.json()["code"]) == (status, code)


def test_playground__closed_or_spent__says_so(tmp_path: Path) -> None:
    async def closed(hub: HubUnderTest) -> Any:
        return await hub.client().request("POST", "/api/chat", json={"message": "hello"})

    async def spent(hub: HubUnderTest) -> list[Any]:
        answers = [await hub.client().request("POST", "/api/chat", json={"message": "hello"}) for _ in range(3)]
        return [*answers, await hub.client(address="10.0.0.9").request("POST", "/api/chat", json={"message": "hello"})]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert on_hub(tmp_path / "a", closed, config={}).json()["code"] == "not-signed-in"
    *first, last, other = on_hub(tmp_path / "b", spent, config={"chat": {"playground": True, "playground-per-hour": 2}})
    assert [answer.status for answer in first] == [200, 200]
    assert (last.status, last.json()["code"]) == (429, "chat.playground-quota")
    assert int(last.headers["retry-after"]) >= 1
    assert other.status == 200


@pytest.mark.shows("LR-09", "LR-11", "LR-16", "LR-20", "LR-23", "LR-126", "LR-D11", "LR-D18", "LR-18", "LW-63")
def test_session__continued_read_and_deleted__belongs_to_its_owner_alone(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        mine = hub.client("chat:read", "chat:write", subject="user_a")
        theirs = hub.client("chat:read", "chat:write", subject="user_b")
        first = (await mine.request("POST", "/api/chat", json={"message": "What is a generation?", "user_id": "user_a"})).json()
        session = first["session_id"]
        second = (await mine.request("POST", "/api/chat", json={"message": "And its apps?", "session_id": session, "persona": "airth"})).json()
        assert second["session_id"] == session
        assert second["R"] > first["R"], "a history raises contextual potential"

        view = (await mine.request("GET", f"/api/session/{session}")).json()
        assert [message["role"] for message in view["chat_history"]] == ["user", "assistant", "user", "assistant"]
        assert [message["parent_id"] for message in view["chat_history"]] == [None, *[message["id"] for message in view["chat_history"][:-1]]]
        assert [moment["R"] for moment in view["R_timeline"]] == [first["R"], second["R"]]
        assert view["metadata"]["title"] == "What is a generation?"
        page = (await mine.request("GET", f"/api/session/{session}?limit=3")).json()
        rest = (await mine.request("GET", f"/api/session/{session}?limit=3&cursor={page['next_cursor']}")).json()
        assert [len(page["chat_history"]), len(rest["chat_history"]), rest["next_cursor"]] == [3, 1, None]

        missing = await theirs.request("GET", "/api/session/ses_" + "0" * 32)
        foreign = await theirs.request("GET", f"/api/session/{session}")
        assert foreign.status == missing.status == 404
        assert {**foreign.json(), "instance": ""} == {**missing.json(), "instance": ""}
        stolen = await theirs.request("POST", "/api/chat", json={"message": "hi", "session_id": session})
        assert stolen.json()["code"] == "chat.session-not-found"
        assert (await theirs.request("DELETE", f"/api/session/{session}")).status == 404
        assert (await theirs.request("POST", "/api/chat", json={"message": "hi", "user_id": "user_a"})).json()["code"] == "chat.user-mismatch"
        assert (await hub.client("chat:read").request("POST", "/api/chat", json={"message": "hi"})).json()["code"] == "missing-scope"

        status = (await hub.client().request("GET", "/api/status")).json()
        assert status["R_global"] == pytest.approx((first["resonance"]["value"] + second["resonance"]["value"]) / 2, abs=0.006)
        assert (await mine.request("DELETE", f"/api/session/{session}")).status == 204
        assert (await mine.request("GET", f"/api/session/{session}")).status == 404

    on_hub(tmp_path, work)


def test_message__continued_from_an_earlier_one__branches(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        provider = ScriptedProvider(("ok", FINISHED))
        model = with_provider(hub, provider)
        client = hub.client("chat:read", "chat:write")
        first = (await client.request("POST", "/api/chat", json={"message": "one", **model})).json()
        session = {"session_id": first["session_id"]}
        await client.request("POST", "/api/chat", json={"message": "two", **session, **model})
        await client.request("POST", "/api/chat", json={"message": "other", **session, "parent_id": first["message_id"], **model})
        assert [message.content for message in provider.asked[-1].messages[1:]] == ["one", "ok", "other"]
        wrong = await client.request("POST", "/api/chat", json={"message": "x", **session, "parent_id": "msg_" + "0" * 32, **model})
        assert wrong.json()["code"] == "chat.message-not-found"

    on_hub(tmp_path, work)


@pytest.mark.parametrize(
    ("provider", "state", "text"),
    [
        (ScriptedProvider(("whole", FINISHED)), "finished", "whole"),
        (ScriptedProvider(("torn", Cut())), "cut", "torn"),
        (Rogue((TextDelta("half"),)), "cut", "half"),
        (ScriptedProvider(("part", End(state=EndState.LENGTH))), "length", "part"),
        (ScriptedProvider(("then", Hang())), "stalled", "then"),
    ],
)
def test_turn__however_it_ends__says_so_and_keeps_what_came(tmp_path: Path, provider: ScriptedProvider, state: str, text: str) -> None:
    async def work(hub: HubUnderTest) -> None:
        client = hub.client("chat:read", "chat:write")
        found = (await client.request("POST", "/api/chat", json={"message": "go", **with_provider(hub, provider)})).json()
        assert (found["end_state"], found["response"]) == (state, text)
        assert provider.closed == 1, "the provider's stream is closed"
        stored = (await client.request("GET", f"/api/session/{found['session_id']}")).json()["chat_history"][-1]
        assert (stored["end_state"], stored["content"]) == (state, text)
        assert found["usage"]["origin"] == ("reported" if state == "finished" else "estimated")

    on_hub(tmp_path, work, config={"chat": {"idle-seconds": 0.1}})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (AIError(AIErrorKind.RATE, "slow down", retry_after=7), 429, "chat.provider-rate"),
        (AIError(AIErrorKind.UPSTREAM, "gone"), 502, "chat.provider-upstream"),
        (ValueError("secret"), 500, "internal"),
    ],
)
def test_turn__provider_fails_before_content__is_a_problem(tmp_path: Path, error: Exception, status: int, code: str) -> None:
    async def work(hub: HubUnderTest) -> Any:
        return await hub.client("chat:write").request("POST", "/api/chat", json={"message": "go", **with_provider(hub, Rogue((error,)))})

    answer = on_hub(tmp_path, work)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert "secret" not in answer.text


@pytest.mark.shows("LR-32")
def test_stream__events__come_in_order_and_end_with_the_whole_answer(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        headers = {"accept": "text/event-stream"}
        async with hub.client().stream("POST", "/api/chat", json={"message": "What is a generation?"}, headers=headers) as answer:
            raw = b"".join([chunk async for chunk in answer.chunks]).decode()
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in raw.strip().split("\n\n")]
        kinds = [event["event"] for event in events]
        assert kinds[0] == "turn"
        assert kinds[-1] == "end"
        assert kinds.index("source") < len(kinds) - 1
        assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))
        text = "".join(msgspec.json.decode(event["data"])["text"] for event in events if event["event"] == "text")
        assert msgspec.json.decode(events[-1]["data"])["response"] == text

    on_hub(tmp_path, work)


def test_reader__leaves__the_turn_goes_on_and_is_stored(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        provider = ScriptedProvider(("first ", "second", FINISHED))
        client = hub.client("chat:read", "chat:write")
        body = {"message": "go", **with_provider(hub, provider)}
        async with client.stream("POST", "/api/chat", json=body, headers={"accept": "text/event-stream"}) as answer:
            await anext(answer.chunks)
        sessions: list[Any] = []
        async with asyncio.timeout(5):
            while not sessions or sessions[0]["messages"] < 2:
                sessions = (await client.request("GET", "/api/sessions")).json()["items"]
        stored = (await client.request("GET", f"/api/session/{sessions[0]['id']}")).json()["chat_history"][-1]
        assert (stored["content"], stored["end_state"]) == ("first second", "finished")

    on_hub(tmp_path, work)


def test_cancel__running_turn__keeps_what_was_generated(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        provider = ScriptedProvider(("so far", Hang()))
        client = hub.client("chat:read", "chat:write")
        body = {"message": "go", **with_provider(hub, provider)}
        async with client.stream("POST", "/api/chat", json=body, headers={"accept": "text/event-stream"}) as answer:
            raw = b""
            while b"event: text" not in raw:
                raw += await anext(answer.chunks)
            turn = msgspec.json.decode(raw.split(b"data: ", 1)[1].split(b"\n", 1)[0])["turn_id"]
            stranger = await hub.client("chat:write", subject="other").request("POST", f"/api/chat/turns/{turn}/cancel")
            assert stranger.status == 404
            assert (await client.request("POST", f"/api/chat/turns/{turn}/cancel")).status == 202
            raw += b"".join([chunk async for chunk in answer.chunks])
        last = msgspec.json.decode(raw.strip().rsplit(b"data: ", 1)[1])
        assert (last["end_state"], last["response"]) == ("cancelled", "so far")
        assert provider.closed == 1
        stored = (await client.request("GET", f"/api/session/{last['session_id']}")).json()["chat_history"][-1]
        assert (stored["content"], stored["end_state"]) == ("so far", "cancelled")

    on_hub(tmp_path, work)


def test_idempotency_key__repeated__asks_once(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        provider = ScriptedProvider(("ok", FINISHED))
        body = {"message": "pay once", **with_provider(hub, provider)}
        client = hub.client("chat:read", "chat:write")
        key = {"idempotency-key": "abc"}
        answers = await asyncio.gather(*(client.request("POST", "/api/chat", json=body, headers=key) for _ in range(5)))
        assert len({answer.json()["message_id"] for answer in answers}) == 1
        assert len(provider.asked) == 1
        other = await client.request("POST", "/api/chat", json={**body, "message": "another"}, headers=key)
        assert (other.status, other.json()["code"]) == (422, "idempotency-mismatch")

    on_hub(tmp_path, work)


def test_turns__too_many_of_one_actor__are_refused(tmp_path: Path) -> None:
    async def work(hub: HubUnderTest) -> None:
        body = {"message": "go", **with_provider(hub, ScriptedProvider(("x", Hang())))}
        client = hub.client("chat:write")
        async with client.stream("POST", "/api/chat", json=body, headers={"accept": "text/event-stream"}) as answer:
            raw = await anext(answer.chunks)
            refused = await client.request("POST", "/api/chat", json=body)
            assert (refused.status, refused.json()["code"]) == (429, "chat.turns-per-actor")
            turn = msgspec.json.decode(raw.split(b"data: ", 1)[1].split(b"\n", 1)[0])["turn_id"]
            await client.request("POST", f"/api/chat/turns/{turn}/cancel")

    on_hub(tmp_path, work, config={"chat": {"turns-per-actor": 1}})
