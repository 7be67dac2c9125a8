"""The check of a plugin's section against its committed schema, before any of its code runs."""

from __future__ import annotations

import json
from collections.abc import Callable

from luminai.config.layers import Configuration
from luminai.config.problems import VerdictCache, check_plugin_config
from luminai.contracts.errors import ProblemItem
from luminai.host.discovery import InstalledPlugin


def config_checker(config: Configuration) -> Callable[[InstalledPlugin], list[ProblemItem]]:
    """Return the function that judges a plugin's section."""
    cache = VerdictCache(config.data_dir / "cache")

    def check(plugin: InstalledPlugin) -> list[ProblemItem]:
        try:
            schema = json.loads(plugin.schema_path.read_bytes())
        except FileNotFoundError:
            schema = None
        except (OSError, ValueError) as error:
            return [ProblemItem(detail=f"its {plugin.schema_path.name} cannot be read: {error}", file=plugin.schema_path.name)]
        return check_plugin_config(config, plugin.id, schema, cache)

    return check
