"""From a checked section to the typed settings of a plugin, and from a Struct to the schema that is committed beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from luminai.contracts.errors import ConfigRejected, ProblemItem
from luminai.contracts.patterns import published
from luminai.contracts.runtime import SecretBackend
from luminai.contracts.secret import SECRET_PATTERN, SECRET_REFERENCE, Secret

T = TypeVar("T", bound=msgspec.Struct)
MAX_SECRET_BYTES = 64 * 1024


def bind(struct: type[T], section: Mapping[str, Any], resolve: Callable[[str], str]) -> T:
    """Return the section as ``struct``; ``resolve`` turns a secret's reference into its value when it is asked for.

    Raises:
        ConfigRejected: a literal secret, or msgspec refuses what the schema let pass (code ``schema-drift``).
    """

    def decode(kind: type, value: Any) -> Any:
        if kind is Secret:
            if not isinstance(value, str) or not SECRET_REFERENCE.fullmatch(value):
                raise ValueError("must be a reference to a secret such as env:NAME, not the secret itself")
            return Secret(value, resolve)
        raise NotImplementedError(kind)

    try:
        return msgspec.convert(section, struct, dec_hook=decode)
    except msgspec.ValidationError as error:
        item = ProblemItem(detail=str(error), code="schema-drift", hint="The plugin's committed schema and its settings class disagree.")
        raise ConfigRejected(f"its settings are refused: {error}", errors=[item], hint=item.hint) from error


def secret_resolver(backends: Mapping[str, SecretBackend]) -> Callable[[str], str]:
    """Return the function that resolves references: ``env:NAME``, ``file:PATH``, or the scheme of a plugin's backend."""

    def resolve(reference: str) -> str:
        scheme, _, name = reference.partition(":")
        if scheme == "env":
            value = os.environ.get(name)
            if value is None:
                raise ConfigRejected(f"the variable {name} is not set", code="secret-missing", hint=f"Set {name}, or change the reference.")
            return value
        if scheme == "file":
            try:
                return Path(name).read_bytes()[:MAX_SECRET_BYTES].decode().rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigRejected(f"the secret file {name} cannot be read", code="secret-missing", hint="Check path and mode.") from error
        backend = backends.get(scheme)
        if backend is None:
            raise ConfigRejected(f"no secret backend answers to {scheme}:", code="secret-missing", hint="Use env: or file:, or enable its plugin.")
        return backend.resolve(name)

    return resolve


def schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of a settings Struct: secrets as references, defaults of nested tables filled in, unknown keys refused."""

    def hook(kind: type) -> dict[str, Any]:
        if kind is Secret:
            description = "A reference to a secret: env:NAME, file:PATH or <backend>:NAME."
            return {"type": "string", "pattern": SECRET_PATTERN, "writeOnly": True, "x-luminai-secret": True, "description": description}
        raise NotImplementedError(kind)

    (root,), components = msgspec.json.schema_components([struct], schema_hook=hook, ref_template="#/$defs/{name}")
    for kind in _nested(struct):
        properties = components.get(kind.__name__, {}).get("properties", {})
        for field in msgspec.structs.fields(kind):
            _fill_default(field, properties.get(field.encode_name))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": published(components)}


def render_schema(schema: Mapping[str, Any]) -> str:
    """Return the text that is committed as ``config.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"


def _fill_default(field: Any, described: dict[str, Any] | None) -> None:
    """msgspec leaves the default of a nested Struct out of the schema."""
    if described is None or "default" in described:
        return
    if isinstance(field.default, msgspec.Struct):
        described["default"] = msgspec.to_builtins(field.default)


def _nested(struct: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = [struct]
    for kind in found:
        for hint in get_type_hints(kind).values():
            for inner in (hint, *getattr(hint, "__args__", ())):
                if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and inner not in found:
                    found.append(inner)
    return found
