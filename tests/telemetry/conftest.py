"""A hub that is watched, shared by the tests of a module."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from plugin_factory import PluginFactory
from prometheus_client.parser import text_string_to_metric_families

from luminai.http.inprocess import Answer, InProcessClient
from luminai.testing import FrozenClock, HubUnderTest, running_hub

PLUGIN = """
    from litestar import get
    from litestar.params import FromPath
    from luminai import Action, AlertRule, Metric, Unavailable, hookimpl, policy
    from msgspec import Struct

    class Given(Struct, forbid_unknown_fields=True):
        fails: bool = False

    class Done(Struct):
        said: str

    class Plugin:
        @hookimpl
        def metrics(self):
            return [
                Metric(name="words_total", kind="counter", help="Words.", labels=("kind",)),
                Metric(name="depth", kind="gauge", help="Depth."),
                Metric(name="turn_seconds", kind="histogram", help="Turns.", buckets=(0.1, 1.0)),
            ]
        @hookimpl
        def routes(self, ctx):
            @get("/api/watched/items/{item:str}", opt=policy(anonymous=True))
            async def item(item: FromPath[str]) -> dict[str, str]:
                if item == "broken":
                    raise RuntimeError("broken")
                ctx.metrics.count("words_total", 2, kind=item)
                ctx.metrics.put("depth", 7)
                ctx.metrics.observe("turn_seconds", 0.5)
                return {"item": item}
            return [item]
        @hookimpl
        def actions(self, ctx):
            async def work(job, given):
                if given.fails:
                    raise Unavailable("Not now.", code="watched.no")
                return Done("done")
            return [Action(name="work", summary="Work.", run=work, retries=0, scope="watched:run", input=Given, output=Done)]
"""
MANIFEST = """
scopes = { "watched:run" = "Work." }
"""


class World:
    """The hub, its clock, and an event loop that stays."""

    def __init__(self, runner: asyncio.Runner, hub: HubUnderTest, clock: FrozenClock) -> None:
        self._runner = runner
        self.hub = hub
        self.clock = clock
        self.monitor = hub.client("hub:monitor", subject="prometheus")

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for ``work``."""
        return self._runner.run(work)

    def ask(self, path: str, method: str = "GET", client: InProcessClient | None = None, **given: Any) -> Answer:
        """Ask as whoever may read metrics, or as ``client``."""
        answer: Answer = self.run((client or self.monitor).request(method, path, **given))
        return answer

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return every sample of ``/metrics``, as Prometheus' own parser reads it."""
        answer = self.ask("/metrics")
        assert answer.status == 200, answer.body
        families = text_string_to_metric_families(answer.body.decode())
        return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a watched hub with a plugin that measures."""
    root = tmp_path_factory.mktemp("watched")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.syspath_prepend(str(root))
        made = PluginFactory(root).make("watched", PLUGIN, provides='["routes", "actions", "metrics"]', manifest=MANIFEST)
        clock = FrozenClock()
        opened = running_hub("watched", installed=[made], clock=clock)
        hub = runner.run(opened.__aenter__())
        assert hub.status("watched").running, (*hub.status("watched").causes, hub.status("watched").reason)
        try:
            yield World(runner, hub, clock)
        finally:
            runner.run(opened.__aexit__(None, None, None))
            sys.modules.pop("luminai_watched.plugin", None)
            sys.modules.pop("luminai_watched", None)
