"""What is wrong with the plugins of a configuration, told without running any of their code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from luminai.config.layers import Configuration
from luminai.config.problems import check_core
from luminai.contracts.errors import ConfigRejected, ProblemItem
from luminai.host.checks import config_checker
from luminai.host.discovery import InstalledPlugin, installed_plugins
from luminai.host.plan import Plan, make_plan
from luminai.host.report import PluginStatus


def examine(config: Configuration) -> list[PluginStatus]:
    """Return the status of every installed or declared plugin as far as it can be told from static data.

    Raises:
        ConfigRejected: the core's own settings are wrong.
    """
    plan = plan_of(config)
    ids = [planned.manifest.id for planned in plan.order]
    return [plan.status(plugin_id) for plugin_id in [*ids, *sorted({*plan.installed, *plan.settings} - set(ids))]]


def plan_of(config: Configuration) -> Plan:
    """Return what would run, judged from static data.

    Raises:
        ConfigRejected: the core's own settings are wrong.
    """
    installed = installed_plugins()
    problems = check_core(config, installed_ids=[plugin.id for plugin in installed])
    if problems:
        raise ConfigRejected(f"{len(problems)} problems in the configuration.", errors=problems, hint="Run `luminai config check`.")
    return make_plan(installed, config.settings.plugins, desired={}, check_config=config_checker(config))


class Finding(Struct, frozen=True, kw_only=True):
    """One plugin that does not run: where it stopped, why, what to do."""

    id: str
    phase: str
    code: str
    reason: str
    remedy: str
    causes: tuple[str, ...] = ()
    errors: tuple[ProblemItem, ...] = ()


def findings(statuses: Iterable[PluginStatus]) -> list[Finding]:
    """Return what is wrong, in start order."""
    return [
        Finding(id=one.id, phase=one.phase, code=one.code, reason=one.reason, remedy=one.remedy, causes=one.causes, errors=one.errors)
        for one in statuses
        if one.code
    ]


def check_plugin_sections(config: Configuration, installed: Sequence[InstalledPlugin]) -> list[ProblemItem]:
    """Return every problem with the sections of installed plugins that are on."""
    check = config_checker(config)
    wanted = config.settings.plugins
    return [problem for plugin in installed if plugin.id in wanted and wanted[plugin.id].enabled for problem in check(plugin)]
