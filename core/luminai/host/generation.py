"""A generation: the immutable snapshot of running plugins that serves requests."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from msgspec import Struct

from luminai.contracts.errors import HubError, ProblemItem
from luminai.host.calls import call_within
from luminai.host.loading import Loaded
from luminai.host.plan import Plan
from luminai.host.report import Failure, PluginStatus, cause_chain
from luminai.host.wiring import Wiring
from luminai.http.table import PrefixTable

_log = logging.getLogger("luminai.host")


class Generation(Struct, frozen=True, kw_only=True):
    """What serves: plugins in start order, the prefix table, what they contributed to one another, the status of every known plugin.

    Attributes:
        fresh: Ids of the plugins that were built for this generation; the others came over from the one before.
        tried: Ids of all that were attempted for it, also those that failed.
    """

    number: int
    plan: Plan
    plugins: tuple[Loaded, ...]
    table: PrefixTable
    wiring: Wiring
    statuses: dict[str, PluginStatus]
    failures: dict[str, Failure]
    fresh: frozenset[str]
    tried: frozenset[str]

    def loaded(self, plugin_id: str) -> Loaded | None:
        """Return a running plugin."""
        return next((one for one in self.plugins if one.id == plugin_id), None)

    def wire(self) -> None:
        """Have the contexts of all its plugins look things up in this generation."""
        for loaded in self.plugins:
            if loaded.context is not None:
                loaded.context.wiring = self.wiring

    async def announce_ready(self, *, seconds: float) -> None:
        """Tell every fresh plugin that it is serving; what goes wrong is logged, the plugin keeps running."""
        for loaded in self.plugins:
            if loaded.id in self.fresh and loaded.hooks and "ready" in loaded.hooks:
                try:
                    await call_within(seconds, loaded.hooks.call("ready", ctx=loaded.context))
                except Exception:  # noqa: BLE001 - plugin code may raise anything
                    _log.exception("plugin.ready.failed", extra={"plugin": loaded.id})


async def stop_plugins(plugins: Iterable[Loaded], *, seconds: float) -> None:
    """Stop plugins, the last started first."""
    for loaded in reversed(list(plugins)):
        await stop_plugin(loaded, seconds=seconds)


async def stop_plugin(loaded: Loaded, *, seconds: float) -> None:
    """End its subscriptions, call the plugin's ``stop`` once if ``start`` was called, and close what it owned."""
    if loaded.context is not None:
        await loaded.context.wiring.events.drain(loaded.id, seconds)
    if loaded.started and loaded.hooks is not None and "stop" in loaded.hooks:
        try:
            await call_within(seconds, loaded.hooks.call("stop", ctx=loaded.context))
        except Exception:  # noqa: BLE001 - plugin code may raise anything
            _log.exception("plugin.stop.failed", extra={"plugin": loaded.id})
    if loaded.context is not None:
        await loaded.context.close(seconds=seconds)


def failure_of(loaded: Loaded, error: Exception) -> Failure:
    """Return the report entry of an exception: whose fault, which phase, what to do."""
    causes = cause_chain(error)
    reason = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
    code, remedy = f"{loaded.phase}-failed", "Look at the log of this start, or disable the plugin."
    errors: tuple[ProblemItem, ...] = ()
    if isinstance(error, HubError):
        code, remedy, errors = error.code, error.hint or remedy, error.errors
    elif isinstance(error, ModuleNotFoundError) and error.name:
        own = loaded.planned.installed.entry_point.partition(":")[0]
        code = "module-missing"
        if own == error.name or own.startswith(f"{error.name}."):
            remedy = f"Reinstall {loaded.planned.installed.distribution}: its module {error.name} is not there."
        else:
            remedy = f"Install the package of module {error.name}, which {loaded.id} imports."
    return Failure(phase=loaded.phase, code=code, reason=reason, causes=causes, remedy=remedy, errors=errors)
