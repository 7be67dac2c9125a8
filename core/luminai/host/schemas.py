"""The settings schemas that installed plugins ship, and the schema of the whole configuration."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from luminai.config.whole import whole_schema
from luminai.contracts.errors import ConfigRejected, NotFound
from luminai.host.discovery import InstalledPlugin


def find_plugin(plugin_id: str, installed: Sequence[InstalledPlugin]) -> InstalledPlugin:
    """Return the installed plugin with that id.

    Raises:
        NotFound: there is none (code ``plugin-not-found``), with the nearest name.
    """
    found = next((one for one in installed if one.id == plugin_id), None)
    if found is None:
        near = difflib.get_close_matches(plugin_id, [one.id for one in installed], n=1)
        hint = f"Did you mean {near[0]}?" if near else "`luminai plugins list --available` shows what is installed."
        raise NotFound(f"No plugin {plugin_id} is installed.", code="plugin-not-found", hint=hint)
    return found


def committed_schema(plugin: InstalledPlugin) -> dict[str, Any] | None:
    """Return the schema that the plugin ships, None when it has no settings.

    Raises:
        ConfigRejected: it is there and is no JSON object (code ``schema-invalid``).
    """
    path = plugin.schema_path
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigRejected(f"The {path.name} of {plugin.id} cannot be read: {error}", code="schema-invalid", hint="Tell its author.") from error
    if not isinstance(found, dict):
        raise ConfigRejected(f"The {path.name} of {plugin.id} is no JSON object.", code="schema-invalid", hint="Tell its author.")
    return found


def configuration_schema(installed: Iterable[InstalledPlugin]) -> dict[str, Any]:
    """Return the schema of config.toml on this machine; a plugin whose schema cannot be read may have any settings."""
    schemas: dict[str, dict[str, Any] | None] = {}
    for plugin in installed:
        try:
            schemas[plugin.id] = committed_schema(plugin)
        except ConfigRejected:
            schemas[plugin.id] = {}
    return whole_schema(schemas)
