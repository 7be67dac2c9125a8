"""The plugin API as data, and what changes between two versions of it, in the words of the number rules.

The number is ``major.feature``: what is added raises the feature; what is taken away or means something else raises the major.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Literal

from msgspec import NODEFAULT, Struct

from luminai._face import FACE, RENAMED
from luminai.contracts.manifest import PLUGIN_API, Manifest
from luminai.host.hooks import SPECS

Snapshot = dict[str, Any]


class APIChange(Struct, frozen=True, kw_only=True):
    """One difference; ``raises`` tells which number it needs: ``major`` or ``feature``."""

    name: str
    change: Literal["added", "removed", "changed"]
    before: str
    after: str
    raises: Literal["major", "feature"]
    reason: str


def snapshot() -> Snapshot:
    """Return this hub's plugin API: every public name with its kind and members, every hook with its arguments, every manifest key."""
    names = {name: _describe(getattr(import_module(module), name)) for module, public in FACE.items() for name in public}
    hooks = {name: {"arguments": list(spec.arguments), "async": spec.is_async} for name, spec in SPECS.items()}
    keys = dict(zip(Manifest.__struct_encode_fields__, _struct_fields(Manifest).values(), strict=True))
    return {"api": PLUGIN_API, "names": dict(sorted(names.items())), "hooks": hooks, "manifest": keys, "renamed": sorted(RENAMED)}


def compare(before: Snapshot, after: Snapshot) -> list[APIChange]:
    """Return every difference, those that need a new major first."""
    changes = [
        *_members("luminai.", before["names"], after["names"], "plugins import it"),
        *_hooks(before["hooks"], after["hooks"]),
        *_fields("manifest key ", before["manifest"], after["manifest"], given_by_plugins=True),
    ]
    return sorted(changes, key=lambda change: (change.raises != "major", change.name))


def needed_number(before: Snapshot, changes: list[APIChange]) -> str:
    """Return the least API number that a hub with these changes may carry."""
    major, feature = (int(part) for part in str(before["api"]).split("."))
    if any(change.raises == "major" for change in changes):
        return f"{major + 1}.0"
    return f"{major}.{feature + bool(changes)}"


def _describe(thing: Any) -> dict[str, Any]:
    if isinstance(thing, type) and issubclass(thing, Struct):
        return {"kind": "struct", "fields": _struct_fields(thing)}
    if isinstance(thing, type):
        members = {name: _signature(member) for name, member in sorted(vars(thing).items()) if not name.startswith("_")}
        return {"kind": "protocol" if getattr(thing, "_is_protocol", False) else "class", "members": members}
    if callable(thing):
        return {"kind": "function", "signature": _signature(thing)}
    return {"kind": "value", "type": type(thing).__name__}


def _struct_fields(struct: type[Struct]) -> dict[str, dict[str, Any]]:
    """Return type (as it is written) and necessity of each field."""
    written: dict[str, Any] = {}
    for kind in reversed(struct.__mro__):
        written |= vars(kind).get("__annotations__", {})
    names, defaults = struct.__struct_fields__, struct.__struct_defaults__
    padded = (NODEFAULT,) * (len(names) - len(defaults)) + defaults
    return {name: {"type": str(written[name]), "required": default is NODEFAULT} for name, default in zip(names, padded, strict=True)}


def _signature(member: Any) -> str:
    if isinstance(member, property):
        return "property"
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    if not callable(member):
        return type(member).__name__
    try:
        parameters = inspect.signature(member).parameters.values()
    except (TypeError, ValueError):
        return "callable"
    shown = [f"{'*' if one.kind is one.VAR_POSITIONAL else ''}{one.name}{'=' if one.default is not one.empty else ''}" for one in parameters]
    return ("async " if inspect.iscoroutinefunction(member) else "") + f"({', '.join(shown)})"


def _members(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any], why: str) -> Iterator[APIChange]:
    for name in before.keys() - after.keys():
        yield _change(f"{prefix}{name}", before[name]["kind"], "", "major", why)
    for name in after.keys() - before.keys():
        yield _change(f"{prefix}{name}", "", after[name]["kind"], "feature", "plugins may use it")
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old["kind"] != new["kind"]:
            yield _change(f"{prefix}{name}", old["kind"], new["kind"], "major", "it is another kind of thing")
        elif old["kind"] == "struct":
            yield from _fields(f"{prefix}{name}.", old["fields"], new["fields"], given_by_plugins=False)
        elif "members" in old:
            yield from _methods(f"{prefix}{name}.", old["members"], new["members"], abstract=old["kind"] == "protocol")
        elif old != new:
            yield _call(f"{prefix}{name}", str(old.get("signature", old)), str(new.get("signature", new)))


def _methods(prefix: str, before: Mapping[str, str], after: Mapping[str, str], *, abstract: bool) -> Iterator[APIChange]:
    for name in before.keys() - after.keys():
        yield _change(f"{prefix}{name}", before[name], "", "major", "plugins call or implement it")
    for name in after.keys() - before.keys():
        reason = "a provider of a plugin does not have it yet: only where the hub can do without" if abstract else "plugins may use it"
        yield _change(f"{prefix}{name}", "", after[name], "feature", reason)
    for name in before.keys() & after.keys():
        if before[name] != after[name] and abstract:
            yield _change(f"{prefix}{name}", before[name], after[name], "major", "implementations of the old form may fail")
        elif before[name] != after[name]:
            yield _call(f"{prefix}{name}", before[name], after[name])


def _call(name: str, before: str, after: str) -> APIChange:
    """Return the change of a signature: only added optional arguments leave calls of the old form as they were."""
    old_kind, _, old_rest = before.partition("(")
    new_kind, _, new_rest = after.partition("(")
    old, new = ([one for one in rest.rstrip(")").split(", ") if one] for rest in (old_rest, new_rest))
    added = [one for one in new if one not in old]
    kept = [one for one in new if one in old]
    if old_kind == new_kind and kept == old and all(one.endswith("=") for one in added):
        return _change(name, before, after, "feature", "the added arguments are optional")
    return _change(name, before, after, "major", "calls of the old form may fail")


def _fields(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any], *, given_by_plugins: bool) -> Iterator[APIChange]:
    for name in before.keys() - after.keys():
        yield _change(f"{prefix}{name}", before[name]["type"], "", "major", "plugins write it" if given_by_plugins else "plugins read or give it")
    for name in after.keys() - before.keys():
        needed = after[name]["required"]
        reason = "plugins of before do not give it" if needed else "it has a default"
        yield _change(f"{prefix}{name}", "", after[name]["type"], "major" if needed else "feature", reason)
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old["type"] != new["type"]:
            yield _change(f"{prefix}{name}", old["type"], new["type"], "major", "values of the old type may be refused")
        elif new["required"] and not old["required"]:
            yield _change(f"{prefix}{name}", "optional", "required", "major", "plugins of before do not give it")


def _hooks(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[APIChange]:
    for name in before.keys() - after.keys():
        yield _change(f"hook {name}", str(before[name]["arguments"]), "", "major", "plugins that implement it are refused")
    for name in after.keys() - before.keys():
        yield _change(f"hook {name}", "", str(after[name]["arguments"]), "feature", "plugins may implement it")
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old["async"] != new["async"]:
            yield _change(f"hook {name}", f"async {old['async']}", f"async {new['async']}", "major", "implementations are of the wrong kind")
        for gone in [one for one in old["arguments"] if one not in new["arguments"]]:
            yield _change(f"hook {name}({gone})", gone, "", "major", "implementations that take it are refused")
        for added in [one for one in new["arguments"] if one not in old["arguments"]]:
            yield _change(f"hook {name}({added})", "", added, "feature", "an implementation takes only what it wants")


def _change(name: str, before: str, after: str, raises: Literal["major", "feature"], reason: str) -> APIChange:
    change: Literal["added", "removed", "changed"] = "added" if not before else "removed" if not after else "changed"
    return APIChange(name=name, change=change, before=before, after=after, raises=raises, reason=reason)
