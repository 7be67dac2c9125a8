"""Search by words and meaning in a running hub: fused where a model is there, by words alone where none is, with the same shape of answer."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from luminai import AIError, AIErrorKind, EmbeddingReply, Model, Usage
from luminai.testing import FrozenClock, ScriptedProvider, running_hub
from luminai_knowledge import Knowledge
from luminai_vectors import SHARED, Vectors

PAGES = {
    "cancelling.md": "# Cancelling a subscription\n\nOpen the account page and choose Cancel. What was paid stays usable.\n",
    "roof.md": "# Pets\n\nThe cat sleeps on the warm roof.\n",
    "plan.md": "# A plan of the building\n\nThe plan shows each floor at its end.\n",
    "empty.md": "# Only a heading\n",
}
SENSES = {"cancel": 0, "subscription": 0, "quit": 0, "membership": 0, "cat": 1, "kitten": 1, "roof": 2, "house": 2, "building": 2, "floor": 2}
"""Words by sense: what a real model has learned, small enough to be followed."""


class SenseModel(ScriptedProvider):
    def __init__(self):
        super().__init__(name="senses")
        self.failure = None
        self.texts: list[str] = []

    def models(self):
        return [Model(id="small", kinds=frozenset({"embedding"}))]

    async def embed(self, model, texts, *, timeout=30.0):
        if self.failure is not None:
            raise self.failure
        self.texts += texts
        return EmbeddingReply(tuple(self._vector(text) for text in texts), Usage(input_tokens=1, output_tokens=0, origin="estimated"))

    def _vector(self, text):
        own = random.Random(text)  # what is left when no word is known: each text goes its own way
        vector = [0.0] * 3 + [own.gauss(0, 0.02) for _ in range(64)]
        for word in text.lower().replace(".", "").split():
            at = next((sense for start, sense in SENSES.items() if word.startswith(start)), None)
            if at is not None:
                vector[at] += 1
        return tuple(vector)


class World:
    def __init__(self, hub):
        self.hub = hub
        self.model = SenseModel()
        hub.provide("ai_providers", self.model)
        services = hub.hub.generation.wiring.services
        self.knowledge = services.find("knowledge", Knowledge)
        self.vectors = services.find("vectors", Vectors)

    async def search(self, query, limit=10):
        answer = await self.hub.client().request("GET", "/api/knowledge/search", query={"q": query, "limit": limit})
        assert answer.status == 200
        return answer.json()

    async def embed(self):
        await self.hub.advance(60)  # the job of the start had no model yet: its next attempt
        assert (await self.vectors.embedded("knowledge-vectors")) is not None

    async def health(self):
        loaded = next(one for one in self.hub.hub.generation.plugins if one.id == "knowledge-vectors")
        return await loaded.contributions["health_checks"][0].check()


@pytest.fixture
def opened(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, text in PAGES.items():
        (tmp_path / "docs" / name).write_text(text)

    @asynccontextmanager
    async def world(model="senses/small", **config):
        plugins = ("knowledge", "vectors", "knowledge-vectors")
        settings = {"vectors": {"model": model} if model else {}, "knowledge-vectors": config}
        async with running_hub(*plugins, config=settings, folder=tmp_path, clock=FrozenClock()) as hub:
            assert [hub.state(plugin) for plugin in plugins] == ["enabled"] * 3
            yield World(hub)

    return world


def ids(found):
    return [item["document_id"] for item in found["items"]]


def test_search__other_words_for_the_same_thing__finds_by_meaning_and_says_so(opened):
    async def main():
        async with opened() as world:
            before = await world.search("quit my membership")
            assert (ids(before), before["method"], before["missing"]) == ([], "words", "vectors.not-embedded")
            await world.embed()
            found = await world.search("quit my membership")
            assert (ids(found), found["method"], found["model"], found["missing"]) == (["docs:cancelling"], "words+meaning", "senses/small", "")
            assert found.keys() == before.keys()
            assert (await world.health()).state == "ok"

    asyncio.run(main())


def test_search__both_rankings__are_fused_by_reciprocal_ranks(opened):
    async def main():
        async with opened() as world:
            await world.embed()
            found = await world.search("plan kitten house cancel")
            by_words = {"docs:plan", "docs:cancelling"}
            assert set(ids(found)) == {"docs:plan", "docs:roof", "docs:cancelling"}
            assert by_words <= set(ids(found))
            scores = {item["document_id"]: item["score"] for item in found["items"]}
            assert scores == dict(sorted(scores.items(), key=lambda item: -item[1]))
            assert scores["docs:cancelling"] > 1 / 61  # it stands in both
            assert scores["docs:roof"] <= 1 / 61  # only in one, where it leads
            assert ids(await world.search("plan kitten house cancel", limit=1)) == ids(found)[:1]

    asyncio.run(main())


def test_search__nothing_to_do_with_anything__stays_empty(opened):
    async def main():
        async with opened() as world:
            await world.embed()
            assert ids(await world.search("xylophone")) == []

    asyncio.run(main())


def test_model_away__words_alone_the_same_shape_and_the_reason(opened):
    async def main():
        async with opened() as world:
            await world.embed()
            whole = await world.search("cat")
            world.model.failure = AIError(AIErrorKind.UPSTREAM, "broken")
            found = await world.search("cat")
            assert (ids(found), found["method"], found["missing"], found["model"]) == (["docs:roof"], "words", "vectors.model-failed", "")
            assert found.keys() == whole.keys()

    asyncio.run(main())


def test_no_model_set__degraded_and_words_alone(opened):
    async def main():
        async with opened(model="") as world:
            found = await world.search("cat")
            assert (ids(found), found["method"], found["missing"]) == (["docs:roof"], "words", "vectors.not-embedded")
            health = await world.health()
            assert (health.state, "no embedding model" in health.reason) == ("degraded", True)

    asyncio.run(main())


def test_files_change__only_new_passages_are_embedded_and_old_ones_leave(opened, tmp_path):
    async def main():
        async with opened() as world:
            await world.embed()
            world.model.texts.clear()
            (tmp_path / "docs" / "roof.md").write_text("# Pets\n\nThe cat left.\n")
            (tmp_path / "docs" / "copy.md").write_text(PAGES["cancelling.md"])  # says what another page says
            (tmp_path / "docs" / "plan.md").unlink()
            await world.knowledge.reindex()
            await world.hub.advance(1)
            assert world.model.texts == ["Pets\nThe cat left."]
            assert len(await world.vectors.store.ids(SHARED, "knowledge-vectors@senses/small")) == 3
            assert set(ids(await world.search("quit"))) == {"docs:cancelling", "docs:copy"}
            assert ids(await world.search("kitten")) == ["docs:roof"]

    asyncio.run(main())


def test_minilm_installed__a_real_model_finds_by_meaning(tmp_path, vector_packages):
    async def main():
        (tmp_path / "docs").mkdir()
        for name, text in PAGES.items():
            (tmp_path / "docs" / name).write_text(text)
        plugins = ("knowledge", "vectors", "knowledge-vectors", "embed-minilm")
        settings = {"vectors": {"model": "minilm/all-minilm-l6-v2"}}
        async with running_hub(*plugins, config=settings, folder=tmp_path, clock=FrozenClock()) as hub:
            await hub.advance(60)
            answer = await hub.client().request("GET", "/api/knowledge/search", query={"q": "I no longer want to pay every month"})
            found = answer.json()
            assert (ids(found)[0], found["method"], found["model"]) == ("docs:cancelling", "words+meaning", "minilm/all-minilm-l6-v2")

    asyncio.run(main())
