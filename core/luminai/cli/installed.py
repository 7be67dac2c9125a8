"""Commands that installed plugins add, from their manifests alone."""

from __future__ import annotations

import os
from pathlib import Path

from luminai.contracts.errors import ConfigRejected
from luminai.host.discovery import installed_plugins


def plugin_commands(config_file: str | None, *, enabled: bool) -> dict[str, tuple[str, str, str]]:
    """Return name → (target, summary, plugin) of the commands of plugins that the configuration turns on, or of all."""
    from luminai.config.layers import load

    try:
        table = load(Path(config_file) if config_file else None, os.environ).table.get("plugins", {})
    except ConfigRejected:
        table = {}  # the command that needs the configuration will say what is wrong with it
    found: dict[str, tuple[str, str, str]] = {}
    for plugin in installed_plugins():
        section = table.get(plugin.id) if isinstance(table, dict) else None
        is_on = isinstance(section, dict) and section.get("enabled") is True
        if plugin.manifest is not None and (is_on or not enabled):
            for name, claim in plugin.manifest.commands.items():
                found.setdefault(name, (claim.target, claim.summary, plugin.id))
    return found
