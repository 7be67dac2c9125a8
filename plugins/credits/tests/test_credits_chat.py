"""A conversation's turns on credits: every way that a turn can end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from paid_talk import ENDS, finished, model, talk, with_ten
from paid_work import Person, Shop, open_shop
from sqlalchemy import text

from luminai import AIError, AIErrorKind, End, EndState, TextDelta, Usage
from luminai.testing import Hang, Wait

PRODUCT = talk("""
[[prices]]
action = "chat.turn"
amount = 2
per = { output_tokens = { amount = 1, each = 1000 } }

[[prices]]
action = "chat.turn"
model = "flat*/*"
amount = 2
""")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub with chat and credits."""
    folder = tmp_path_factory.mktemp("talk")
    (folder / "docs").mkdir()
    (folder / "docs" / "page.md").write_text("# Page\n\nA page.\n")
    plugins = ("personas", "resonance", "knowledge", "ai-offline", "chat")
    with open_shop(folder, *plugins, product=PRODUCT, more_config={"chat": {"idle-seconds": 0.2, "playground": True}}) as opened:
        yield opened
        assert opened.ask("POST", "/api/ledger/verify")["count"] == 0


@pytest.fixture
def ann(shop: Shop) -> Person:
    """Return somebody with 10 credits."""
    return with_ten(shop)


@pytest.mark.shows("LK-47")
def test_turn__that_ends_well__costs_what_it_used_and_writes_one_row(shop: Shop, ann: Person) -> None:
    answer = ann.ask("POST", "/api/chat", json={"message": "Hello", "model": model(shop, "Hello.", finished())})

    assert answer["response"] == "Hello."
    assert (ann.has, ann.states()) == ((7, 0), [("settled", 3)])
    (row,) = ann.usage
    assert (row["action"], row["model"][:6], row["held"]) == ("chat.turn", "script", 3)


@pytest.mark.parametrize(
    ("steps", "status", "end", "charged"),
    [
        *((steps, 200, end, charged) for steps, end, charged in ENDS),
        ((AIError(AIErrorKind.UPSTREAM, "broken"),), 502, "chat.provider-upstream", ("released", 0)),
        ((AIError(AIErrorKind.RATE, "full"),), 429, "chat.provider-rate", ("released", 0)),
    ],
)
def test_turn__that_ends_otherwise__is_settled_or_free_by_its_end(
    shop: Shop, ann: Person, steps: Any, status: int, end: str, charged: tuple[str, int]
) -> None:
    answer = ann.ask("POST", "/api/chat", expect=status, json={"message": "Hello", "model": model(shop, *steps)})

    assert end in (answer.get("end_state"), answer.get("code"))
    assert ann.states() == [charged]
    assert ann.has == (10 - charged[1], 0)


@pytest.mark.parametrize(("steps", "charged"), [((TextDelta("so far"), Hang()), ("settled", 3)), ((Hang(),), ("released", 0))])
def test_turn__cancelled__is_paid_once_something_came(shop: Shop, ann: Person, steps: Any, charged: tuple[str, int]) -> None:
    name = model(shop, *steps)

    async def cancel() -> None:
        body = {"message": "Hello", "model": name}
        async with ann.client.stream("POST", "/api/chat", json=body, headers={"accept": "text/event-stream"}) as answer:
            raw = b""
            while (b"event: text" if len(steps) > 1 else b"event: turn") not in raw or not raw.endswith(b"\n\n"):
                raw += await anext(answer.chunks)
            turn = msgspec.json.decode(raw.split(b"data: ", 1)[1].split(b"\n", 1)[0])["turn_id"]
            assert (await ann.client.request("POST", f"/api/chat/turns/{turn}/cancel")).status == 202
            assert b"event: end" in raw + b"".join([chunk async for chunk in answer.chunks])

    shop.run(cancel())

    assert ann.states() == [charged]
    assert ann.has == (10 - charged[1], 0)


async def begun(ann: Person, name: str) -> str:
    """Ask, and return the turn's id once text has come."""
    body = {"message": "Hello", "model": name}
    async with ann.client.stream("POST", "/api/chat", json=body, headers={"accept": "text/event-stream"}) as answer:
        raw = b""
        while b"event: text" not in raw or not raw.endswith(b"\n\n"):
            raw += await anext(answer.chunks)
    return str(msgspec.json.decode(raw.split(b"data: ", 1)[1].split(b"\n", 1)[0])["turn_id"])


@pytest.mark.parametrize("is_lost", [False, True])
def test_turn__of_a_hub_that_ends__is_paid_for_what_came(tmp_path: Path, is_lost: bool) -> None:
    """Stopped: its process ends it. Lost: another process does, and the one that was taken for dead neither stores nor charges anything more."""
    plugins = ("personas", "resonance", "knowledge", "ai-offline", "chat")
    with open_shop(tmp_path, *plugins, product=PRODUCT, more_config={"chat": {"lease-seconds": 3}}) as shop:
        ann = shop.person()
        ann.give(10, product="talk")
        turn = shop.run(begun(ann, model(shop, "so far", Wait(1.5), " and more", Hang())))

        async def end() -> Any:
            if is_lost:
                database, kept = shop.hub.hub.database, text("SELECT 1 FROM chat__turn_slices WHERE turn_id = :id")
                async with asyncio.timeout(30):
                    while not await database.read(lambda session: session.execute(kept, {"id": turn}).first()):
                        pass
                taken = text("UPDATE chat__turns SET runner = 'gone' WHERE id = :id")
                await database.write(lambda session: session.execute(taken, {"id": turn}))
                shop.clock.advance(4)  # on PostgreSQL another process waits for the end of the lease
            else:
                await shop.hub.swap("chat")
            async with asyncio.timeout(30):
                while not (found := (await ann.client.request("GET", f"/api/chat/turns/{turn}")).json())["end_state"]:
                    pass
            return found

        found = shop.run(end())
        assert found["end_state"] == "cut"
        assert ann.states() == [("settled", 3)]
        assert ann.has == (7, 0)
        (reply,) = [one for one in ann.ask("GET", f"/api/session/{found['session_id']}")["chat_history"] if one["role"] == "assistant"]
        assert reply["content"] in ("so far", "so far and more")
        assert shop.ask("POST", "/api/ledger/verify")["count"] == 0


def test_turn__without_enough__is_402_and_stores_nothing(shop: Shop) -> None:
    bob = shop.person()
    bob.give(2, product="talk")

    problem = bob.ask("POST", "/api/chat", expect=402, json={"message": "Hello", "model": model(shop, "never")})

    assert (problem["facts"]["needed"], problem["facts"]["available"]) == (3, 2)
    assert bob.ask("GET", "/api/sessions")["items"] == []
    assert bob.ask("POST", "/api/chat", json={"message": "Hello", "model": model(shop, "Yes.", name="flat")})["response"] == "Yes."
    assert bob.has == (0, 0)


def test_turn__that_grows__is_held_for_in_slices_and_ends_where_there_is_no_more(shop: Shop, ann: Person) -> None:
    slices = ["x" * 4000] * 20
    steps = (*slices, End(state=EndState.FINISHED, usage=Usage(input_tokens=1, output_tokens=20_000, origin="reported")))

    answer = ann.ask("POST", "/api/chat", json={"message": "Hello", "model": model(shop, *steps)})

    assert answer["end_state"] == "length"
    assert 7 * 4000 <= len(answer["response"]) <= 9 * 4000
    (row,) = ann.usage
    assert (row["state"], row["held"]) == ("settled", 10)
    assert ann.has[1] == 0


def test_turn__refused_for_too_many_at_once__holds_nothing(shop: Shop) -> None:
    eve = shop.person()
    eve.give(100, product="talk")
    name = model(shop, TextDelta("."), Hang())

    async def nine() -> list[int]:
        import asyncio

        body = {"message": "Hello", "model": name}
        answers = await asyncio.gather(*(eve.client.request("POST", "/api/chat", json=body) for _ in range(9)))
        return sorted(answer.status for answer in answers)

    assert shop.run(nine()) == [200] * 8 + [429]
    assert eve.states() == [("released", 0)] * 8
    assert eve.has == (100, 0)


def test_question__asked_again_with_its_key__is_paid_once(shop: Shop, ann: Person) -> None:
    body = {"message": "Hello", "model": model(shop, "Hello.", finished())}

    for _ in range(2):
        ann.ask("POST", "/api/chat", json=body, headers={"idempotency-key": "same"})

    assert ann.states() == [("settled", 3)]


def test_playground__costs_nothing(shop: Shop) -> None:
    answer = shop.ask("POST", "/api/chat", client=shop.hub.client(), json={"message": "What is a page?"})

    assert answer["playground"] is True


def test_credits__turned_off__leave_conversations_free(shop: Shop, ann: Person) -> None:
    shop.run(shop.hub.swap("credits", enabled=False))
    try:
        answer = ann.ask("POST", "/api/chat", json={"message": "Hello", "model": model(shop, "Free.", finished())})
        assert answer["response"] == "Free."
    finally:
        shop.run(shop.hub.swap("credits", enabled=True))
    assert ann.usage == []
