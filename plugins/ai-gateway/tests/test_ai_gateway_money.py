"""Calls on credits: every way that a call can end, and every row that it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, suppress
from itertools import count
from typing import Any

import pytest
from gateway_world import calls_of
from msgspec.structs import replace
from paid_talk import ENDS, finished, model, talk, with_ten
from paid_work import Person, Shop, open_shop

from luminai import (
    Actor,
    AIError,
    AIErrorKind,
    ChatMessage,
    ChatRequest,
    DeadlineExceeded,
    EmbeddingReply,
    End,
    EndState,
    MediaReply,
    PaymentRequired,
    TextDelta,
    Unprocessable,
    Upstream,
    Usage,
)
from luminai.testing import Cut, Hang, ScriptedProvider
from luminai_ai_gateway import ChatCall, EmbeddingCall, Gateway, ImageCall, SpeechCall

PRODUCT = talk("""
[[prices]]
action = "ai-gateway.chat"
amount = 2
per = { output_tokens = { amount = 1, each = 1000 } }

[[prices]]
action = "ai-gateway.chat"
model = "real*/*"
per = { cost_micros = { amount = 1, each = 1000 } }

[[prices]]
action = "ai-gateway.embedding"
per = { input_tokens = { amount = 1, each = 10 } }

[[prices]]
action = "ai-gateway.image"
per = { images = { amount = 3, each = 1 } }

[[prices]]
action = "ai-gateway.speech"
per = { characters = { amount = 1, each = 2 } }
""")
NAMES = count(1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub with the gateway and credits."""
    config = {"ai-gateway": {"direct": {"retries": 0, "idle-seconds": 0.2, "first-seconds": 0.3}}}
    with open_shop(tmp_path_factory.mktemp("talk"), "ai-gateway", product=PRODUCT, more_config=config) as opened:
        yield opened
        assert opened.ask("POST", "/api/ledger/verify")["count"] == 0


@pytest.fixture
def ann(shop: Shop) -> Person:
    """Return somebody with 10 credits."""
    return with_ten(shop)


def gateway(shop: Shop) -> Gateway:
    found: Gateway = shop.hub.hub.generation.wiring.services.find("ai-gateway", Gateway)
    return found


def call(person: Person, name: str, **more: Any) -> ChatCall:
    actor = Actor(id="key", subject=person.subject, scopes=frozenset({"ai-gateway:use"}))
    own = {key: more.pop(key) for key in ("key",) if key in more}
    return ChatCall(actor=actor, model=name, request=ChatRequest(model="", messages=(ChatMessage("user", "Hello"),), **more), **own)


async def read(shop: Shop, asked: ChatCall) -> tuple[str, End]:
    text, end = "", None
    async with aclosing(gateway(shop).stream(asked)) as events:
        async for event in events:
            text += event.text if isinstance(event, TextDelta) else ""
            end = event if isinstance(event, End) else end
    assert end is not None
    return text, end


async def idle(shop: Shop) -> None:
    """Return when no call runs: what a caller left is ended behind its back."""
    while gateway(shop).running:  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0)


def last_call(shop: Shop, person: Person) -> Any:
    return shop.run(calls_of(shop.hub, person.subject))[0]


@pytest.mark.parametrize("streamed", [True, False])
def test_call__that_ends_well__costs_what_it_used(shop: Shop, ann: Person, streamed: bool) -> None:
    asked = call(ann, model(shop, "Hello.", finished()))

    if streamed:
        shop.run(read(shop, asked))
    else:
        shop.run(gateway(shop).chat(asked))

    assert (ann.has, ann.states()) == ((7, 0), [("settled", 3)])
    row = last_call(shop, ann)
    assert (row["state"], row["output_tokens"], row["usage_origin"]) == ("finished", 500, "reported")


@pytest.mark.parametrize(
    ("steps", "end", "charged"),
    [*ENDS, ((Cut(),), "failed", ("released", 0)), ((Hang(),), "stalled", ("released", 0))],
)
def test_call__that_ends_otherwise__is_settled_or_free_by_its_end(shop: Shop, ann: Person, steps: Any, end: str, charged: Any) -> None:
    with suppress(Upstream, DeadlineExceeded):  # where nothing came
        shop.run(read(shop, call(ann, model(shop, *steps))))

    assert last_call(shop, ann)["state"] == end
    assert (ann.states(), ann.has) == ([charged], (10 - charged[1], 0))


@pytest.mark.parametrize(("steps", "charged"), [((TextDelta("so far"), Hang()), ("settled", 3)), ((Hang(),), ("released", 0))])
def test_call__left_by_its_reader__is_paid_once_something_came(shop: Shop, ann: Person, steps: Any, charged: tuple[str, int]) -> None:
    asked = call(ann, model(shop, *steps), timeout=5)

    async def leave() -> None:
        async with aclosing(gateway(shop).stream(asked)) as events:
            task = asyncio.ensure_future(anext(events))
            if len(steps) > 1:
                assert await task == steps[0]
            else:
                await asyncio.wait([task], timeout=0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    shop.run(leave())
    shop.run(idle(shop))

    assert (ann.states(), ann.has) == ([charged], (10 - charged[1], 0))
    assert last_call(shop, ann)["state"] == "cancelled"


def test_call__without_enough__is_refused_and_leaves_no_row(shop: Shop) -> None:
    bob = shop.person()
    bob.give(2, product="talk")

    with pytest.raises(PaymentRequired) as refused:
        shop.run(read(shop, call(bob, model(shop, "never"))))

    assert (refused.value.facts["needed"], refused.value.facts["available"]) == (3, 2)
    assert shop.run(calls_of(shop.hub, bob.subject)) == []
    assert gateway(shop).running == 0


@pytest.mark.parametrize("streamed", [True, False])
def test_reply__that_grows__is_held_for_in_slices_and_ends_where_there_is_no_more(shop: Shop, ann: Person, streamed: bool) -> None:
    steps = (*["x" * 4000] * 20, finished(Usage(input_tokens=1, output_tokens=20_000, origin="reported")))
    asked = call(ann, model(shop, *steps))

    if streamed:
        text, state = (found := shop.run(read(shop, asked)))[0], found[1].state
        assert found[1].code == "not-paid-for"
    else:
        reply = shop.run(gateway(shop).chat(asked))
        text, state = reply.text, reply.end

    assert state is EndState.LENGTH
    assert 7 * 4000 <= len(text) <= 9 * 4000
    (row,) = ann.usage
    assert (row["state"], row["held"], ann.has[1]) == ("settled", 10, 0)


def test_reply__reported_longer_than_it_looked__is_charged_as_reported(shop: Shop, ann: Person) -> None:
    thoughts = finished(Usage(input_tokens=1, output_tokens=4500, origin="reported"))

    shop.run(read(shop, call(ann, model(shop, "short", thoughts))))

    assert ann.states() == [("settled", 2 + 5)]


def test_cost__of_a_model__is_what_is_paid_where_the_price_list_says_so(shop: Shop, ann: Person) -> None:
    name = model(shop, "Hello.", finished(), name="real")
    with pytest.raises(Unprocessable) as refused:
        shop.run(read(shop, call(ann, name)))
    assert refused.value.code == "ai-gateway.unpriced", "what has no price at all is not given away"
    assert ann.states() == []

    provider = name.partition("/")[0]
    prices = [{"unit": unit, "micro": micro} for unit, micro in (("input_tokens", 0), ("output_tokens", 6_000_000))]
    body = {"models": [{"provider": provider, "model": "dear", "prices": prices}]}
    shop.ask("POST", "/api/ai/manage/prices", json=body)
    _, end = shop.run(read(shop, call(ann, name)))

    assert end.state is EndState.FINISHED
    row = last_call(shop, ann)
    assert (row["cost_micros"], row["cost_basis"]) == (3000, "dearest"), "500 tokens at 6 dollars a million, the dearest there is"
    (usage,) = ann.usage
    assert (usage["held"], usage["amount"]) == (6, 3)


def test_failed_legs__cost_the_operator_and_not_the_person(shop: Shop, ann: Person) -> None:
    name = model(shop, "Torn", Cut())
    prices = [{"unit": unit, "micro": 1_000_000} for unit in ("input_tokens", "output_tokens")]
    shop.ask("POST", "/api/ai/manage/prices", json={"models": [{"provider": name.partition("/")[0], "model": "one", "prices": prices}]})

    shop.run(read(shop, call(ann, name)))

    assert ann.states() == [("released", 0)]
    assert last_call(shop, ann)["cost_micros"] == 2 + 1


class Maker(ScriptedProvider):
    """Makes vectors, pictures and speech, or fails."""

    failure: AIError | None = None

    def models(self) -> Any:
        return [replace(one, kinds=frozenset({"embedding", "image", "speech"})) for one in super().models()]

    async def _made(self, answer: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return answer

    async def embed(self, model: str, texts: Any, *, timeout: float = 30.0) -> Any:
        return await self._made(EmbeddingReply(tuple((1.0, 2.0) for _ in texts), Usage(input_tokens=42, output_tokens=0, origin="reported")))

    async def image(self, *_: Any, **__: Any) -> Any:
        return await self._made(MediaReply(content=b"picture", content_type="image/png"))

    async def speak(self, *_: Any, **__: Any) -> Any:
        return await self._made(MediaReply(content=b"sound", content_type="audio/wav"))


@pytest.mark.parametrize(
    ("verb", "kind", "given", "held", "amount"),
    [
        ("embed", EmbeddingCall, {"texts": ("x" * 100, "y" * 100)}, 5, 5),
        ("image", ImageCall, {"prompt": "A dot."}, 3, 3),
        ("speak", SpeechCall, {"text": "Ready."}, 3, 3),
    ],
)
def test_vectors_pictures_and_speech__are_held_for_and_cost_what_they_used(
    shop: Shop, ann: Person, verb: str, kind: Any, given: Any, held: int, amount: int
) -> None:
    maker = Maker(name=f"maker{next(NAMES)}")
    shop.hub.provide("ai_providers", maker, owner=maker.name)
    actor = Actor(id="key", subject=ann.subject, scopes=frozenset({"ai-gateway:use"}))
    asked = kind(actor=actor, model=f"{maker.name}/one", **given)

    shop.run(getattr(gateway(shop), verb)(asked))

    (usage,) = ann.usage
    assert (usage["state"], usage["held"], usage["amount"]) == ("settled", held, amount)
    maker.failure = AIError(AIErrorKind.UPSTREAM, "broken")
    with pytest.raises(Upstream):
        shop.run(getattr(gateway(shop), verb)(asked))
    assert ann.states()[1:] == [("released", 0)]
    assert [row["state"] for row in shop.run(calls_of(shop.hub, ann.subject))] == ["failed", "finished"]
    poor = shop.person()
    with pytest.raises(PaymentRequired):
        shop.run(getattr(gateway(shop), verb)(replace(asked, actor=replace(actor, subject=poor.subject))))


def test_credits__turned_off__leave_calls_free(shop: Shop, ann: Person) -> None:
    shop.run(shop.hub.swap("credits", enabled=False))
    try:
        assert shop.run(read(shop, call(ann, model(shop, "Free.", finished()))))[0] == "Free."
    finally:
        shop.run(shop.hub.swap("credits", enabled=True))
    assert ann.usage == []
