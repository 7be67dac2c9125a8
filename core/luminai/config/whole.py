"""The JSON Schema of the whole of config.toml: the core's tables, and each installed plugin's committed schema below ``plugins.<id>.config``.

A plugin's schema is embedded as it is; only its references to itself are turned to where it lies now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from luminai.config.binding import schema_of
from luminai.config.settings import PluginSettings, Settings
from luminai.contracts.secret import SECRET_REFERENCE

_NAMED: Final = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_DATA: Final = ("default", "const", "enum", "examples")
_DEPTH: Final = 32
_NESTED: Final = 4
_PASSWORD: Final = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]*@")
HIDDEN: Final = "(hidden)"


class ForeignReference(Exception):
    """A plugin's schema refers to another document, which is never fetched."""


def whole_schema(plugins: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return the schema of config.toml.

    Args:
        plugins: Committed schema by plugin id; None for a plugin without settings, ``{}`` for one whose settings cannot be told.
    """
    schema: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema_of(Settings)))
    definitions: dict[str, Any] = schema["$defs"]
    root: dict[str, Any] = definitions.pop("Settings")
    section = definitions[PluginSettings.__name__]
    section["properties"]["config"]["writeOnly"] = True  # of a plugin that is not here nobody knows what is secret
    known = root["properties"]["plugins"].setdefault("properties", {})
    for plugin_id, own in sorted(plugins.items()):
        definitions[f"{plugin_id}.config"] = _embedded(own, f"#/$defs/{plugin_id}.config")
        described = {"$ref": f"#/$defs/{plugin_id}.config", "default": {}}
        definitions[plugin_id] = {**section, "title": plugin_id, "properties": {**section["properties"], "config": described}}
        known[plugin_id] = {"$ref": f"#/$defs/{plugin_id}"}
    return {"$schema": schema["$schema"], **root, "$defs": definitions}


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema with its reference into ``root`` followed; keys beside the reference win."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        found: Any = root
        for part in reference[1:].split("/")[1:]:
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**found, **beside} if isinstance(found, Mapping) else beside
    return {}


def member(schema: Mapping[str, Any], name: str, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema of the key ``name`` of a table, ``{}`` in a table that takes anything, None when there is no such key."""
    here = resolved(schema, root)
    for table in (here, *branches(here, root)):
        found = table.get("properties", {}).get(name, table.get("additionalProperties"))
        if isinstance(found, Mapping):
            return resolved(found, root)
    is_open = "properties" not in here and here.get("additionalProperties") is not False and not branches(here, root)
    return {} if is_open else None


def branches(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the alternatives of a schema, [] when it has none."""
    return [resolved(option, root) for kind in ("anyOf", "oneOf", "allOf") for option in schema.get(kind, ()) if isinstance(option, Mapping)]


def is_secret(schema: Mapping[str, Any], root: Mapping[str, Any], *, nested: int = _NESTED) -> bool:
    """Tell whether a schema, or one of its alternatives, is that of a secret."""
    here = resolved(schema, root)
    if here.get("writeOnly") or here.get("x-luminai-secret"):
        return True
    return nested > 0 and any(is_secret(option, root, nested=nested - 1) for option in branches(here, root))


def shown(value: Any, schema: Mapping[str, Any] | None, root: Mapping[str, Any]) -> Any:
    """Return a value as it may be shown: of a secret its reference only, and nothing that no schema describes."""
    if schema is None:
        return HIDDEN
    if is_secret(schema, root):
        return value if value is None or (isinstance(value, str) and SECRET_REFERENCE.fullmatch(value)) else HIDDEN
    here = resolved(schema, root)
    if isinstance(value, Mapping):
        return {name: shown(inner, member(here, name, root), root) for name, inner in value.items()}
    if isinstance(value, list):
        options = [here, *branches(here, root)]
        items: Mapping[str, Any] = next((option["items"] for option in options if isinstance(option.get("items"), Mapping)), {})
        return [shown(inner, items, root) for inner in value]
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", value) if isinstance(value, str) else value


def _embedded(own: Mapping[str, Any] | None, at: str) -> dict[str, Any]:
    if own is None:
        return {"type": "object", "maxProperties": 0, "writeOnly": True, "description": "The plugin has no settings."}
    try:
        moved = _moved(own, at)
    except ForeignReference as error:
        return {"type": "object", "writeOnly": True, "$comment": str(error)}
    if not moved:
        return {"type": "object", "writeOnly": True, "$comment": "The plugin's schema cannot be read."}
    return {"type": "object", **{name: value for name, value in moved.items() if name not in ("$schema", "$id")}}


def _moved(schema: Any, at: str) -> Any:
    """Return a schema whose references to itself lead to ``at``; data in it (defaults, enums) is left alone."""
    if isinstance(schema, list):
        return [_moved(inner, at) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("$ref", "$dynamicRef") and isinstance(value, str):
            if not value.startswith("#"):
                raise ForeignReference(f"The plugin's schema refers to {value}, which is never fetched.")
            made[name] = at + value[1:] if value == "#" or value.startswith("#/") else value
        elif name in _NAMED and isinstance(value, Mapping):
            made[name] = {inner: _moved(described, at) for inner, described in value.items()}
        else:
            made[name] = value if name in _DATA else _moved(value, at)
    return made
