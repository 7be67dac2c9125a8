"""The plan of a configuration with the operators' wishes laid over it."""

from __future__ import annotations

from collections.abc import Mapping

from luminai.config.layers import Configuration, Layer
from luminai.host.checks import config_checker
from luminai.host.desired import BY_HUB, Desired
from luminai.host.discovery import InstalledPlugin
from luminai.host.plan import Plan, make_plan


def plan_with_wishes(
    config: Configuration,
    installed: list[InstalledPlugin],
    wishes: Mapping[str, Desired],
    *,
    only: frozenset[str] | None,
    before: Plan | None = None,
) -> Plan:
    """Return the plan of a configuration with wishes laid over it."""
    overlay = {plugin_id: {"config": wish.config} for plugin_id, wish in wishes.items() if wish.config}
    if overlay:
        config = Configuration([*config.layers, Layer("wish", "the database", {"plugins": overlay}, {}, {})], config.problems, config.base_dir)
    on = {plugin_id: wish.enabled for plugin_id, wish in wishes.items()}
    parked = {plugin_id: wish.changed_by.removeprefix(BY_HUB) for plugin_id, wish in wishes.items() if wish.changed_by.startswith(BY_HUB)}
    return make_plan(installed, config.settings.plugins, desired=on, check_config=config_checker(config), only=only, parked=parked, before=before)
