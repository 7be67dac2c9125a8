"""The pytest plugin of ``luminai.testing``: fixtures for plugin tests, and ``--luminai-conformance=ID``.

It is part of every test run in its environment, so it loads nothing of the hub before a fixture is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from luminai.testing.clock import FrozenClock
from luminai.testing.network import NetworkGuard, guarded
from luminai.testing.records import Records

if TYPE_CHECKING:
    import random

    from luminai.http.inprocess import Answer
    from luminai.testing.harness import HubUnderTest

T = TypeVar("T")
LEVEL_OPTION, PLUGIN_OPTION, SETTINGS_OPTION = "luminai_level", "luminai_conformance", "luminai_settings"
HubFactory = Callable[..., "AbstractAsyncContextManager[HubUnderTest]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the conformance suite."""
    group = parser.getgroup("luminai", "LuminAI plugins")
    group.addoption("--luminai-conformance", dest=PLUGIN_OPTION, metavar="ID", help="Run the conformance rules on this installed plugin.")
    group.addoption(
        "--luminai-level", dest=LEVEL_OPTION, choices=["bronze", "silver", "gold"], default="gold", help="Highest conformance level to run."
    )
    group.addoption("--luminai-settings", dest=SETTINGS_OPTION, metavar="FILE", help="TOML file with the plugin's own settings.")


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker; with ``--luminai-conformance`` collect the rules instead of the project's own tests."""
    config.addinivalue_line("markers", "luminai(*plugins, **options): plugins that the fixture luminai_hub enables; options as of running_hub")
    if config.getoption(PLUGIN_OPTION):
        module = str(Path(__file__).parent / "conformance" / "rule_tests.py")
        named = config.args if config.args_source is config.ArgsSource.ARGS else []
        config.args[:] = [*named, module]


class RunningHub:
    """A started hub for a test that is a plain function: it answers requests, and ``run`` awaits anything in its loop."""

    def __init__(self, hub: HubUnderTest, runner: asyncio.Runner) -> None:
        self.hub = hub
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns, run in the hub's loop."""
        return self._runner.run(work)

    def request(self, method: str, path: str, *, scopes: tuple[str, ...] = (), subject: str = "user_test", **more: Any) -> Answer:
        """Return the answer to a request, signed in with ``scopes``, anonymous without; ``more`` as of ``InProcessClient.request``."""
        return self.run(self.hub.client(*scopes, subject=subject).request(method, path, **more))

    def state(self, plugin: str) -> str:
        """Return a plugin's state."""
        return self.hub.state(plugin)


@pytest.fixture
def hub_factory(tmp_path: Path) -> HubFactory:
    """Return ``running_hub`` in the test's own folder: ``async with hub_factory("notes") as hub:``."""
    from luminai.testing.harness import running_hub

    def make(*plugins: str, **options: Any) -> AbstractAsyncContextManager[HubUnderTest]:
        return running_hub(*plugins, **({"folder": tmp_path} | options))

    return make


@pytest.fixture
def luminai_hub(request: pytest.FixtureRequest, hub_factory: HubFactory) -> Iterator[RunningHub]:
    """Return a started hub with the plugins of ``@pytest.mark.luminai("notes", config={…})``; it stops at the end."""
    marker = request.node.get_closest_marker("luminai")
    plugins, options = (marker.args, marker.kwargs) if marker else ((), {})
    context = hub_factory(*plugins, **options)
    with asyncio.Runner() as runner:
        hub = runner.run(context.__aenter__())
        try:
            yield RunningHub(hub, runner)
        finally:
            runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def frozen_clock() -> FrozenClock:
    """Return a clock that moves only when told; give it to the hub with ``clock=``."""
    return FrozenClock()


@pytest.fixture
def network_guard() -> Iterator[NetworkGuard]:
    """Refuse connections that leave this machine, and fail a test that tried one, also where its code caught the refusal."""
    with guarded() as guard:
        yield guard
    if guard.attempts:
        pytest.fail(f"the test tried to reach {', '.join(dict.fromkeys(guard.attempts))}", pytrace=False)


@pytest.fixture
def records() -> Iterator[Records]:
    """Record what is logged; events and problems are asked of a hub."""
    recorder = Records()
    with _attached(recorder):
        yield recorder


@pytest.fixture
def seeded_ids() -> Iterator[random.Random]:
    """Make ``new_id`` and ``random`` the same in every run."""
    from luminai.testing.seeds import seeded

    with seeded() as source:
        yield source


@contextmanager
def _attached(recorder: Records) -> Iterator[None]:
    hub = logging.getLogger("luminai")
    level = hub.level
    hub.addHandler(recorder)
    hub.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        hub.removeHandler(recorder)
        hub.setLevel(level)


def conformance_options(config: pytest.Config) -> tuple[str, str, Path | None]:
    """Return plugin, level and settings file of the command line."""
    settings = config.getoption(SETTINGS_OPTION)
    return config.getoption(PLUGIN_OPTION), config.getoption(LEVEL_OPTION), Path(os.fspath(settings)) if settings else None
