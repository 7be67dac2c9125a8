"""What the effective configuration changes against the defaults of the core and of each plugin's schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from luminai.config.layers import Configuration
from luminai.config.positions import lookup
from luminai.config.whole import branches, is_secret, member, resolved, shown


class Changed(Struct, frozen=True, kw_only=True):
    """A setting whose value is not the default (null: there is none); a secret is shown as its reference."""

    key: str
    default: Any
    value: Any
    origin: str


class Leaf(Struct, frozen=True, kw_only=True):
    """A value that is set, with what its schema says; ``schema`` is None when no schema knows the key."""

    path: tuple[str, ...]
    value: Any
    default: Any
    schema: Mapping[str, Any] | None


def changes(config: Configuration, schema: Mapping[str, Any]) -> list[Changed]:
    """Return every setting that is not at its default, by key.

    Args:
        schema: Of the whole of config.toml, as ``whole_schema`` returns it.
    """
    return [
        Changed(
            key=".".join(leaf.path),
            default=leaf.default,
            value=shown(leaf.value, leaf.schema, schema),
            origin=str(config.origin(leaf.path)),
        )
        for leaf in sorted(leaves(config.table, schema), key=lambda leaf: leaf.path)
        if leaf.value != leaf.default
    ]


def leaves(table: Mapping[str, Any], root: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield every value that is set in ``table``, which stands at ``at``. A table with free keys is one value, and so is a list."""
    schema: Mapping[str, Any] | None = root
    default: Any = None
    for name in at:
        schema, default = _step(schema, default, name, root)
    yield from _walk(at, table, schema, default, root)


def _walk(path: tuple[str, ...], value: Any, schema: Mapping[str, Any] | None, default: Any, root: Mapping[str, Any]) -> Iterator[Leaf]:
    if not isinstance(value, Mapping) or schema is None or not _has_keys(schema, root):
        yield Leaf(path=path, value=value, default=default, schema=schema)
        return
    for name, inner in value.items():
        described, inner_default = _step(schema, default, name, root)
        yield from _walk((*path, name), inner, described, inner_default, root)


def _step(schema: Mapping[str, Any] | None, default: Any, name: str, root: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Any]:
    described = member(schema, name, root) if schema is not None else None
    given = lookup(default, (name,)) if isinstance(default, Mapping) else None
    return described, given if given is not None or described is None else described.get("default")


def _has_keys(schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    here = resolved(schema, root)
    return not is_secret(here, root) and any("properties" in option for option in (here, *branches(here, root)))
