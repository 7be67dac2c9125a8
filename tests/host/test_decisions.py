"""Decision chains: order, combination and what a failing step means."""

import asyncio
from typing import Any

import pytest

from luminai import Conflict, Decision, Denied, Forbidden, Unavailable
from luminai.host.decisions import DecisionTable
from luminai.host.order import start_order
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer


def table(*steps: tuple[str, Any], point: str, **more: Any) -> DecisionTable:
    """Return a table with steps of owners in order."""
    made = DecisionTable(lambda plugin, channel: Breaker(), Tracer())
    for owner, decide in steps:
        made.add(owner, [Decision(point=point, decide=decide, **more)])
    return made


def answers(value: Any) -> Any:
    async def decide(_: Any) -> Any:
        return value

    return decide


async def fails(_: Any) -> Any:
    raise ValueError("boom")


async def hangs(_: Any) -> Any:
    await asyncio.Event().wait()


def test_guard__all_allow__passes() -> None:
    asyncio.run(table(("a", answers(None)), ("b", answers(None)), point="guard.turn").guard("guard.turn", {}))


@pytest.mark.parametrize(
    ("step", "code"),
    [(answers(Denied("too-late", "Closed.")), "too-late"), (fails, "guard-failed"), (hangs, "guard-failed"), (answers(True), "guard-failed")],
)
def test_guard__denies_fails_hangs_or_babbles__refuses(step: Any, code: str) -> None:
    guarded = table(("a", answers(None)), ("b", step), point="guard.turn", timeout=0.05)

    with pytest.raises(Forbidden) as refused:
        asyncio.run(guarded.guard("guard.turn", {}))
    assert (refused.value.code, refused.value.plugin) == (code, "b")


def test_choose__first_answer__wins_and_failures_are_skipped() -> None:
    chosen = table(("a", fails), ("b", answers(None)), ("c", answers("c")), ("d", answers("d")), point="choose.route")

    assert asyncio.run(chosen.choose("choose.route", {})) == "c"
    assert [step.failures for step in chosen.chain("choose.route")] == [1, 0, 0, 0]


def test_filter__folds__and_skips_a_failing_step() -> None:
    async def shout(value: str) -> str:
        return value.upper()

    async def twice(value: str) -> str:
        return value * 2

    assert asyncio.run(table(("a", shout), ("b", fails), ("c", twice), point="filter.reply").filter("filter.reply", "ab")) == "ABAB"


def test_price__adds__and_a_failing_step_denies() -> None:
    assert asyncio.run(table(("a", answers(2)), ("b", answers(3)), point="price.turn").price("price.turn", {})) == 5
    for wrong in (fails, answers(1.5), answers(None)):
        with pytest.raises(Unavailable):
            asyncio.run(table(("a", wrong), point="price.turn").price("price.turn", {}))


def test_chain__before_and_after__order_it_and_a_circle_is_refused() -> None:
    made = DecisionTable(lambda plugin, channel: Breaker(), Tracer())
    made.add("a", [Decision(point="filter.x", decide=fails, after=("c",))])
    made.add("b", [Decision(point="filter.x", decide=fails)])
    made.add("c", [Decision(point="filter.x", decide=fails)])

    assert [step.owner for step in made.chain("filter.x")] == ["b", "c", "a"]
    with pytest.raises(Conflict):
        made.add("d", [Decision(point="filter.x", decide=fails, after=("a",), before=("c",))])
    with pytest.raises(Conflict):
        made.add("e", [Decision(point="whatever", decide=fails)])


def test_start_order__is_deterministic_and_tells_the_shortest_cycle() -> None:
    order, cycles = start_order({"b": ["a"], "a": [], "c": [], "x": ["y"], "y": ["z"], "z": ["x", "y"], "behind": ["x"], "free": ["nobody"]})

    assert order == ["a", "b", "c", "free"]
    assert cycles == [["x", "y", "z", "x"]]
