"""Texts of another plugin, embedded by the job, found by meaning, and what happens when model, store or source are not there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from word_vectors import NOTES, WORDS, WordModel

from luminai import AIError, AIErrorKind, NotFound, Unavailable, Upstream
from luminai.testing import FrozenClock, running_hub
from luminai_vectors import VectorItem, Vectors


class World:
    def __init__(self, hub, kept):
        self.hub, self.kept = hub, kept
        self.one, self.two = WordModel("one"), WordModel("two", extra=2)
        hub.provide("ai_providers", self.one, self.two)
        self.vectors = hub.hub.generation.wiring.services.find("vectors", Vectors)

    async def embed(self, **given):
        given = {"collection": "notes", **given}
        client = self.hub.client("vectors:manage")
        job = (await client.request("POST", "/api/actions/vectors.embed", json=given)).json()
        await self.hub.hub.jobs.settle()
        return (await client.request("GET", f"/api/jobs/{job['id']}")).json()

    async def nearest(self, owner, query, k=5):
        return [hit.id for hit in (await self.vectors.nearest(owner, "notes", query, k)).hits]

    async def health(self):
        loaded = next(one for one in self.hub.hub.generation.plugins if one.id == "vectors")
        return await loaded.contributions["health_checks"][0].check()


@pytest.fixture
def opened(plugins, tmp_path):
    made = plugins.make("notes", NOTES, provides='["extensions"]', manifest='requires = { vectors = ">=0.1" }')

    @asynccontextmanager
    async def world(**config):
        from luminai.host.discovery import installed_plugins

        known = [*installed_plugins(), made]
        async with running_hub(
            "vectors", "notes", installed=known, config={"vectors": {"model": "one/words", **config}}, folder=tmp_path, clock=FrozenClock()
        ) as hub:
            assert hub.state("notes") == "enabled"
            source = hub.hub.generation.wiring.extensions["vectors.source/1"][0]
            kept = source.texts.__globals__["KEPT"]
            kept.clear()
            yield World(hub, kept)

    return world


def test_embed__texts_come_change_and_go__only_the_new_are_embedded(opened):
    async def main():
        async with opened() as world:
            world.kept.update({("usr_a", "1"): "a cat and a cat", ("usr_a", "2"): "a ship in the rain", ("usr_b", "1"): "the cat's moon"})
            report = await world.embed()
            assert report["output"] == {
                "collection": "notes",
                "model": "one/words",
                "store": "numpy",
                "texts": 3,
                "embedded": 3,
                "removed": 0,
                "unpaid": 0,
            }
            assert await world.nearest("usr_a", "cat", 1) == ["1"]
            assert sorted(await world.nearest("usr_a", "moon")) == ["1", "2"]
            assert await world.nearest("usr_b", "ship") == ["1"]  # only their own, however far
            assert await world.nearest("usr_c", "cat") == []
            world.one.embedded.clear()
            del world.kept["usr_a", "2"], world.kept["usr_b", "1"]
            world.kept["usr_a", "3"] = "bread"
            report = (await world.embed())["output"]
            assert (report["texts"], report["embedded"], report["removed"]) == (2, 1, 2)
            assert world.one.embedded == ["bread"]
            assert await world.nearest("usr_a", "bread") == ["3", "1"]
            assert await world.nearest("usr_b", "moon") == []

    asyncio.run(main())


def test_other_model__old_vectors_serve_until_the_new_are_whole(opened):
    async def main():
        async with opened() as world:
            world.kept.update({("usr_a", str(at)): f"{WORDS[at % 6]} {at}" for at in range(150)})
            assert (await world.embed())["state"] == "succeeded"
            world.two.failure = AIError(AIErrorKind.RATE, "slow down")
            answer = await world.embed(model="two/words")
            assert answer["state"] != "succeeded"
            assert (await world.vectors.nearest("usr_a", "notes", "cat", 1)).model == "one/words"
            world.two.failure = None
            stored = "notes@two/words"
            await world.vectors.store.upsert("usr_a", stored, [VectorItem("0", [1.0] * 9)])  # what an earlier run had made already
            await world.hub.advance(60)  # the next attempt
            assert len(world.two.embedded) == 149
            assert (await world.vectors.nearest("usr_a", "notes", "cat", 1)).model == "two/words"
            assert await world.vectors.store.owners("notes@one/words") == []
            world.two.embedded.clear()
            assert (await world.embed())["output"]["model"] == "two/words"  # it keeps what it was given
            assert world.two.embedded == []

    asyncio.run(main())


def test_what_is_missing__has_its_own_code_and_health_says_it(opened):
    async def main():
        async with opened() as world:
            with pytest.raises(Unavailable) as refused:
                await world.vectors.nearest("usr_a", "notes", "cat", 1)
            assert refused.value.code == "vectors.not-embedded"
            with pytest.raises(NotFound) as unknown:
                world.vectors.source("none")
            assert (unknown.value.code, "notes" in unknown.value.hint) == ("vectors.no-source", True)
            world.kept["usr_a", "1"] = "cat"
            await world.embed()
            assert (await world.health()).state == "ok"
            world.one.failure = AIError(AIErrorKind.UPSTREAM, "broken")
            with pytest.raises(Upstream) as failed:
                await world.vectors.nearest("usr_a", "notes", "cat", 1)
            assert failed.value.code == "vectors.model-failed"
            with pytest.raises(Unavailable) as away:
                await world.vectors.embed("nobody/model", ["a"])
            assert away.value.code == "vectors.no-model"

    asyncio.run(main())


@pytest.mark.parametrize(("config", "said"), [({"model": "absent/model"}, "absent/model"), ({"store": "elsewhere"}, "elsewhere")])
def test_not_configured__degraded_with_the_reason_not_failing(opened, config, said):
    async def main():
        async with opened(**config) as world:
            found = await world.health()
            assert (found.state, said in found.reason) == ("degraded", True)

    asyncio.run(main())


def test_embed__without_the_scope_or_with_bad_input__is_refused(opened):
    async def main():
        async with opened() as world:
            client = world.hub.client("knowledge:read")
            assert (await client.request("POST", "/api/actions/vectors.embed", json={"collection": "notes"})).status == 404  # as if it were not there
            for bad in ({}, {"collection": "Notes"}, {"collection": "notes", "model": "x"}, {"collection": "notes\n"}, {"collection": "n" * 33}):
                answer = await world.hub.client("vectors:manage").request("POST", "/api/actions/vectors.embed", json=bad)
                assert answer.status == 400, bad

    asyncio.run(main())
