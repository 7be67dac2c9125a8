"""``luminai.lock.toml``: exactly which plugins are enabled here, down to the digest of their files, and what differs from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from luminai import __version__
from luminai.config.settings import PluginSettings
from luminai.contracts.errors import InvalidInput, NotFound
from luminai.contracts.manifest import PLUGIN_API
from luminai.host.discovery import InstalledPlugin
from luminai.host.installed_files import InstalledFiles, installed_files

LOCK_FILE: Final = "luminai.lock.toml"
_LOCK_ANEW: Final = "or look at it and run `luminai plugins lock`."
_CAUSES: Final = {
    "distribution": "another distribution offers this plugin now",
    "version": "another version is installed",
    "editable": "one of the two installations is a working copy (editable), the other is not",
    "api": "its manifest asks for another range of plugin API numbers",
    "schema": "its settings are described differently",
    "grants": "the operator approved other grants (`approve` in config.toml)",
    "accept-untested": "`accept-untested` in config.toml changed",
    "requires": "what it requires, or the versions found of it, changed",
}
_IN_CONFIG: Final = ("grants", "accept-untested")


class LockedPlugin(Struct, frozen=True, kw_only=True, rename="kebab"):
    """One plugin as it was locked. ``files`` is the digest of ``installed_files``, ``requires`` has the versions that were found."""

    id: str
    distribution: str
    version: str
    api: str
    files: str
    schema: str
    editable: bool = False
    grants: tuple[str, ...] = ()
    accept_untested: bool = False
    requires: dict[str, str] = {}


class Lock(Struct, frozen=True, kw_only=True, rename="kebab"):
    """The whole lock."""

    lock: int
    hub: str
    plugin_api: str
    plugins: tuple[LockedPlugin, ...]


class Difference(Struct, frozen=True, kw_only=True):
    """Where what is installed differs from the lock: which plugin, what, why, what to do."""

    plugin: str
    what: str
    locked: str
    found: str
    fix: str
    cause: str = ""


def make_lock(installed: Sequence[InstalledPlugin], settings: Mapping[str, PluginSettings]) -> Lock:
    """Return the lock of the enabled plugins, by id.

    Raises:
        NotFound: an enabled plugin is not installed, or not usable.
    """
    lock, _, missing = _look(installed, settings)
    if missing:
        raise NotFound(f"These cannot be locked: {', '.join(missing)}.", code="plugin-not-found", hint="`luminai plugins doctor` says why.")
    return lock


def verify_lock(path: Path, installed: Sequence[InstalledPlugin], settings: Mapping[str, PluginSettings]) -> list[Difference]:
    """Return everything in which what is installed and enabled differs from the lock at ``path``, [] when nothing does.

    An enabled plugin that is not there is one of the differences, where ``make_lock`` would refuse.

    Raises:
        NotFound: there is no lock.
        InvalidInput: it is no lock of ours.
    """
    locked = read_lock(path)
    found, files, missing = _look(installed, settings)
    versions = {plugin.id: plugin.version for plugin in locked.plugins}
    result = []
    for plugin, cause in missing.items():
        fix = f"Install luminai-{plugin} {versions[plugin]}." if plugin in versions else f"Install luminai-{plugin}, or disable it."
        result.append(_difference(plugin, "installed", versions.get(plugin, "no"), "no", fix, cause))
    for one in differences(locked, found):
        if one.what == "enabled" and one.plugin in missing:
            continue
        altered = files[one.plugin].altered if one.what == "files" else ()
        result.append(replace(one, cause=f"changed after installation: {_some(altered)}") if altered else one)
    return sorted(result, key=lambda one: one.plugin)


def render_lock(lock: Lock) -> str:
    """Return the lock as TOML; the same state gives the same bytes."""
    lines = ["# Made by `luminai plugins lock`; compare with `luminai plugins verify`.", f"lock = {lock.lock}", f'hub = "{lock.hub}"']
    lines.append(f'plugin-api = "{lock.plugin_api}"')
    for plugin in lock.plugins:
        lines += ["", "[[plugins]]", *(f"{key} = {_toml(value)}" for key, value in _fields(plugin).items())]
    return "\n".join(lines) + "\n"


def read_lock(path: Path) -> Lock:
    """Return the lock of a file.

    Raises:
        NotFound: there is none.
        InvalidInput: it is no lock of ours.
    """
    import tomllib

    import msgspec

    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Lock)
    except FileNotFoundError:
        raise NotFound(f"There is no {path.name}.", code="no-lock", hint="Make one with `luminai plugins lock`.") from None
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise InvalidInput(f"{path.name} is no lock file: {error}", code="bad-lock", hint="Make a new one with `luminai plugins lock`.") from error


def differences(locked: Lock, found: Lock) -> list[Difference]:
    """Return everything in which ``found`` differs from ``locked``."""
    result: list[Difference] = []
    before = {plugin.id: plugin for plugin in locked.plugins}
    now = {plugin.id: plugin for plugin in found.plugins}
    if locked.plugin_api != found.plugin_api:
        fix = f"Run the hub of version {locked.hub}, {_LOCK_ANEW}"
        result.append(_difference("", "plugin API", locked.plugin_api, found.plugin_api, fix, f"this is hub {found.hub}, locked was {locked.hub}"))
    for plugin in sorted({*before, *now}):
        if plugin not in now:
            result.append(_difference(plugin, "enabled", "yes", "no", f"Enable it, {_LOCK_ANEW}", "it was locked and is off now"))
        elif plugin not in before:
            result.append(_difference(plugin, "enabled", "no", "yes", f"Disable it, {_LOCK_ANEW}", "it was enabled after the lock was made"))
        else:
            result += _changed(before[plugin], now[plugin])
    return result


def _changed(locked: LockedPlugin, found: LockedPlugin) -> Iterator[Difference]:
    old, new = _fields(locked), _fields(found)
    for key in old:
        if old[key] == new[key]:
            continue
        cause = _CAUSES.get(key, "")
        if key == "files":
            cause = "its files belong to another version" if locked.version != found.version else "other files under the same version number"
        elif key == "grants":
            more = sorted(set(found.grants) - set(locked.grants))
            cause = f"new: {', '.join(more)}" if more else cause
        fix = f"Correct [plugins.{locked.id}] in config.toml" if key in _IN_CONFIG else f"Install {locked.distribution} {locked.version} again"
        yield _difference(locked.id, key, _toml(old[key]), _toml(new[key]), f"{fix}, {_LOCK_ANEW}", cause)


def _difference(plugin: str, what: str, locked: str, found: str, fix: str, cause: str) -> Difference:
    return Difference(plugin=plugin, what=what, locked=locked, found=found, fix=fix, cause=cause)


def _look(installed: Sequence[InstalledPlugin], settings: Mapping[str, PluginSettings]) -> tuple[Lock, dict[str, InstalledFiles], dict[str, str]]:
    """Return the lock of the enabled plugins that can be locked, their files, and why the others cannot."""
    by_id: dict[str, InstalledPlugin] = {}
    twins: dict[str, str] = {}
    for one in installed:
        twin = by_id.setdefault(one.id, one)
        if twin is not one:
            twins[one.id] = f"{twin.distribution} and {one.distribution} both call themselves {one.id}"
    plugins, files, missing = [], {}, {}
    for plugin_id in sorted(one for one, section in settings.items() if section.enabled):
        plugin = by_id.get(plugin_id)
        if plugin is None or plugin.manifest is None or plugin_id in twins:
            missing[plugin_id] = twins.get(plugin_id) or (plugin.problem if plugin else "") or "it is enabled and not installed"
            continue
        manifest, section, schema = plugin.manifest, settings[plugin_id], plugin.schema_path
        found = files[plugin_id] = installed_files(plugin)
        plugins.append(
            LockedPlugin(
                id=plugin_id,
                distribution=plugin.distribution,
                version=plugin.version,
                api=manifest.api,
                files=found.digest,
                schema=hashlib.sha256(schema.read_bytes()).hexdigest() if schema.is_file() else "",
                editable=found.editable,
                grants=tuple(sorted(section.approve)),
                accept_untested=section.accept_untested,
                requires={other: by_id[other].version for other in sorted(manifest.requires) if other in by_id},
            )
        )
    return Lock(lock=1, hub=__version__, plugin_api=PLUGIN_API, plugins=tuple(plugins)), files, missing


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _fields(plugin: LockedPlugin) -> dict[str, Any]:
    return {name.replace("_", "-"): getattr(plugin, name) for name in plugin.__struct_fields__}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }" if value else "{}"
    return json.dumps(str(value), ensure_ascii=False)  # a JSON string is a TOML string
