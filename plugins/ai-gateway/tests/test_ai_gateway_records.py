"""Records of calls: what they say, what becomes of lost and old ones, corrections, and what a person is told of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from gateway_world import World, open_world

from luminai import EndState
from luminai.testing import Cut, FrozenClock, Wait
from luminai_ai_gateway.record import Entry

CLOCK = FrozenClock()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    config = {"keep-days": 30, "routes": [{"name": "nowhere", "models": ["nobody/one"]}], "direct": {"retries": 0}}
    with open_world(tmp_path_factory.mktemp("records"), config, clock=CLOCK) as opened:
        yield opened


def upkeep(world: World) -> Any:
    operator = world.hub.client("*")
    job = world.run(operator.request("POST", "/api/actions/ai-gateway.upkeep", json={}, headers={"prefer": "wait=10"})).json()
    assert job["state"] == "succeeded", job
    return job["output"]


def test_account__of_a_call__adds_up(world: World) -> None:
    name = f"{world.provide(('One', Wait(0.05), ' two', Wait(0.1), ' three')).name}/one"

    _, end = world.stream(name)

    trace = end.trace
    assert trace is not None
    assert trace.first is not None
    (leg,) = trace.legs
    assert 0 <= trace.queue <= trace.first <= trace.total
    assert 0.1 <= trace.longest_gap <= trace.total
    assert 0 < trace.own <= trace.total - 0.15, "waiting for the provider is not the hub's own time"
    assert leg.began + leg.seconds <= trace.total
    row = world.row()
    assert (row["id"], row["state"], row["kind"], row["name"]) == (trace.call, "finished", "chat", name)


def test_call__is_shown_to_its_owner_only(world: World) -> None:
    _, end = world.stream(f"{world.provide(('Yes.',)).name}/one", origin="tests")
    path = f"/api/ai/calls/{end.trace.call}"

    shown = world.run(world.hub.client("ai-gateway:read", subject="ann").request("GET", path))
    other = world.run(world.hub.client("ai-gateway:read", subject="bob").request("GET", path))

    assert (shown.status, shown.json()["origin"], shown.json()["trace"]["legs"][0]["state"]) == (200, "tests", "finished")
    assert (other.status, other.json()["code"]) == (404, "ai-gateway.call-not-found")


def test_estimate__reported_later__is_replaced_once(world: World) -> None:
    name = f"{world.provide(('Half of it', Cut())).name}/one"
    _, end = world.stream(name)
    assert world.row()["usage_origin"] == "estimated"
    path, usage = f"/api/ai/manage/calls/{end.trace.call}/usage", {"input_tokens": 11, "output_tokens": 7}
    operator = world.hub.client("ai-gateway:manage", subject="boss")

    assert world.run(operator.request("POST", path, json=usage)).status == 204

    row = world.row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_origin"], row["state"]) == (11, 7, "reported", "cut")
    again = world.run(operator.request("POST", path, json=usage))
    assert (again.status, again.json()["code"]) == (409, "ai-gateway.reported")
    missing = world.run(operator.request("POST", path[:-10] + "0000/usage", json=usage))
    assert (missing.status, missing.json()["code"]) == (404, "ai-gateway.call-not-found")
    negative = world.run(operator.request("POST", path, json={"input_tokens": -1, "output_tokens": 0}))
    assert negative.status == 400


def test_call__of_a_hub_that_died__is_ended_when_its_lease_is_over(world: World) -> None:
    lost = Entry(id="call_lost", subject="zoe", kind="chat", name="x/one", chain=("x/one",), seconds=60, at=CLOCK.now(), key="k")
    world.run(world.gateway.records.open(lost, {}))
    assert upkeep(world)["ended"] == 0
    CLOCK.advance(121)

    assert upkeep(world)["ended"] == 1

    row = world.row("zoe")
    assert (row["state"], row["code"], row["output_tokens"]) == ("cut", "lost", 0)
    assert world.rows("zoe")[0]["ended_at"] is not None


def test_record__older_than_is_kept__goes(world: World) -> None:
    name = f"{world.provide(('Yes.',)).name}/one"
    world.stream(name, subject="old")
    CLOCK.advance(timedelta(days=31).total_seconds())
    world.stream(name, subject="new")

    assert upkeep(world)["deleted"] >= 1

    assert world.rows("old") == []
    assert len(world.rows("new")) == 1


def test_list__is_paged_newest_first(world: World) -> None:
    name = f"{world.provide(('Yes.',)).name}/one"
    made = [world.stream(name, subject="pat")[1].trace.call for _ in range(5)]
    client, cursor, found = world.hub.client("ai-gateway:read", subject="pat"), None, []
    while True:
        page = world.run(client.request("GET", "/api/ai/calls", query={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found += [one["id"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == made[::-1]


def test_person__is_told_of_and_forgotten(world: World) -> None:
    name = f"{world.provide(('Yes.',)).name}/one"
    world.stream(name, "my secret words", subject="usr_gone")
    plugin, ctx = plugin_of(world)

    async def export() -> list[Any]:
        return [item async for item in plugin.export_subject(ctx, "usr_gone")]

    (item,) = world.run(export())
    assert (item.name, item.data["name"], item.data["state"]) == ("ai-call", name, EndState.FINISHED)
    assert "secret" not in str(item)
    assert world.run(plugin.erase_subject(ctx, "usr_gone", True)).erased == {"ai_gateway__calls": 1}
    assert len(world.rows("usr_gone")) == 1
    world.run(plugin.erase_subject(ctx, "usr_gone", False))
    assert world.rows("usr_gone") == []


def plugin_of(world: World) -> Any:
    """Return the plugin and its context."""
    loaded = world.hub.hub.generation.loaded("ai-gateway")
    return loaded.plugin, loaded.context


def test_health__route_that_leads_nowhere__is_degraded(world: World) -> None:
    answer = world.run(world.hub.client("*").request("GET", "/api/admin/plugins/ai-gateway"))
    assert answer.status == 200, answer.text
    health = world.run(world.gateway.health())
    assert (health.state, "nowhere" in health.reason) == ("degraded", True)
