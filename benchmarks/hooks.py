"""What it costs that the hub stands between caller and plugin code: guarded calls beside bare ones, in turns, in one run.

Usage: python benchmarks/hooks.py [rounds]. Prints the table that `docs/explanation/lifecycle.md` keeps. Bar: 10 guarded steps within 80 µs.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from luminai import Decision, hookimpl
from luminai.host.calls import call_within
from luminai.host.decisions import DecisionTable
from luminai.host.hooks import bind_hooks
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer

LOOPS = 2000


class Plugin:
    @hookimpl
    def personas(self):
        return ()

    @hookimpl
    async def ready(self):
        return None


async def step(value: Any) -> Any:
    return value


def chain(count: int) -> DecisionTable:
    table = DecisionTable(lambda *_: Breaker(), Tracer())
    for number in range(count):
        table.add(f"plugin-{number:02}", [Decision(point="filter.words", decide=step)])
    return table


async def each(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    for _ in range(LOOPS):
        await work()
    return (time.perf_counter() - began) / LOOPS * 1e6


async def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    plugin = Plugin()
    hooks = bind_hooks(plugin)
    tables = {count: chain(count) for count in (1, 10, 100)}

    async def bare_chain(count: int) -> None:
        value = 1
        for _ in range(count):
            value = await step(value)

    async def bare_hook() -> None:
        plugin.personas()

    async def hub_hook() -> None:
        hooks.call("personas", ctx=None)

    rows: dict[str, tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]] = {
        "contribution hook (once a generation)": (bare_hook, hub_hook),
        "lifecycle hook in a task with a deadline": (plugin.ready, lambda: call_within(30, plugin.ready())),
    }
    for count, table in tables.items():
        rows[f"decision chain of {count}, each with deadline, breaker, count"] = (
            lambda count=count: bare_chain(count),
            lambda table=table: table.filter("filter.words", 1),
        )
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for _ in range(rounds + 1):
        for name, (bare, hub) in rows.items():
            figures[name].append((await each(bare), await each(hub)))
    print("| call | bare µs | hub µs | added µs |\n|---|---|---|---|")
    for name, pairs in figures.items():
        bare_us = statistics.median(pair[0] for pair in pairs[1:])
        hub_us = statistics.median(pair[1] for pair in pairs[1:])
        print(f"| {name} | {bare_us:.2f} | {hub_us:.2f} | {hub_us - bare_us:.2f} |")


if __name__ == "__main__":
    asyncio.run(main())
