"""What changes from one settings schema to another, and whether a configuration that was right may be refused afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

_DEPTH: Final = 8
_TEXTS: Final = frozenset({"title", "description", "examples", "$comment", "$defs", "deprecated", "default"})
_LEAST: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_MOST: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_REQUIRED: Final = "x-required"


class SettingChange(Struct, frozen=True, kw_only=True):
    """One setting (dotted name) with its shape in both schemas, "" where it is missing."""

    name: str
    before: str
    after: str
    breaks: bool
    reason: str


def compare_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[SettingChange]:
    """Return every setting that was removed, added or changed.

    What cannot be proved harmless counts as breaking: a keyword that this comparison does not know, or another pattern.
    """
    old, new = dict(_leaves(_expand(before, before), "")), dict(_leaves(_expand(after, after), ""))
    changes = [_change(name, old[name], None, "a configuration that sets it is refused") for name in sorted(old.keys() - new.keys())]
    for name in sorted(new.keys() - old.keys()):
        needed = "it must be set, and has no default" if new[name].get(_REQUIRED) else ""
        changes.append(_change(name, None, new[name], needed, "nobody has to set it"))
    for name in sorted(old.keys() & new.keys()):
        if old[name] == new[name]:
            continue
        why = "it must be set now" if new[name].get(_REQUIRED) and not old[name].get(_REQUIRED) else _narrower(old[name], new[name])
        same = "its default changed" if old[name].get("default") != new[name].get("default") else "every value of before is still right"
        changes.append(_change(name, old[name], new[name], why, same))
    return changes


def _change(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, breaking: str, otherwise: str = "") -> SettingChange:
    return SettingChange(name=name, before=_shape(before), after=_shape(after), breaks=bool(breaking), reason=breaking or otherwise)


def _shape(schema: Mapping[str, Any] | None) -> str:
    if schema is None:
        return ""
    return msgspec.json.encode({key: value for key, value in schema.items() if key != _REQUIRED}, order="sorted").decode()


def _expand(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """Return the schema with every ``$ref`` replaced by what it stands for, texts left out; a schema that holds itself is cut off."""
    if isinstance(schema, list):
        return [_expand(one, root, depth) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    name = str(schema.get("$ref", ""))
    if name.startswith("#/$defs/") and depth < _DEPTH:
        found = root.get("$defs", {}).get(name.removeprefix("#/$defs/"), {})
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    result = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, Mapping):
            result[key] = {inner: _expand(one, root, depth + 1) for inner, one in value.items()}
        elif key == "default" or key not in _TEXTS:
            result[key] = value if key in ("default", "const", "enum", "$ref") else _expand(value, root, depth + 1)
    return result


def _leaves(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield dotted name and schema of each setting; one is marked as required only where all tables around it are."""
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        if inner.get("properties"):
            for below, leaf in _leaves(inner, f"{prefix}{name}."):
                yield below, leaf if name in required else {key: value for key, value in leaf.items() if key != _REQUIRED}
        else:
            yield f"{prefix}{name}", {**inner, **({_REQUIRED: True} if name in required else {})}


def _narrower(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return why values that were right may be refused now, "" when they may not."""
    kinds, wider = _kinds(old), _kinds(new)
    if wider and not (kinds and kinds <= wider):
        return "values of the old type may be refused"
    for key in sorted((old.keys() | new.keys()) - _TEXTS - {"type", "required", _REQUIRED}):
        reason = _keyword(key, old.get(key), new.get(key))
        if reason:
            return reason
    if not set(new.get("required", ())) <= set(old.get("required", ())):
        return "more of its keys are required"
    return ""


def _keyword(key: str, old: Any, new: Any) -> str:
    if old == new or new is None:
        return ""
    if key in _LEAST:
        return "" if old is not None and new <= old else f"{key} rose"
    if key in _MOST:
        return "" if old is not None and new >= old else f"{key} fell"
    if key == "enum":
        return "" if isinstance(old, list) and all(one in new for one in old) else "a value was taken away"
    if key == "properties":
        gone = sorted(set(old or ()) - set(new))
        return f"{gone[0]} was taken away" if gone else next(filter(None, (_inner(name, old, one) for name, one in new.items())), "")
    if key in ("anyOf", "oneOf"):
        kept = isinstance(old, list) and all(any(not _narrower(one, other) for other in new) for one in old)
        return "" if kept else "values of the old type may be refused"
    if key in ("items", "additionalProperties") and isinstance(old, Mapping) and isinstance(new, Mapping):
        inner = _narrower(old, new)
        return f"in its {'items' if key == 'items' else 'values'}: {inner}" if inner else ""
    if key == "additionalProperties" and new is True:
        return ""
    return f"the {key} changed"


def _inner(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    reason = _narrower(old[name], new) if old and name in old else ""
    return f"{name}: {reason}" if reason else ""


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Return the JSON types that the schema's own ``type`` admits, an integer being a number too; empty for any."""
    kind = schema.get("type", [])
    kinds = {kind} if isinstance(kind, str) else set(kind)
    return kinds | {"integer"} if "number" in kinds else kinds
