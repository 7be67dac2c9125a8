"""Tries a plugin's settings against the real service, without a serving hub.

The plugin is loaded in a thread of its own with those that it requires, which are started on an empty database. Its own ``start`` is not called: its
settings may be wrong, and a start may take work from a queue. Neither the hub's database nor its wishes are touched. A check that blocks the whole
thread is given up like one that only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from luminai.config.layers import Configuration, Layer
from luminai.contracts.errors import DeadlineExceeded, HubError, ProblemItem
from luminai.data.migrations import upgrade
from luminai.host.bisect import closed
from luminai.host.calls import call_within
from luminai.host.checks import config_checker
from luminai.host.discovery import InstalledPlugin
from luminai.host.generation import failure_of
from luminai.host.hub import Hub
from luminai.host.loading import Loaded, load
from luminai.host.local import apart
from luminai.host.plan import Planned, make_plan
from luminai.host.report import Failure
from luminai.host.schemas import find_plugin
from luminai.host.sources import source_of
from luminai.host.wiring import Wiring
from luminai.host.worker import DeadlineWorker

HOOK: Final = "test_config"
_GRACE: Final = 3.0
_BUILT_IN: Final = ("env:", "file:")


class Tryout(Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        has_check: Whether the plugin brings a check of its own; without one its settings are only bound and its parts collected. None when it
            did not come up far enough to tell.
        hung: Something did not end in time, and may still hold a thread.
        seconds: How long the check itself took.
    """

    plugin: str
    has_check: bool | None
    problems: tuple[ProblemItem, ...]
    hung: bool = False
    seconds: float = 0.0


def try_settings(config: Configuration, plugin_id: str, installed: Sequence[InstalledPlugin], *, seconds: float) -> Tryout:
    """Load the plugin, whether it is on or off, and have it check its settings for at most ``seconds``.

    Raises:
        NotFound: no such plugin is installed.
        HubError: the core itself does not come up.
    """
    find_plugin(plugin_id, installed)
    patience = config.settings.hub.plugin_seconds * len(installed) + _GRACE
    outcome: Future[Tryout] = Future()
    checking = threading.Event()
    with tempfile.TemporaryDirectory(prefix="luminai-try-", ignore_cleanup_errors=True) as folder:

        def work() -> None:
            try:
                outcome.set_result(asyncio.run(_Try(config, plugin_id, installed, folder, seconds).run(checking)))
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                outcome.set_exception(error)
            finally:
                checking.set()

        threading.Thread(target=work, name="luminai-tryout", daemon=True).start()
        if not checking.wait(patience):
            stuck = ProblemItem(detail=f"What it requires did not come up within {patience:g} s.", code="deadline-exceeded")
            return Tryout(plugin=plugin_id, has_check=None, problems=(stuck,), hung=True)
        try:
            return outcome.result(timeout=seconds + _GRACE)
        except TimeoutError:
            if outcome.done():  # not ours: the try itself ended with it
                raise
            return Tryout(plugin=plugin_id, has_check=True, problems=(_late(seconds),), hung=True, seconds=seconds)


class _Try:
    """One try: the hub of what the plugin requires, then the plugin itself."""

    def __init__(self, config: Configuration, plugin_id: str, installed: Sequence[InstalledPlugin], folder: str, seconds: float) -> None:
        self._id = plugin_id
        self._installed = list(installed)
        self._seconds = seconds
        self._requires = {one.id: tuple(one.manifest.requires) for one in self._installed if one.manifest}
        self._all = closed([plugin_id, *_secret_keepers(config, plugin_id, self._installed)], self._requires)
        sections = {one: {"enabled": True, "on-failure": "optional"} for one in self._all}
        own = Layer("command line", "", {"plugins": sections, "hub": {"strict": False}}, {}, {})
        self._config = Configuration([*config.layers, own], config.problems, config.base_dir)
        self._apart = Configuration([*config.layers, own, apart(folder)], config.problems, config.base_dir)

    async def run(self, checking: threading.Event) -> Tryout:
        """Do it; ``checking`` is set when the plugin's check begins."""
        plan = make_plan(
            self._installed,
            self._config.settings.plugins,
            desired={},
            check_config=config_checker(self._config),
            only=self._all,
        )
        planned = next((one for one in plan.order if one.manifest.id == self._id), None)
        if planned is None:
            return self._stopped(_problems(plan.failures[self._id]))
        hub = Hub(self._apart, installed=self._installed, only=self._all - {self._id})
        await hub.start()
        try:
            missing = [one for one in planned.manifest.requires if hub.generation.loaded(one) is None]
            if missing:
                return self._stopped([_required(one, hub.generation.failures[one]) for one in missing])
            return await self._load_and_check(hub, planned, checking)
        finally:
            await hub.stop()

    async def _load_and_check(self, hub: Hub, planned: Planned, checking: threading.Event) -> Tryout:
        runtime = replace(hub.supervisor.runtime, data_dir=self._config.data_dir)  # its files are the real ones, its tables are not
        wiring = Wiring(hub.generation.number, runtime, {one: dict.fromkeys(self._requires.get(one, ()), "*") for one in self._all})
        for other in hub.generation.plugins:
            wiring.take_over(other.id, other.contributions, hub.generation.wiring)
        loaded = Loaded(planned)
        try:
            with _worker() as worker:
                await worker.call(load, loaded, runtime, wiring, seconds=runtime.plugin_seconds)
            if loaded.metadata is not None:
                await upgrade(hub.database, source_of(planned.installed, loaded.metadata))
        except Exception as error:  # noqa: BLE001 - plugin code may raise anything
            return self._stopped(_problems(failure_of(loaded, error)))
        try:
            return await self._check(loaded, checking)
        finally:
            if loaded.context is not None:
                await loaded.context.close(seconds=1)

    async def _check(self, loaded: Loaded, checking: threading.Event) -> Tryout:
        if loaded.hooks is None or HOOK not in loaded.hooks:
            return Tryout(plugin=self._id, has_check=False, problems=())
        checking.set()
        began, hung = time.perf_counter(), False
        try:
            problems = _told(await call_within(self._seconds, loaded.hooks.call(HOOK, ctx=loaded.context)))
        except DeadlineExceeded as late:
            # the plugin's own deadlines are answers, ours is not
            hung = time.perf_counter() - began >= self._seconds
            problems = [_late(self._seconds) if hung else _raised(late)]
        except Exception as error:  # noqa: BLE001 - as above
            problems = [_raised(error)]
        took = round(time.perf_counter() - began, 3)
        return Tryout(plugin=self._id, has_check=True, problems=tuple(problems), hung=hung, seconds=took)

    def _stopped(self, problems: Sequence[ProblemItem]) -> Tryout:
        return Tryout(plugin=self._id, has_check=None, problems=tuple(problems))


def _secret_keepers(config: Configuration, plugin_id: str, installed: Sequence[InstalledPlugin]) -> list[str]:
    """Return the plugins that are on and resolve secrets, if the section may refer to one that the core cannot resolve."""
    section = config.settings.plugins.get(plugin_id)
    texts = list(_texts(section.config if section else {}))
    if not any(":" in text and not text.startswith(_BUILT_IN) for text in texts):
        return []
    on = {one for one, settings in config.settings.plugins.items() if settings.enabled}
    return [one.id for one in installed if one.manifest and "secret_backends" in one.manifest.provides and one.id in on]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _problems(failure: Failure) -> list[ProblemItem]:
    if failure.errors:
        return list(failure.errors)
    causes = f" ({'; '.join(failure.causes)})" if failure.causes else ""
    return [ProblemItem(detail=f"It stopped at {failure.phase}: {failure.reason}{causes}", code=failure.code, hint=failure.remedy)]


def _required(plugin_id: str, failure: Failure) -> ProblemItem:
    return ProblemItem(detail=f"It requires {plugin_id}, which stopped at {failure.phase}: {failure.reason}", code="blocked", hint=failure.remedy)


def _told(answer: Any) -> list[ProblemItem]:
    """Return what the check returned, or what is wrong with that."""
    if isinstance(answer, Sequence) and not isinstance(answer, str) and all(isinstance(item, ProblemItem) for item in answer):
        return list(answer)
    hint = f"{HOOK} returns a list of ProblemItem, [] when all is well. Tell its author."
    return [ProblemItem(detail=f"Its check returned {type(answer).__name__}.", code="bad-answer", hint=hint)]


def _raised(error: Exception) -> ProblemItem:
    if isinstance(error, HubError):
        return ProblemItem(detail=error.detail or error.title, code=error.code, hint=error.hint)
    return ProblemItem(detail=f"Its check raised {type(error).__name__}: {error}", code="check-failed", hint="Tell its author.")


def _late(seconds: float) -> ProblemItem:
    hint = "Look whether the service can be reached, or allow more with --timeout."
    return ProblemItem(detail=f"Its check did not end within {seconds:g} s.", code="deadline-exceeded", hint=hint)


@contextlib.contextmanager
def _worker() -> Iterator[DeadlineWorker]:
    worker = DeadlineWorker("luminai-tryout-loader")
    try:
        yield worker
    finally:
        worker.close()
