"""What actions, events and channels take: a sample of it, and where its schema sets no bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from luminai.testing.conformance.rules import CannotTell
from luminai.testing.conformance.settings import simplest, target


def sample(kind: type[Struct]) -> dict[str, Any]:
    """Return a simple value that a Struct type takes, as plain values; one of its schema's ``examples`` where there is one.

    Raises:
        CannotTell: none can be made.
    """
    schema = msgspec.json.schema(kind)
    examples = target(schema, schema).get("examples")
    if examples:
        given: dict[str, Any] = examples[0]
        return given
    try:
        found: dict[str, Any] = simplest(schema, schema)
    except ImportError:
        raise CannotTell("hypothesis is not installed") from None
    except NotImplementedError as unknown:
        raise CannotTell(f"{kind.__name__}: {unknown}") from unknown
    return found


def unbounded(kind: type[Struct], *, is_sent: bool = False) -> list[str]:
    """Return the places of a Struct type whose schema sets no bound.

    Args:
        is_sent: Clients send it: numbers need bounds too, and what it does not name must be refused.
    """
    schema = msgspec.json.schema(kind)
    return list(_Walk(schema, is_sent=is_sent).at(schema, kind.__name__))


class _Walk:
    """Walks one schema; ``is_sent`` as in ``unbounded``."""

    def __init__(self, root: Mapping[str, Any], *, is_sent: bool) -> None:
        self._root = root
        self._is_sent = is_sent

    def at(self, schema: Mapping[str, Any], place: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
        reference = schema.get("$ref", "")
        if reference in above:
            yield f"{place} holds itself"
            return
        above |= {reference} if reference else set()
        schema = target(self._root, schema)
        if schema.keys() & {"enum", "const"}:
            return
        options = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
        for option in options:
            yield from self.at(option, place, above)
        kinds = schema.get("type", ())
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield from getattr(self, f"_{kind}", self._nothing)(schema, place, above)
        if not kinds and not options:
            yield f"{place} takes anything"

    def _nothing(self, *_: Any) -> Iterator[str]:
        return iter(())

    def _string(self, schema: Mapping[str, Any], place: str, _: frozenset[str]) -> Iterator[str]:
        if not schema.keys() & {"maxLength", "pattern", "format"}:
            yield f"{place} has no max_length"

    def _number(self, schema: Mapping[str, Any], place: str, _: frozenset[str]) -> Iterator[str]:
        for side, keys in (("ge", {"minimum", "exclusiveMinimum"}), ("le", {"maximum", "exclusiveMaximum"})):
            if self._is_sent and not schema.keys() & keys:
                yield f"{place} has no {side}"

    _integer = _number

    def _array(self, schema: Mapping[str, Any], place: str, above: frozenset[str]) -> Iterator[str]:
        if "maxItems" not in schema:
            yield f"{place} has no max_length"
        for number, item in enumerate(schema.get("prefixItems", ())):
            yield from self.at(item, f"{place}[{number}]", above)
        if isinstance(schema.get("items"), Mapping):
            yield from self.at(schema["items"], f"{place}[]", above)

    def _object(self, schema: Mapping[str, Any], place: str, above: frozenset[str]) -> Iterator[str]:
        rest = schema.get("additionalProperties")
        if "properties" not in schema:
            if "maxProperties" not in schema:
                yield f"{place} has no max_length"
            yield from self.at(rest if isinstance(rest, Mapping) else {}, f"{place}{{}}", above)
            return
        if self._is_sent and rest is not False:
            yield f"{place} takes unknown fields (forbid_unknown_fields=True)"
        for name, described in schema["properties"].items():
            yield from self.at(described, f"{place}.{name}", above)
