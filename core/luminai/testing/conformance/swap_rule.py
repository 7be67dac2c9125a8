"""The gold rule of live swaps: the plugin is built anew again and again while its routes are asked without pause."""

from __future__ import annotations

import asyncio
from typing import Final

from luminai.http.inventory import RouteEntry
from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.running_rules import filled
from luminai.testing.conformance.subject import Subject
from luminai.testing.harness import HubUnderTest

SWAPS: Final = 10
CALLERS: Final = 4
CORE_PATH: Final = "/health/live"


def swap_under_load(subject: Subject) -> str:
    """G03."""
    if subject.manifest.reload == "restart":
        raise RuleBroken('its manifest says reload = "restart"')

    paths = [CORE_PATH, *(filled(route) for route in subject.loaded.routes if _is_plain(route))]

    async def main() -> tuple[int, list[str], list[str]]:
        async with subject.hub() as hub:
            load = _Load(hub, paths)
            callers = [asyncio.create_task(load.ask()) for _ in range(CALLERS)]
            calm = await load.statuses_of_each()
            try:
                for _ in range(SWAPS):
                    await hub.hub.supervisor.change({}, by="conformance", summary="swap", renew=frozenset({subject.id}))
                    await asyncio.sleep(0)
                await hub.hub.supervisor.settle()
            finally:
                load.done = True
                await asyncio.gather(*callers)
            after = await load.statuses_of_each()
            changed = [f"{path} answered {calm[path]} and now {status}" for path, status in after.items() if status != calm[path]]
            return load.asked, load.failed, changed

    asked, failed, changed = subject.run(main())
    if failed or changed:
        raise RuleBroken("; ".join([*failed[:5], *changed[:5]]))
    return f"{SWAPS} swaps, {asked} requests, none failed"


class _Load:
    """Callers that ask path after path until they are told to stop."""

    def __init__(self, hub: HubUnderTest, paths: list[str]) -> None:
        self._client = hub.client("*")
        self._paths = paths
        self.asked = 0
        self.failed: list[str] = []
        self.done = False

    async def ask(self) -> None:
        while not self.done:
            path = self._paths[self.asked % len(self._paths)]
            self.asked += 1
            answer = await self._client.request("GET", path)
            if answer.status >= 500:
                self.failed.append(f"{path} answered {answer.status}: {answer.text[:200]}")
            await asyncio.sleep(0)

    async def statuses_of_each(self) -> dict[str, int]:
        return {path: (await self._client.request("GET", path)).status for path in self._paths}


def _is_plain(route: RouteEntry) -> bool:
    """Tell whether the route can be asked again and again: it only reads, and does not stream for ever."""
    return route.method == "GET" and "stream" not in route.path and "event" not in route.path
