"""Settings made from a schema: the smallest that it accepts, ones with every secret, and wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from luminai.contracts.errors import ProblemItem
from luminai.testing.strategies import from_schema, resolve

UNKNOWN_KEY: Final = "no-such-key-of-anybody"
_WRONG: Final[dict[str, Any]] = {
    "string": 7,
    "integer": "seven",
    "number": "seven",
    "boolean": "perhaps",
    "array": "a list",
    "object": "a table",
    "null": "something",
}


def smallest(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with only the required keys, the simplest values that fit.

    Raises:
        NotImplementedError: the schema says something that is not understood.
    """
    required = set(target(schema, schema).get("required", ()))
    if not required:
        return {}
    found: dict[str, Any] = simplest(schema, schema)
    return {name: value for name, value in found.items() if name in required}


def secret_settings(schema: Mapping[str, Any]) -> list[str]:
    """Return the keys at the top that are secrets."""
    properties = target(schema, schema).get("properties", {})
    return [name for name, described in properties.items() if _is_secret(schema, described)]


def with_secrets(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with every secret at the top referring to a variable of its own."""
    return dict(settings) | {name: f"env:LUMINAI_SAMPLE{number or ''}" for number, name in enumerate(secret_settings(schema))}


def spoiled(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield settings with one thing wrong each, and what that is."""
    yield f"unknown key {UNKNOWN_KEY}", {**settings, UNKNOWN_KEY: 1}
    root = target(schema, schema)
    for name in root.get("required", ()):
        yield f"{name} left out", {key: value for key, value in settings.items() if key != name}
    for name, described in root.get("properties", {}).items():
        for what, value in _wrong_values(schema, described):
            yield f"{name} {what}", {**copy.deepcopy(dict(settings)), name: value}


def problems_of(schema: Mapping[str, Any], settings: Mapping[str, Any], plugin: str) -> list[ProblemItem]:
    """Return what the hub finds wrong with settings."""
    from luminai.config.layers import Configuration, Layer
    from luminai.config.problems import judge

    layer = Layer("file", "config.toml", {"plugins": {plugin: {"config": dict(settings)}}}, {}, {})
    return judge(dict(schema), dict(settings), Configuration([layer], (), Path()), ("plugins", plugin, "config"))


def target(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema behind a reference."""
    while "$ref" in schema:
        schema = resolve(root, schema["$ref"])
    return schema


def _is_secret(root: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    schema = target(root, schema)
    return bool(schema.get("x-luminai-secret")) or any(_is_secret(root, one) for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())))


def _wrong_values(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    schema = target(root, schema)
    kind = schema.get("type")
    if schema.get("writeOnly"):
        yield "a literal secret", "not a reference"
    elif isinstance(kind, str) and kind in _WRONG:
        yield f"of another type than {kind}", _WRONG[kind]
    elif "enum" in schema:
        yield "none of its values", "none of these"
    if "minimum" in schema:
        yield "below its minimum", schema["minimum"] - 1
    if "maximum" in schema:
        yield "above its maximum", schema["maximum"] + 1
    if schema.get("minLength"):
        yield "too short", ""
    if "maxLength" in schema and schema["maxLength"] < 10**6:
        yield "too long", "x" * (schema["maxLength"] + 1)
    if "maxItems" in schema and schema["maxItems"] < 10**4 and isinstance(schema.get("items"), Mapping):
        yield "with too many entries", [simplest(schema["items"], root)] * (schema["maxItems"] + 1)


def simplest(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return the simplest value that a schema takes.

    Raises:
        NotImplementedError: the schema says something that is not understood.
    """
    return copy.deepcopy(_simplest(msgspec.json.encode((schema, root))))


@lru_cache(maxsize=256)
def _simplest(asked: bytes) -> Any:
    """Look for it; that takes a quarter of a second, and the same is asked for with every sample."""
    from hypothesis import HealthCheck, Phase, find, settings

    schema, root = msgspec.json.decode(asked)
    quiet = settings(max_examples=200, database=None, deadline=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
    return find(from_schema(schema, root=root), lambda _: True, settings=quiet)
