"""Schemas of what goes over the wire, as msgspec states them: exactly what it decodes, with every bound, and no more.

Litestar's own are looser: they lack the bounds of items and keys and ``additionalProperties: false``, and fail over a default that cannot be hashed.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, get_origin, is_typeddict

import msgspec
from litestar.openapi.spec import Schema
from litestar.plugins import OpenAPISchemaPlugin

from luminai.contracts.identity import MAX_TEXT
from luminai.contracts.patterns import published
from luminai.http.json_shape import MAX_INTEGER, MAX_ITEMS, MAX_KEYS

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.typing import FieldDefinition

REFERENCE: Final = "#/components/schemas/"
_PENDING: Final = "luminai-type-"
Bounds = dict[str, dict[str, int]]
_BOUNDS: Final[Bounds] = {
    "integer": {"minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
    "number": {"minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
    "array": {"maxItems": MAX_ITEMS},
    "object": {"maxProperties": MAX_KEYS},
}


class Schemas(OpenAPISchemaPlugin):
    """Collects the types of one plugin while Litestar makes its document, then names and describes them all.

    Args:
        plugin: Its id, which every name begins with.
    """

    __slots__ = ("_plugin", "_types")

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._types: list[Any] = []

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Tell whether msgspec gives the type a name of its own."""
        kind = get_origin(value) or value
        if not isinstance(kind, type):
            return False
        return issubclass(kind, msgspec.Struct | Enum) or is_dataclass(kind) or is_typeddict(kind)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:  # noqa: ARG002 - Litestar's shape
        """Return a reference that ``complete`` fills in."""
        self._types.append(field_definition.annotation)
        return _Pending(number=len(self._types) - 1)

    def complete(self, document: dict[str, Any], max_text: int = MAX_TEXT) -> dict[str, Any]:
        """Return the document with its references and components filled in, and the hub's own bounds on whatever is sent to it.

        Args:
            max_text: Characters of the longest text that a route of the plugin takes.
        """
        template = f"{REFERENCE}{self._plugin}.{{name}}"
        roots, found = msgspec.json.schema_components(self._types, schema_hook=_any, ref_template=template)
        components = {f"{self._plugin}.{name}": schema for name, schema in found.items()}
        filled: dict[str, Any] = _fill(document, roots)
        sent: set[str] = set()
        anything = f"{self._plugin}.Anything"
        bounds = _BOUNDS | {"string": {"maxLength": max_text}}
        for operations in filled.get("paths", {}).values():
            for operation in operations.values():
                if isinstance(operation, dict) and "requestBody" in operation:
                    _bound(operation["requestBody"], components, sent, anything, bounds)
        filled.setdefault("components", {})["schemas"] = components
        done: dict[str, Any] = published(filled)
        return done


@dataclass
class _Pending(Schema):
    """Stands in Litestar's document until every type is known; Litestar itself takes no reference that is not of its own registry."""

    number: int = 0

    def to_schema(self) -> dict[str, Any]:
        return {"$ref": f"{_PENDING}{self.number}"}


def _any(_: type) -> dict[str, Any]:
    return {}


def _fill(node: Any, roots: tuple[dict[str, Any], ...]) -> Any:
    if isinstance(node, dict):
        reference = node.get("$ref", "")
        if isinstance(reference, str) and reference.startswith(_PENDING):
            return roots[int(reference.removeprefix(_PENDING))]
        return {key: _fill(value, roots) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(item, roots) for item in node]
    return node


def _bound(node: Any, components: dict[str, Any], seen: set[str], anything: str, bounds: Bounds) -> None:
    """Write the bounds of ``json_shape`` into each schema that states none, here and in the components that it refers to.

    Args:
        anything: Name of the component for values of any type: they have bounds too.
    """
    if isinstance(node, list):
        for item in node:
            _bound(item, components, seen, anything, bounds)
    if not isinstance(node, dict):
        return
    for name, bound in bounds.get(str(node.get("type")), {}).items():
        if f"exclusive{name.title()}" not in node and "pattern" not in node and node.get("additionalProperties") is not False:
            node.setdefault(name, bound)
    name = str(node.get("$ref", "")).removeprefix(REFERENCE)
    if name in components and name not in seen:
        seen.add(name)
        _bound(components[name], components, seen, anything, bounds)
    if node.get("type") == "object":
        node.setdefault("additionalProperties", {})  # what a Struct passes over has bounds all the same
    for key in ("additionalProperties", "items"):
        if node.get(key) == {}:
            components.setdefault(anything, _anything(anything))
            node[key] = {"$ref": f"{REFERENCE}{anything}"}
    for key, inner in node.items():
        if key not in ("default", "enum", "const", "examples"):
            _bound(inner, components, seen, anything, bounds)


def _anything(name: str) -> dict[str, Any]:
    inner = {"$ref": f"{REFERENCE}{name}"}
    kinds = [{"type": kind} for kind in ("null", "boolean", "string", "number")]
    return {"anyOf": [*kinds, {"type": "array", "items": inner}, {"type": "object", "additionalProperties": inner}]}
