"""Who pays for the vectors of whose texts."""

from __future__ import annotations

from typing import Any

import pytest
from paid_work import Shop, open_shop
from word_vectors import NOTES, WordModel

from luminai import AIError, AIErrorKind, PaymentRequired, Upstream
from luminai_vectors import SHARED, Vectors

PRODUCT = """
product = "search"
title = "Search"
unit = "SEARCH_CREDIT"
unit-title = "Credits"
start = 2020-01-01
default-plan = "payg"

[[prices]]
action = "vectors.embedding"
per = { texts = { amount = 2, each = 1 } }

[[plans]]
id = "payg"
title = "Pay as you go"
"""


@pytest.fixture
def shop(tmp_path):
    def notes(factory: Any) -> Any:
        return factory.make("notes", NOTES, provides='["extensions"]', manifest='requires = { vectors = ">=0.1" }')

    config = {"vectors": {"model": "one/words"}}
    with open_shop(tmp_path, "vectors", "notes", product=PRODUCT, more_config=config, make=notes) as opened:
        yield opened


def embed(shop: Shop) -> Any:
    job = shop.ask("POST", "/api/actions/vectors.embed", json={"collection": "notes"}, expect=202)
    shop.settle_jobs()
    return shop.ask("GET", f"/api/jobs/{job['id']}")


def test_embed__texts_of_people__are_paid_by_them_and_nobody_waits_for_who_cannot(shop):
    model = WordModel("one")
    shop.hub.provide("ai_providers", model)
    rich, poor = shop.person(), shop.person()
    rich.give(10, product="search")
    source = shop.hub.hub.generation.wiring.extensions["vectors.source/1"][0]
    kept = source.texts.__globals__["KEPT"]
    kept.clear()
    kept.update({(poor.subject, "1"): "a dog", (rich.subject, "1"): "a cat", (rich.subject, "2"): "the moon", (SHARED, "1"): "rain"})

    report = embed(shop)["output"]

    assert (report["texts"], report["embedded"], report["unpaid"]) == (4, 3, 1)
    assert (rich.states(), poor.states()) == ([("settled", 4)], [])
    poor.give(2, product="search")
    report = embed(shop)["output"]
    assert (report["embedded"], report["unpaid"], poor.states()) == (1, 0, [("settled", 2)])

    vectors = shop.hub.hub.generation.wiring.services.find("vectors", Vectors)
    assert [hit.id for hit in shop.run(vectors.nearest(rich.subject, "notes", "moon", 1)).hits] == ["2"]
    assert rich.states() == [("settled", 4), ("settled", 2)], "a question is embedded too"
    assert [hit.id for hit in shop.run(vectors.nearest(SHARED, "notes", "rain", 1)).hits] == ["1"]
    with pytest.raises(PaymentRequired):
        shop.run(vectors.nearest(poor.subject, "notes", "dog", 1))

    model.failure = AIError(AIErrorKind.UPSTREAM, "broken")
    with pytest.raises(Upstream):
        shop.run(vectors.nearest(rich.subject, "notes", "moon", 1))
    assert rich.states()[-1] == ("released", 0)
    assert shop.ask("POST", "/api/ledger/verify")["count"] == 0
