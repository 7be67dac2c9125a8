"""What is paid for: every route that asks a model writes one row of usage, settled when it went well, free when it did not, none when nobody pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from paid_talk import USED, finished, talk
from paid_work import Person, Shop, open_shop

from luminai import AIError, AIErrorKind, EmbeddingReply, MediaReply, Model
from luminai.testing import ScriptedProvider

KINDS = ("chat", "embedding", "image", "speech")
PRICED = "".join(f'\n[[prices]]\naction = "{action}"\namount = 2\n' for action in ("chat.turn", *(f"ai-gateway.{kind}" for kind in KINDS)))
PLUGINS = ("personas", "resonance", "knowledge", "ai-offline", "chat", "ai-gateway", "ai-faces")
SCOPES = ("ai-faces:use", "chat:write")
HELLO = [{"role": "user", "content": "Hello"}]
PATHS = {
    "chat": "/v1/chat/completions",
    "chat-stream": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:generateContent",
    "embeddings": "/v1/embeddings",
    "images": "/v1/images/generations",
    "speech": "/v1/audio/speech",
    "turn": "/api/chat",
}
NAMES = count(1)


def body_of(route: str, model: str) -> Any:
    """Return a good request to a route."""
    return {
        "chat": {"model": model, "messages": HELLO},
        "chat-stream": {"model": model, "messages": HELLO, "stream": True},
        "responses": {"model": model, "input": "Hello"},
        "messages": {"model": model, "max_tokens": 100, "messages": HELLO},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        "embeddings": {"model": model, "input": ["Hello"]},
        "images": {"model": model, "prompt": "a cat"},
        "speech": {"model": model, "input": "Hello.", "voice": "any"},
        "turn": {"model": model, "message": "Hello"},
    }[route]


class Maker(ScriptedProvider):
    """Makes anything that is asked of it, or nothing."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__(
            *[[AIError(AIErrorKind.UPSTREAM, "broken")] if fails else ["Hello.", finished()]] * 4, name=f"maker{next(NAMES)}", model="all"
        )
        self.fails = fails
        self.made = 0

    def models(self) -> Sequence[Model]:
        return [Model(id="all", kinds=frozenset(KINDS), title="All")]

    async def embed(self, model: str, texts: Sequence[str], *, timeout: float = 30.0) -> EmbeddingReply:
        self._count()
        return EmbeddingReply(vectors=tuple((0.5, 1.0) for _ in texts), usage=USED)

    async def image(self, model: str, prompt: str, *, width: int, height: int, timeout: float = 120.0) -> MediaReply:
        self._count()
        return MediaReply(content=b"GIF89a", content_type="image/gif", synthetic="drawn")

    async def speak(self, model: str, text: str, *, voice: str = "", timeout: float = 120.0) -> MediaReply:
        self._count()
        return MediaReply(content=b"RIFF", content_type="audio/wav", synthetic="spoken")

    def _count(self) -> None:
        self.made += 1
        if self.fails:
            raise AIError(AIErrorKind.UPSTREAM, "broken")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub on which everything that asks a model costs two units."""
    config = {"ai-gateway": {"direct": {"retries": 0}}}
    with open_shop(tmp_path_factory.mktemp("faces"), *PLUGINS, product=talk(PRICED), more_config=config) as opened:
        yield opened
        assert opened.ask("POST", "/api/ledger/verify")["count"] == 0


def asked(shop: Shop, person: Person, route: str, maker: Maker) -> int:
    """Ask a route for what the maker makes; return the status."""
    shop.hub.provide("ai_providers", maker, owner=maker.name)
    model = f"{maker.name}/all"
    client = shop.hub.client(*SCOPES, subject=person.subject)
    path = PATHS[route].replace("{model}", model)
    answer = shop.run(client.request("POST", path, json=body_of(route, model)))
    assert "internal" not in answer.text
    status: int = answer.status
    return status


@pytest.mark.shows("PX-D16")
@pytest.mark.parametrize("route", PATHS)
def test_route__that_asks_a_model__writes_exactly_one_settled_row(shop: Shop, route: str) -> None:
    ann = shop.person()
    ann.give(10, product="talk")

    assert asked(shop, ann, route, Maker()) == 200

    (row,) = ann.usage
    assert (row["state"], row["amount"], row["held"], row["funding"]) == ("settled", 2, 2, "credits")
    assert ann.has == (8, 0)


@pytest.mark.shows("PX-32")
@pytest.mark.parametrize("route", PATHS)
def test_route__whose_model_fails__writes_one_row_and_takes_nothing(shop: Shop, route: str) -> None:
    ann = shop.person()
    ann.give(10, product="talk")

    asked(shop, ann, route, Maker(fails=True))

    assert (ann.states(), ann.has) == ([("released", 0)], (10, 0))


@pytest.mark.shows("PX-31")
@pytest.mark.parametrize("route", PATHS)
def test_route__with_too_little__asks_no_model_and_writes_nothing(shop: Shop, route: str) -> None:
    bob, maker = shop.person(), Maker()
    bob.give(1, product="talk")

    assert asked(shop, bob, route, maker) == 402

    assert (maker.asked, maker.made, bob.usage, bob.has) == ([], 0, [], (1, 0))
