"""Which plugins can run, judged without running any of their code: the first six phases of the lifecycle."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from luminai.config.settings import PluginSettings
from luminai.contracts.errors import ProblemItem
from luminai.contracts.manifest import PLUGIN_API, Manifest
from luminai.host.claims import find_clashes
from luminai.host.discovery import InstalledPlugin
from luminai.host.order import start_order
from luminai.host.report import Failure, Phase, PluginState, PluginStatus, manifest_fields
from luminai.http.outbound.grants import wrong_grants

CheckConfig = Callable[[InstalledPlugin], list[ProblemItem]]
"""Returns what is wrong with the plugin's section of the configuration."""


_BUILT_OF: Final = ("config", "approve", "max_calls", "max_streams")
"""Settings that the plugin's context is made of: when one changes, the plugin is built anew."""


class Planned(Struct, frozen=True, kw_only=True):
    """A plugin that may run as far as can be told without its code."""

    installed: InstalledPlugin
    manifest: Manifest
    settings: PluginSettings

    @property
    def waits_for(self) -> frozenset[str]:
        """Ids that start before it."""
        return frozenset((*self.manifest.requires, *self.manifest.after))

    def is_made_of(self, installed: InstalledPlugin | None, settings: PluginSettings | None) -> bool:
        """Tell whether a judgement of it holds for this plugin with these settings."""
        return self.installed == installed and self.settings == (settings or PluginSettings())

    def differs(self, other: Planned) -> bool:
        """Tell whether it has to be built anew to become ``other``."""
        mine, theirs = self.settings, other.settings
        return self.installed != other.installed or any(getattr(mine, one) != getattr(theirs, one) for one in _BUILT_OF)


class Plan(Struct, frozen=True, kw_only=True):
    """The plugins to load in start order, why the others do not run, those that are off, and why the hub itself parked some of them."""

    order: tuple[Planned, ...]
    failures: dict[str, Failure]
    off: dict[str, PluginState]
    parked: dict[str, str]
    installed: dict[str, InstalledPlugin]
    settings: dict[str, PluginSettings]

    def status(self, plugin: str, **fields: Any) -> PluginStatus:
        """Return the status of a plugin; ``fields`` are what is known beyond the plan."""
        found = self.installed.get(plugin)
        failure = self.failures.get(plugin)
        settings = self.settings.get(plugin)
        known: dict[str, Any] = {
            "state": self.off.get(plugin, PluginState.ENABLED),
            "phase": Phase.ORDER,
            "version": found.version if found else "",
            "installed": found is not None,
            "declared": settings is not None,
            "on_failure": settings.on_failure if settings else "optional",
            **manifest_fields(found.manifest if found else None),
        }
        if failure is not None:
            known |= failed_fields(failure)
        elif plugin in self.parked:
            known |= {"reason": self.parked[plugin], "remedy": f"Release it: `luminai plugins enable {plugin}`.", "code": "parked"}
        return PluginStatus(id=plugin, **(known | fields))


def failed_fields(failure: Failure) -> dict[str, Any]:
    """Return the status fields that a failure sets."""
    blocked = failure.code in ("blocked", "needs-plugin")
    return {
        "state": PluginState.BLOCKED if blocked else PluginState.FAILED,
        "phase": failure.phase,
        "reason": failure.reason,
        "remedy": failure.remedy,
        "code": failure.code,
        "causes": failure.causes,
        "errors": failure.errors,
    }


def make_plan(
    installed: Iterable[InstalledPlugin],
    settings: Mapping[str, PluginSettings],
    *,
    desired: Mapping[str, bool],
    check_config: CheckConfig,
    only: frozenset[str] | None = None,
    parked: Mapping[str, str] | None = None,
    before: Plan | None = None,
) -> Plan:
    """Judge every installed or declared plugin.

    Args:
        installed: What discovery found.
        settings: Sections ``[plugins.<id>]`` of the configuration.
        desired: On/off that an operator set at run time; wins over ``enabled`` of the file.
        check_config: Validates a plugin's section against its committed schema.
        only: Limits the plugins that may run (for tests and safe mode).
        parked: Why the hub itself turned a plugin off, by id.
        before: An earlier plan; what it found right and did not change is not judged again.
    """
    failures: dict[str, Failure] = {}
    off: dict[str, PluginState] = {}
    by_id: dict[str, InstalledPlugin] = {}
    for plugin in installed:
        twin = by_id.setdefault(plugin.id, plugin)
        if twin is not plugin:
            reason = f"{twin.distribution} and {plugin.distribution} both call themselves {plugin.id}"
            failures[plugin.id] = Failure(phase=Phase.DISCOVER, code="duplicate-id", reason=reason, remedy="Uninstall one of them.")
    wanted: list[str] = []
    for plugin_id in sorted({*by_id, *settings}):
        is_on = desired.get(plugin_id, settings[plugin_id].enabled if plugin_id in settings else False)
        if not is_on or (only is not None and plugin_id not in only):
            known = plugin_id in settings or plugin_id in desired
            off[plugin_id] = PluginState.DISABLED if known else PluginState.AVAILABLE
            if not is_on and plugin_id in (parked or {}):
                off[plugin_id] = PluginState.QUARANTINED
            failures.pop(plugin_id, None)
        elif plugin_id not in failures:
            wanted.append(plugin_id)
    right = {planned.manifest.id: planned for planned in before.order} if before else {}
    for plugin_id in wanted:
        if plugin_id in right and right[plugin_id].is_made_of(by_id.get(plugin_id), settings.get(plugin_id)):
            continue
        failure = _judge(plugin_id, by_id, settings.get(plugin_id) or PluginSettings(), check_config)
        if failure is not None:
            failures[plugin_id] = failure
    order = _put_in_order([plugin_id for plugin_id in wanted if plugin_id not in failures], by_id, failures)
    return Plan(
        order=tuple(
            Planned(installed=by_id[plugin_id], manifest=_manifest(by_id, plugin_id), settings=settings.get(plugin_id) or PluginSettings())
            for plugin_id in order
        ),
        failures=failures,
        off=off,
        parked={plugin_id: reason for plugin_id, reason in (parked or {}).items() if off.get(plugin_id) is PluginState.QUARANTINED},
        installed=by_id,
        settings=dict(settings),
    )


def _judge(plugin_id: str, by_id: Mapping[str, InstalledPlugin], settings: PluginSettings, check_config: CheckConfig) -> Failure | None:
    """Return why a plugin cannot run, looking at it alone."""
    found = by_id.get(plugin_id)
    if found is None:
        near = difflib.get_close_matches(plugin_id, by_id, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Install luminai-{plugin_id}, or take [plugins.{plugin_id}] out of the configuration."
        return Failure(phase=Phase.DISCOVER, code="not-installed", reason=f"no plugin {plugin_id} is installed", remedy=remedy)
    manifest = found.manifest
    if manifest is None:
        remedy = (found.errors[0].hint if found.errors else "") or "Correct the manifest, or install another version."
        return Failure(phase=Phase.MANIFEST, code="bad-manifest", reason=found.problem, errors=found.errors, remedy=remedy)
    if not SpecifierSet(manifest.api).contains(PLUGIN_API) and not settings.accept_untested:
        return Failure(
            phase=Phase.API,
            code="incompatible",
            reason=f"it works with plugin API {manifest.api}, this hub has {PLUGIN_API}",
            remedy=f"Install another version of it, or set accept-untested = true in [plugins.{plugin_id}].",
        )
    if wrong := wrong_grants((*manifest.grants, *settings.approve)):
        return Failure(
            phase=Phase.GRANTS,
            code="bad-grant",
            reason=f"an outbound grant cannot be read: {wrong[0]}",
            remedy=f"Correct `approve` under [plugins.{plugin_id}], or install another version of it.",
        )
    missing = [grant for grant in manifest.grants if grant not in settings.approve]
    if missing:
        names = ", ".join(missing)
        approve = ", ".join(f'"{grant}"' for grant in manifest.grants)
        return Failure(
            phase=Phase.GRANTS,
            code="needs-approval",
            reason=f"it asks for {names}, which nobody approved",
            remedy=f"If you agree, write approve = [{approve}] under [plugins.{plugin_id}].",
        )
    problems = check_config(found)
    if problems:
        first = problems[0]
        return Failure(
            phase=Phase.CONFIG,
            code="config-invalid",
            reason=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in its configuration",
            errors=tuple(problems),
            remedy=first.hint or f"See `luminai config explain plugins.{plugin_id}`.",
        )
    return None


def _put_in_order(wanted: list[str], by_id: Mapping[str, InstalledPlugin], failures: dict[str, Failure]) -> list[str]:
    """Return the start order of those that can run together; the others get their failure."""
    manifests = {plugin_id: _manifest(by_id, plugin_id) for plugin_id in wanted}
    for plugin_id, manifest in manifests.items():
        rival = next((other for other in manifest.conflicts if other in manifests), None)
        if rival:
            remedy = f"Disable {rival} or {plugin_id}."
            failures[plugin_id] = Failure(phase=Phase.ORDER, code="conflict", reason=f"it cannot run beside {rival}", remedy=remedy)
    edges = {plugin_id: [*manifest.requires, *manifest.after] for plugin_id, manifest in manifests.items() if plugin_id not in failures}
    order, cycles = start_order(edges)
    for cycle in sorted(cycles, key=len):  # the shortest explains most
        for plugin_id in cycle[:-1]:
            reason = f"it needs itself: {' → '.join(cycle)}"
            failures.setdefault(plugin_id, Failure(phase=Phase.ORDER, code="cycle", reason=reason, remedy="Take one requires or after out."))
    behind = [plugin_id for plugin_id in sorted(edges) if plugin_id not in order and plugin_id not in failures]
    running: list[str] = []
    for plugin_id in [*order, *behind]:
        failure = needs(manifests[plugin_id], frozenset(running), by_id, failures)
        if failure is None:
            running.append(plugin_id)
        else:
            failures[plugin_id] = failure
    for clash in find_clashes(manifests[plugin_id] for plugin_id in running):
        reason = f"{clash.what} belongs to {'the core' if clash.winner == 'core' else 'plugin ' + clash.winner}"
        remedy = f"Disable one of {clash.loser} and {clash.winner}, or change the claim in {clash.loser}'s manifest."
        failures.setdefault(clash.loser, Failure(phase=Phase.ORDER, code="collision", reason=reason, remedy=remedy))
    kept: list[str] = []
    for plugin_id in running:
        failure = failures.get(plugin_id) or needs(manifests[plugin_id], frozenset(kept), by_id, failures)
        if failure is None:
            kept.append(plugin_id)
        else:
            failures[plugin_id] = failure
    return kept


def needs(manifest: Manifest, running: frozenset[str], by_id: Mapping[str, InstalledPlugin], failures: Mapping[str, Failure]) -> Failure | None:
    """Return why the plugins that ``manifest`` requires are not all there; the chain of reasons goes down to the root."""
    for other, wanted in manifest.requires.items():
        if other not in by_id:
            remedy = f"Install luminai-{other}."
            return Failure(phase=Phase.ORDER, code="needs-plugin", reason=f"it requires plugin {other}, which is not installed", remedy=remedy)
        if other not in running:
            cause = failures.get(other)
            if cause is None:
                remedy = f"Enable it: [plugins.{other}] enabled = true."
                return Failure(phase=Phase.ORDER, code="needs-plugin", reason=f"it requires plugin {other}, which is off", remedy=remedy)
            chain = (f"{other} at {cause.phase}: {cause.reason}", *cause.causes)
            return Failure(phase=Phase.ORDER, code="blocked", reason=f"it requires plugin {other}, which failed", causes=chain, remedy=cause.remedy)
        if wanted != "*" and not _within(by_id[other].version, wanted):
            reason = f"it requires {other} {wanted}, version {by_id[other].version} is installed"
            return Failure(phase=Phase.ORDER, code="needs-plugin", reason=reason, remedy=f"Install luminai-{other} {wanted}.")
    return None


def _within(version: str, wanted: str) -> bool:
    try:
        return SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _manifest(by_id: Mapping[str, InstalledPlugin], plugin_id: str) -> Manifest:
    manifest = by_id[plugin_id].manifest
    if manifest is None:
        raise LookupError(f"{plugin_id} has no usable manifest")
    return manifest
