"""Dated prices over HTTP and by command: imported all or none, looked over, and what a call cost stays what it cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from luminai import EmbeddingReply, End, EndState, MediaReply, Model, Usage
from luminai.testing import FrozenClock, HubUnderTest, ScriptedProvider, running_hub
from luminai_ai_gateway import commands
from luminai_ai_gateway.prices import Prices

PRICE = {"input_tokens": 1_000_000, "output_tokens": 4_000_000}


class Acme(ScriptedProvider):
    """Three models."""

    def models(self) -> list[Model]:
        return [Model(id=name, kinds=frozenset({"chat"}), context_tokens=8000) for name in ("small", "large", "new-2026")]


class World:
    """A hub whose clock stands, with a provider ``acme``."""

    is_tty = False

    def __init__(self, runner: asyncio.Runner, hub: HubUnderTest, clock: FrozenClock) -> None:
        self.runner, self.hub, self.clock = runner, hub, clock
        self.operator = hub.client("*", subject="user_boss")
        self.said: list[Any] = []

    def ask(self, method: str, path: str, *, expect: int = 200, **more: Any) -> Any:
        answer = self.runner.run(self.operator.request(method, path, **more))
        assert answer.status == expect, (answer.status, answer.text)
        return answer.json()

    def request(self, method: str, path: str, *, body: Any = None, query: Any = None, offline: bool = False) -> Any:
        return self.ask(method, path, json=body, query=query)

    def emit(self, data: Any, *, columns: Any = ()) -> None:
        self.said.append(data)

    def put(self, provider: str, prices: dict[str, dict[str, int]], *, expect: int = 200, **more: Any) -> Any:
        models = [
            {"provider": provider, "model": model, "prices": [{"unit": unit, "micro": micro} for unit, micro in units.items()]}
            for model, units in prices.items()
        ]
        return self.ask("POST", "/api/ai/manage/prices", json={"models": models, **more}, expect=expect)

    def cost(self, model: str, at: datetime | None = None, **used: int) -> tuple[int | None, str]:
        context = self.hub.hub.generation.loaded("ai-gateway").context
        prices, moment = context.service(Prices), at or self.clock.now()
        found = self.runner.run(context.db.as_system().read(lambda session: prices.cost(session, model, used, moment)))
        return found.micro, found.basis


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    clock = FrozenClock()
    with asyncio.Runner() as runner:
        opened = running_hub("ai-gateway", clock=clock)
        hub = runner.run(opened.__aenter__())
        try:
            hub.provide("ai_providers", Acme(name="acme", model="small"))
            yield World(runner, hub, clock)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def run(world: World, *arguments: str) -> Any:
    group = commands.models if arguments[0] == "models" else commands.ai
    done = CliRunner().invoke(group, arguments[1:], obj=world, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return world.said.pop()


def test_an_old_message__costs_what_it_cost(world: World) -> None:
    world.put("old", {"one": PRICE})
    before = world.clock.now()
    assert world.cost("old/one", input_tokens=1_000_000, output_tokens=500_000) == (3_000_000, "priced")
    world.clock.advance(3600)
    done = world.put("old", {"one": {"input_tokens": 2_000_000, "output_tokens": 4_000_000}})
    assert (done["added"], done["changed"], done["unchanged"], done["is_stored"]) == (0, 1, 1, True)
    assert world.cost("old/one", input_tokens=1_000_000, output_tokens=500_000) == (4_000_000, "priced")
    assert world.cost("old/one", before, input_tokens=1_000_000, output_tokens=500_000) == (3_000_000, "priced")
    refused = world.put("old", {"one": PRICE}, start=before.isoformat(), expect=422)
    assert refused["code"] == "ai-gateway.price-past"


def test_an_unknown_model__counts_at_its_providers_dearest_price_and_says_so(world: World) -> None:
    world.put("dear", {"cheap": PRICE, "dear": {"input_tokens": 10_000_000, "output_tokens": 2_000_000}})
    assert world.cost("dear/nobody-knows", input_tokens=1_000_000, output_tokens=1_000_000) == (14_000_000, "dearest")
    assert world.cost("dear/cheap", input_tokens=1_000_000, output_tokens=1_000_000) == (5_000_000, "priced")
    assert world.cost("nobody/knows", input_tokens=1) == (None, "")


@pytest.mark.parametrize("micro", [-1, 10**12 + 1, 1.5, "1", None, True])
def test_a_price_that_can_be_none__is_refused(world: World, micro: Any) -> None:
    refused = world.put("bad", {"good": PRICE, "one": {**PRICE, "output_tokens": micro}}, expect=400)
    assert refused["code"] == "invalid-input"
    assert world.cost("bad/good", input_tokens=1) == (None, ""), "all or nothing"


def test_two_prices_from_one_moment__are_refused_and_nothing_is_taken(world: World) -> None:
    start = (world.clock.now() + timedelta(days=1)).isoformat()
    world.put("twin", {"one": PRICE}, start=start)
    refused = world.put("twin", {"two": PRICE, "one": {**PRICE, "input_tokens": 5}}, start=start, expect=422)
    assert refused["code"] == "ai-gateway.price-refused"
    assert [one["model"] for one in world.ask("GET", "/api/ai/manage/prices?every=true&model=twin/")["items"]] == ["twin/one"] * 2


def test_a_price_that_begins_later__waits_for_its_day_and_ends_again(world: World) -> None:
    now = world.clock.now()
    world.put("later", {"one": {"images": 5}}, start=now.isoformat())
    world.clock.advance(60)
    dated = [{"unit": "images", "micro": micro, "start": (now + timedelta(days=days)).isoformat()} for days, micro in ((1, 9), (2, 5))]
    model = {"provider": "later", "model": "one", "prices": [{"unit": "images", "micro": 7}, *dated]}
    assert world.ask("POST", "/api/ai/manage/prices", json={"models": [model]})["changed"] == 3
    assert [world.cost("later/one", now + timedelta(days=days), images=1)[0] for days in (0, 0.5, 1, 2)] == [5, 7, 9, 5]


def test_a_model_without_prices__gets_its_history_and_one_with_prices_does_not(world: World) -> None:
    now = world.clock.now()
    past = [{"unit": "images", "micro": 3, "start": (now - timedelta(days=9)).isoformat()}]
    model = {"provider": "past", "model": "one", "prices": [{"unit": "images", "micro": 2}, *past]}
    world.ask("POST", "/api/ai/manage/prices", json={"models": [model]})
    assert [world.cost("past/one", now - timedelta(days=days), images=1)[0] for days in (30, 9, 0)] == [2, 3, 3]
    model["prices"][1]["micro"] = 4
    world.clock.advance(60)
    assert world.ask("POST", "/api/ai/manage/prices", json={"models": [model]})["changed"] == 1
    assert [world.cost("past/one", now - timedelta(days=days), images=1)[0] for days in (30, 9)] == [2, 3]
    assert world.cost("past/one", images=1)[0] == 4


def test_a_price_for_long_calls__ends_when_it_is_no_longer_told(world: World) -> None:
    long = {
        "provider": "long",
        "model": "one",
        "prices": [{"unit": "input_tokens", "micro": micro, "above": above} for micro, above in ((1, 0), (2, 1000))],
    }
    world.ask("POST", "/api/ai/manage/prices", json={"models": [long]})
    assert world.cost("long/one", input_tokens=2_000_000) == (4, "priced")
    world.clock.advance(60)
    world.put("long", {"one": {"input_tokens": 1}})
    assert world.cost("long/one", input_tokens=2_000_000) == (2, "priced")


def test_a_dry_run__tells_and_changes_nothing(world: World) -> None:
    told = world.put("dry", {"one": PRICE}, dry_run=True)
    assert (told["added"], told["is_stored"]) == (2, False)
    assert world.ask("GET", "/api/ai/manage/prices?model=dry/")["items"] == []


def test_the_check__names_unpriced_odd_and_free_ones(world: World) -> None:
    world.clock.advance(60)
    world.put("acme", {"small": PRICE, "large": {**PRICE, "output_tokens": 0}, "typo": {"input_tokens": 1_000, "output_tokens": 4_000_000}})
    world.put("acme", {"other": PRICE, "third": {**PRICE, "cached_input_tokens": 2_000_000}})
    found = run(world, "ai", "prices", "check")
    mine = {(one["kind"], one["model"], one["unit"]) for one in found["findings"] if one["model"].startswith("acme/")}
    assert mine == {
        ("unpriced", "acme/new-2026", "input_tokens"),
        ("unpriced", "acme/new-2026", "output_tokens"),
        ("odd", "acme/typo", "input_tokens"),
        ("free", "acme/large", "output_tokens"),
        ("dearer-cached", "acme/third", "cached_input_tokens"),
    }
    assert (found["offered"], found["priced"]) == (3, 2)


def test_a_jump_of_a_thousand__is_told_before_it_is_taken(world: World) -> None:
    world.put("jump", {"one": PRICE})
    told = world.put("jump", {"one": {**PRICE, "output_tokens": 4_000}}, start=(world.clock.now() + timedelta(days=1)).isoformat(), dry_run=True)
    assert told["odd"] == 1
    assert told["changes"][0]["was"] == 4_000_000


def test_more_than_8000_models__are_refused(world: World) -> None:
    many = {f"m{number}": {"input_tokens": 1} for number in range(8001)}
    refused = world.put("many", many, expect=400, dry_run=True)
    assert (refused["code"], "8000" in refused["errors"][0]["detail"]) == ("invalid-input", True)
    many.popitem()
    assert world.put("many", many, dry_run=True)["added"] == 8000


def test_the_commands__import_list_and_tell_models(world: World, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    entry = {"litellm_provider": "theirs", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06}
    file.write_text(json.dumps({"theirs/x": entry, "theirs/half": {**entry, "output_cost_per_token": None}}))
    arguments = ("ai", "prices", "import", str(file), "--provider", "theirs", "--as", "theirs=ours")
    assert run(world, *arguments, "--dry-run")["is_stored"] is False
    report = run(world, *arguments)
    assert (report["added"], report["is_stored"]) == (2, True)
    assert report["left_out_why"] == ["theirs/half: no price for output_tokens"]
    rows = run(world, "ai", "prices", "list", "ours/")
    assert {(row["model"], row["unit"], row["micro"], row["source"]) for row in rows} == {
        ("ours/x", "input_tokens", 1_000_000, "litellm"),
        ("ours/x", "output_tokens", 4_000_000, "litellm"),
    }
    listed = {one["model"]: one for one in run(world, "models", "list")}
    assert listed["acme/new-2026"]["unpriced"] == ["input_tokens", "output_tokens"]
    assert listed["acme/small"]["plugin"] == "test"
    assert listed["acme/small"]["context_tokens"] == 8000


def test_the_list__is_paged_and_shows_what_is_in_force(world: World) -> None:
    world.put("paged", {f"m{number}": PRICE for number in range(3)})
    world.clock.advance(60)
    world.put("paged", {"m0": {"input_tokens": 3}})
    first = world.ask("GET", "/api/ai/manage/prices?model=paged/&limit=4")
    rest = world.ask("GET", f"/api/ai/manage/prices?model=paged/&limit=4&cursor={first['next_cursor']}")
    assert len(first["items"]) + len(rest["items"]) == 6
    assert rest["next_cursor"] is None
    assert {row["micro"] for row in rest["items"] + first["items"] if (row["model"], row["unit"]) == ("paged/m0", "input_tokens")} == {3}
    assert len(world.ask("GET", "/api/ai/manage/prices?model=paged/&every=true")["items"]) == 7


def test_prices__are_the_operators(world: World) -> None:
    client = world.hub.client("ai-gateway:read", "ai-gateway:use", subject="user_ann")
    for method, path in (
        ("GET", "/api/ai/manage/prices"),
        ("GET", "/api/ai/manage/prices/check"),
        ("POST", "/api/ai/manage/prices"),
        ("GET", "/api/ai/manage/models"),
    ):
        assert world.runner.run(client.request(method, path, json={"models": []} if method == "POST" else None)).status == 403


def test_a_model__is_tried_by_one_real_call_and_its_trace_tells_what_became_of_it(world: World) -> None:
    world.clock.advance(60)
    world.put("acme", {"small": {"input_tokens": 7_000_000, "output_tokens": 9_000_000}, "large": {"input_tokens": 1, "output_tokens": 2_000_000}})
    tried = run(world, "models", "test", "acme/small")
    assert (tried["model"], tried["kind"], tried["end"], tried["said"]) == ("acme/small", "chat", "finished", "Hello there.")
    used = tried["usage"]
    assert tried["cost_micros"] == 7 * used["input_tokens"] + 9 * used["output_tokens"]
    assert (tried["cost_basis"], tried["total"] >= 0) == ("priced", True)
    told = run(world, "ai", "trace", tried["call"], "--elsewhere")
    assert (told["state"], told["origin"], told["cost_micros"]) == ("finished", "models.test", tried["cost_micros"])
    assert [leg["model"] for leg in told["trace"]["legs"]] == ["acme/small"]
    assert [one["model"] for one in told["elsewhere"]] == ["acme/large", "acme/small"], "cheapest first; without a price nothing is told"
    assert told["elsewhere"][0]["micro"] == 2 * used["output_tokens"] + 1
    world.clock.advance(60)
    world.put("acme", {"small": {"input_tokens": 1, "output_tokens": 1}})
    assert run(world, "ai", "trace", tried["call"])["cost_micros"] == tried["cost_micros"]


class Painter(ScriptedProvider):
    """Makes pictures, speech and vectors."""

    def models(self) -> list[Model]:
        return [Model(id=name, kinds=frozenset({kind})) for name, kind in (("dots", "image"), ("voice", "speech"), ("places", "embedding"))]

    async def speak(self, *_: Any, **__: Any) -> MediaReply:
        return MediaReply(content=b"ID3 ready", content_type="audio/mpeg")

    async def embed(self, *_: Any, **__: Any) -> EmbeddingReply:
        return EmbeddingReply(((0.5, 0.5),), Usage(input_tokens=1, output_tokens=0, origin="reported"))

    async def image(self, *_: Any, **__: Any) -> MediaReply:
        return MediaReply(content=b"\x89PNG dot", content_type="image/png")


def test_a_picture__of_a_model_that_is_tried__is_written_where_asked(world: World, tmp_path: Path) -> None:
    world.hub.provide("ai_providers", Painter(name="painter"))
    file = tmp_path / "dot.png"
    tried = run(world, "models", "test", "painter/dots", "--output", str(file))
    assert (tried["kind"], tried["end"], tried["said"], tried["file"]) == ("image", "finished", "8 bytes of image/png", str(file))
    assert file.read_bytes() == b"\x89PNG dot"
    assert "content" not in run(world, "models", "test", "painter/dots")
    refused = CliRunner().invoke(commands.models, ["test", "acme/small", "--output", str(tmp_path / "none")], obj=world)
    assert (refused.exit_code, "makes neither pictures nor speech" in refused.output) == (2, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("model", "kind"), [("dots", "image"), ("voice", "speech"), ("places", "embedding")])
def test_a_model_that_makes_no_chat__has_a_call_that_can_be_followed_when_it_is_tried(world: World, model: str, kind: str) -> None:
    name = f"maker-of-{model}"
    world.hub.provide("ai_providers", Painter(name=name))
    tried = run(world, "models", "test", f"{name}/{model}")
    followed = world.ask("GET", f"/api/ai/calls/{tried['call']}")
    assert (followed["kind"], followed["state"], followed["model"]) == (kind, "finished", f"{name}/{model}")
    assert [leg["model"] for leg in followed["trace"]["legs"]] == [f"{name}/{model}"]


def test_anothers_call__is_not_there(world: World) -> None:
    tried = run(world, "models", "test", "acme/small")
    client = world.hub.client("ai-gateway:read", subject="user_ann")
    answer = world.runner.run(client.request("GET", f"/api/ai/calls/{tried['call']}"))
    assert (answer.status, answer.json()["code"]) == (404, "ai-gateway.call-not-found")


def test_a_model_that_is_not_there__is_not_tried(world: World) -> None:
    assert world.ask("POST", "/api/ai/manage/models/test", json={"model": "acme/none"}, expect=422)["code"] == "ai-gateway.unknown-model"


def test_cached_tokens_and_thoughts__cost_what_they_cost(world: World) -> None:
    used = Usage(input_tokens=1000, output_tokens=100, origin="reported", cached_input_tokens=600, cache_write_tokens=300, reasoning_tokens=40)
    world.hub.provide(
        "ai_providers", ScriptedProvider(("Hello", End(state=EndState.FINISHED, usage=used)), name="thrifty", model="one"), owner="other"
    )
    rates = {"input_tokens": 10, "cached_input_tokens": 1, "cache_write_tokens": 20, "output_tokens": 100, "reasoning_tokens": 50}
    world.put("thrifty", {"one": {unit: micro * 1_000_000 for unit, micro in rates.items()}})
    tried = run(world, "models", "test", "thrifty/one")
    assert tried["cost_micros"] == 100 * 10 + 600 * 1 + 300 * 20 + 60 * 100 + 40 * 50
