"""What changes from one version of a plugin to another, read from manifests and settings schemas alone: no plugin code runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai.contracts.errors import InvalidInput, NotFound
from luminai.contracts.manifest import MANIFEST_FILE, SCHEMA_FILE, Manifest
from luminai.host.discovery import InstalledPlugin
from luminai.host.manifest import BadManifest, parse_manifest

MAX_BYTES: Final = 1_000_000
_SETS: Final = {
    # field: (title, is taking one away breaking, is adding one breaking)
    "provides": ("contribution", True, False),
    "claimed_paths": ("URL prefix", True, False),
    "scopes": ("scope", True, False),
    "grants": ("grant asked for", False, True),
    "network": ("host called", False, True),
    "requires": ("required plugin", False, True),
    "conflicts": ("conflict", False, True),
    "commands": ("command", True, False),
}
_REASONS: Final = {
    "contribution": "who uses it loses it",
    "URL prefix": "clients call it",
    "scope": "keys carry it",
    "grant asked for": "the operator has to approve it first",
    "host called": "the network may not allow it",
    "required plugin": "it has to be installed and enabled first",
    "conflict": "the two cannot run together any more",
    "command": "scripts call it",
}


class Side(Struct, frozen=True, kw_only=True):
    """A plugin's manifest and the schema of its settings (empty when it has none)."""

    manifest: Manifest
    schema: dict[str, Any]


class PluginChange(Struct, frozen=True, kw_only=True):
    """One difference; ``impact`` is ``breaking`` or ``compatible``."""

    what: str
    before: str
    after: str
    impact: str
    reason: str = ""


def side_of(what: str, installed: list[InstalledPlugin]) -> Side:
    """Return a plugin by its id, or by the path of a wheel or of an unpacked package folder.

    Raises:
        NotFound: neither is there.
        InvalidInput: it has no readable manifest.
    """
    plugin = next((one for one in installed if one.id == what), None)
    folder = Path(plugin.package_dir) if plugin else Path(what)
    try:
        if folder.is_dir():
            raw, schema = _from_folder(folder)
        elif folder.is_file():
            raw, schema = _from_wheel(folder)
        else:
            hint = "Name an installed plugin, a wheel, or a folder with a luminai-plugin.toml."
            raise NotFound(f"There is no plugin and no file {what}.", code="plugin-not-found", hint=hint)
        return Side(manifest=parse_manifest(raw), schema=json.loads(schema) if schema else {})
    except (OSError, KeyError, ValueError, BadManifest, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{what} is no plugin: {error}", code="not-a-plugin", hint=f"It needs a {MANIFEST_FILE}.") from error


def compare(before: Side, after: Side) -> list[PluginChange]:
    """Return every difference, breaking ones first."""
    changes = [*_single(before.manifest, after.manifest), *_sets(before.manifest, after.manifest), *_settings(before.schema, after.schema)]
    return sorted(changes, key=lambda change: change.impact != "breaking")


def _single(before: Manifest, after: Manifest) -> Iterator[PluginChange]:
    if before.id != after.id:
        yield _change("id", before.id, after.id, "every URL, table and setting is named after it")
    if before.api != after.api:
        yield _change("plugin API range", before.api, after.api, "")
    if before.tables != after.tables:
        yield _change("tables", before.tables, after.tables, "its data would stay behind" if before.tables else "")
    if before.reload != after.reload:
        yield _change("reload", before.reload, after.reload, "")
    for name in before.requires.keys() & after.requires.keys():
        if before.requires[name] != after.requires[name]:
            yield _change(f"version of {name}", before.requires[name], after.requires[name], "another version may have to be installed first")


def _sets(before: Manifest, after: Manifest) -> Iterator[PluginChange]:
    for field, (title, removal_breaks, addition_breaks) in _SETS.items():
        old, new = set(getattr(before, field)), set(getattr(after, field))
        for name in sorted(old - new):
            yield _change(title, name, "", _REASONS[title] if removal_breaks else "")
        for name in sorted(new - old):
            yield _change(title, "", name, _REASONS[title] if addition_breaks else "")


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[PluginChange]:
    old, new = dict(_leaves(before, before, "")), dict(_leaves(after, after, ""))
    for name in sorted(old.keys() - new.keys()):
        yield _change(f"setting {name}", _shape(old[name]), "", "a configuration that sets it is refused")
    for name in sorted(new.keys() - old.keys()):
        needed = new[name].get("x-required")
        yield _change(f"setting {name}", "", _shape(new[name]), "it must be set, and has no default" if needed else "")
    for name in sorted(old.keys() & new.keys()):
        if old[name] == new[name]:
            continue
        narrower = _narrower(old[name], new[name])
        yield _change(f"setting {name}", _shape(old[name]), _shape(new[name]), narrower)


def _leaves(schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = _resolve(schema, root)
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        resolved = _resolve(inner, root)
        if "properties" in resolved and depth < 8:
            yield from _leaves(resolved, root, f"{prefix}{name}.", depth + 1)
        else:
            shown = {key: value for key, value in resolved.items() if key not in ("description", "title", "examples")}
            yield f"{prefix}{name}", shown | ({"x-required": True} if name in required else {})


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", ""))
    if not name.startswith("#/$defs/"):
        return schema
    found: Mapping[str, Any] = root.get("$defs", {}).get(name.removeprefix("#/$defs/"), {})
    return found


def _narrower(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return why values that were right may be refused now, "" when they may not."""
    if new.get("x-required") and not old.get("x-required"):
        return "it must be set now"
    if old.get("type") != new.get("type") or old.get("anyOf") != new.get("anyOf"):
        return "values of the old type may be refused"
    for key in ("minimum", "minLength", "minItems", "exclusiveMinimum"):
        if new.get(key, float("-inf")) > old.get(key, float("-inf")):
            return f"{key} rose"
    for key in ("maximum", "maxLength", "maxItems", "exclusiveMaximum"):
        if new.get(key, float("inf")) < old.get(key, float("inf")):
            return f"{key} fell"
    if "enum" in new and not set(map(str, old.get("enum", ["*"]))) <= set(map(str, new["enum"])):
        return "a value was taken away"
    if new.get("pattern") != old.get("pattern") and "pattern" in new:
        return "the pattern changed"
    return ""


def _shape(schema: Mapping[str, Any]) -> str:
    return msgspec.json.encode({key: value for key, value in schema.items() if key != "x-required"}, order="sorted").decode()


def _change(what: str, before: Any, after: Any, reason: str) -> PluginChange:
    return PluginChange(what=what, before=str(before), after=str(after), impact="breaking" if reason else "compatible", reason=reason)


def _from_folder(folder: Path) -> tuple[bytes, bytes]:
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        manifest = next(iter(sorted(folder.glob(f"**/{MANIFEST_FILE}"))), manifest)
    schema = manifest.with_name(SCHEMA_FILE)
    return manifest.read_bytes()[:MAX_BYTES], schema.read_bytes()[:MAX_BYTES] if schema.is_file() else b""


def _from_wheel(path: Path) -> tuple[bytes, bytes]:
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(f"/{MANIFEST_FILE}")]
        if not names:
            raise KeyError(MANIFEST_FILE)
        schema = names[0].removesuffix(MANIFEST_FILE) + SCHEMA_FILE
        return _member(wheel, names[0]), _member(wheel, schema) if schema in wheel.namelist() else b""


def _member(wheel: zipfile.ZipFile, name: str) -> bytes:
    if wheel.getinfo(name).file_size > MAX_BYTES:
        raise ValueError(f"{name} is too large")
    return wheel.read(name)
