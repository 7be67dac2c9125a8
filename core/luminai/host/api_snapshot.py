"""The plugin API as data, and what changes between two versions of it, in the words of the number rules.

The number is ``major.feature``: what is added raises the feature; what is taken away or means something else raises the major.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Literal

import msgspec
from msgspec import NODEFAULT, UNSET, Struct

from luminai._face import FACE, RENAMED
from luminai.contracts.hookspecs import Contributions, Lifecycle
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
    hooks = {name: {"arguments": list(spec.arguments), "async": spec.is_async, "types": _hook_types(name)} for name, spec in SPECS.items()}
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
        found = {"kind": "protocol" if getattr(thing, "_is_protocol", False) else "class", "members": members}
        defaults = {name: given for name in members if (given := _defaults(vars(thing)[name]))}
        return found | ({"defaults": defaults} if defaults else {})
    if callable(thing):
        given = _defaults(thing)
        return {"kind": "function", "signature": _signature(thing)} | ({"defaults": given} if given else {})
    return {"kind": "value", "type": type(thing).__name__}


def _struct_fields(struct: type[Struct]) -> dict[str, dict[str, Any]]:
    """Return type (as it is written), necessity and default of each field."""
    written: dict[str, Any] = {}
    for kind in reversed(struct.__mro__):
        written |= vars(kind).get("__annotations__", {})
    names, defaults = struct.__struct_fields__, struct.__struct_defaults__
    padded = (NODEFAULT,) * (len(names) - len(defaults)) + defaults
    return {
        name: {"type": str(written[name]), "required": default is NODEFAULT} | ({} if default is NODEFAULT else {"default": _shown(default)})
        for name, default in zip(names, padded, strict=True)
    }


def _shown(default: Any) -> str:
    """Return a default as text that is the same in every process: sets have no order, and other objects show their address."""
    factory = getattr(default, "factory", None)
    if factory is not None:
        return f"{factory.__qualname__}()"
    if default is UNSET:
        return "unset"
    return msgspec.json.encode(default, order="deterministic", enc_hook=lambda one: getattr(one, "__qualname__", type(one).__qualname__)).decode()


def _defaults(member: Any) -> dict[str, str]:
    """Return the defaults of a callable's arguments."""
    member = getattr(member, "__func__", member)
    try:
        parameters = inspect.signature(member).parameters.values() if callable(member) else ()
    except (TypeError, ValueError):
        return {}
    return {one.name: _shown(one.default) for one in parameters if one.default is not one.empty}


def _hook_types(name: str) -> dict[str, str]:
    """Return the types of a hook's arguments, and of what it returns under ``return``."""
    written = getattr(Lifecycle if hasattr(Lifecycle, name) else Contributions, name).__annotations__
    return {argument: str(kind) for argument, kind in written.items()}


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
            for member in old["members"].keys() & new["members"].keys():
                yield from _new_defaults(f"{prefix}{name}.{member}", *(one.get("defaults", {}).get(member, {}) for one in (old, new)))
        elif old["kind"] == "function":
            if old["signature"] != new["signature"]:
                yield _call(f"{prefix}{name}", old["signature"], new["signature"])
            yield from _new_defaults(f"{prefix}{name}", old.get("defaults", {}), new.get("defaults", {}))
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


def _new_defaults(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[APIChange]:
    """Yield changed defaults. A snapshot that an earlier hub made names none: then nothing can be said."""
    for argument in before.keys() & after.keys():
        if before[argument] != after[argument]:
            yield _change(
                f"{name}({argument})", before[argument], after[argument], "feature", "its default changed: calls that leave it out mean another value"
            )


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
        elif old.get("default", "") != new.get("default", "") and "default" in old and "default" in new:
            yield _change(f"{prefix}{name}", old["default"], new["default"], "feature", "its default changed: who leaves it out means another value")


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
        types, now = old.get("types", {}), new.get("types", {})
        for argument in [one for one in types if one in now and types[one] != now[one]]:
            what = f"hook {name}" if argument == "return" else f"hook {name}({argument})"
            reason = "implementations return the old type" if argument == "return" else "implementations expect the old type"
            yield _change(what, types[argument], now[argument], "major", reason)


def _change(name: str, before: str, after: str, raises: Literal["major", "feature"], reason: str) -> APIChange:
    change: Literal["added", "removed", "changed"] = "added" if not before else "removed" if not after else "changed"
    return APIChange(name=name, change=change, before=before, after=after, raises=raises, reason=reason)
