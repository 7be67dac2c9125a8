"""Gemini's schemas are a part of OpenAPI 3.0: types in capitals, ``nullable``, an order of fields.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from typing import Any, Final

_INNER: Final = ("items", "additionalProperties")
_LISTS: Final = ("anyOf", "prefixItems")
_COUNTS: Final = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})


def json_schema(given: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as JSON Schema; its depth is bounded by the body's."""
    schema = {name: value for name, value in given.items() if name not in ("propertyOrdering", "nullable", "example")}
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind.lower(), "null"] if given.get("nullable") else kind.lower()
    for name in _COUNTS & schema.keys():
        if isinstance(schema[name], str) and schema[name].isdecimal():  # 64-bit numbers are text in the JSON of protocol buffers
            schema[name] = int(schema[name])
    for name in _INNER:
        if isinstance(schema.get(name), dict):
            schema[name] = json_schema(schema[name])
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            schema[name] = [json_schema(one) if isinstance(one, dict) else one for one in schema[name]]
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = {name: json_schema(one) if isinstance(one, dict) else one for name, one in schema["properties"].items()}
    return schema
