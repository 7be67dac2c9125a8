"""What changes from one version of a plugin to another, read from manifests and settings schemas alone: no plugin code runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from packaging.specifiers import SpecifierSet

from luminai.contracts.errors import InvalidInput, NotFound
from luminai.contracts.manifest import MANIFEST_FILE, PLUGIN_API, SCHEMA_FILE, Manifest
from luminai.host.discovery import InstalledPlugin
from luminai.host.manifest import BadManifest, parse_manifest
from luminai.host.settings_difference import compare_settings

MAX_BYTES: Final = 1_000_000
_SETS: Final = {
    # field: (title, reason of taking one away, reason of adding one); a reason that begins with "!" breaks something
    "provides": ("contribution", "!who uses it loses it", "nobody uses it yet"),
    "claimed_paths": ("URL prefix", "!clients call it", "no client calls it yet"),
    "scopes": ("scope", "!keys carry it", "no key carries it yet"),
    "grants": ("grant asked for", "it needs less", "!the operator has to approve it first"),
    "network": ("host called", "it calls less", "!the network may not allow it"),
    "requires": ("required plugin", "it needs less", "!it has to be installed and enabled first"),
    "after": ("starts behind", "only the start order changes", "only the start order changes"),
    "conflicts": ("conflict", "more can run beside it", "!the two cannot run together any more"),
    "commands": ("command", "!scripts call it", "no script calls it yet"),
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
        settings = json.loads(schema) if schema else {}
        if not isinstance(settings, dict):
            raise InvalidInput(f"{SCHEMA_FILE} of {what} is no JSON object", code="not-a-plugin", hint=f"It needs a {MANIFEST_FILE}.")
        return Side(manifest=parse_manifest(raw), schema=settings)
    except (OSError, KeyError, ValueError, RuntimeError, BadManifest, zipfile.BadZipFile) as error:  # zipfile: RuntimeError when encrypted
        raise InvalidInput(f"{what} is no plugin: {error}", code="not-a-plugin", hint=f"It needs a {MANIFEST_FILE}.") from error


def compare(before: Side, after: Side) -> list[PluginChange]:
    """Return every difference, breaking ones first. Event types are made by code, so only whether there are any is known (``event_types``)."""
    changes = [*_single(before.manifest, after.manifest), *_sets(before.manifest, after.manifest)]
    settings = compare_settings(before.schema, after.schema)
    changes += [_change(f"setting {one.name}", one.before, one.after, f"!{one.reason}" if one.breaks else one.reason) for one in settings]
    return sorted(changes, key=lambda change: change.impact != "breaking")


def _single(before: Manifest, after: Manifest) -> Iterator[PluginChange]:
    if before.id != after.id:
        yield _change("id", before.id, after.id, "!every URL, table and setting is named after it")
    if before.api != after.api:
        refused = SpecifierSet(before.api).contains(PLUGIN_API) and not SpecifierSet(after.api).contains(PLUGIN_API)
        yield _change(
            "plugin API range", before.api, after.api, f"!this hub has {PLUGIN_API}" if refused else f"this hub's {PLUGIN_API} is as before"
        )
    if before.tables != after.tables:
        yield _change("tables", before.tables, after.tables, "!its data would stay behind" if before.tables else "they are made at the next start")
    if before.reload != after.reload:
        yield _change("reload", before.reload, after.reload, "it matters only while the hub runs")
    for name in sorted(before.requires.keys() & after.requires.keys()):
        if before.requires[name] != after.requires[name]:
            reason = "any version will do" if after.requires[name] == "*" else "!another version may have to be installed first"
            yield _change(f"version of {name}", before.requires[name], after.requires[name], reason)


def _sets(before: Manifest, after: Manifest) -> Iterator[PluginChange]:
    for field, (title, removal, addition) in _SETS.items():
        old, new = set(getattr(before, field)), set(getattr(after, field))
        for name in sorted(old - new):
            yield _change(title, name, "", removal)
        for name in sorted(new - old):
            yield _change(title, "", name, addition)


def _change(what: str, before: Any, after: Any, reason: str) -> PluginChange:
    impact = "breaking" if reason.startswith("!") else "compatible"
    return PluginChange(what=what, before=str(before), after=str(after), impact=impact, reason=reason.removeprefix("!"))


def _from_folder(folder: Path) -> tuple[bytes, bytes]:
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        manifest = next(iter(sorted(folder.glob(f"**/{MANIFEST_FILE}"), key=lambda path: (len(path.parts), path))), manifest)
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
