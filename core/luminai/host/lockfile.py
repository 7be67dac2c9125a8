"""``luminai.lock.toml``: exactly which plugins are enabled here, down to the digest of their files, and what differs from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from luminai import __version__
from luminai.config.settings import PluginSettings
from luminai.contracts.errors import InvalidInput, NotFound
from luminai.contracts.manifest import PLUGIN_API
from luminai.host.discovery import InstalledPlugin

LOCK_FILE: Final = "luminai.lock.toml"
_SKIPPED: Final = ("__pycache__", ".pyc", ".pyo")


class LockedPlugin(Struct, frozen=True, kw_only=True, rename="kebab"):
    """One plugin as it was locked. ``files`` is SHA-256 over names and contents of its package, byte code left out."""

    id: str
    distribution: str
    version: str
    api: str
    files: str
    schema: str
    grants: tuple[str, ...] = ()
    requires: dict[str, str] = {}


class Lock(Struct, frozen=True, kw_only=True, rename="kebab"):
    """The whole lock."""

    lock: int
    hub: str
    plugin_api: str
    plugins: tuple[LockedPlugin, ...]


class Difference(Struct, frozen=True, kw_only=True):
    """Where what is installed differs from the lock: which plugin, what, why it matters, what to do."""

    plugin: str
    what: str
    locked: str
    found: str
    fix: str


def make_lock(installed: list[InstalledPlugin], settings: Mapping[str, PluginSettings]) -> Lock:
    """Return the lock of the enabled plugins, by id.

    Raises:
        NotFound: an enabled plugin is not installed.
    """
    by_id = {plugin.id: plugin for plugin in installed}
    enabled = sorted(plugin for plugin, section in settings.items() if section.enabled)
    missing = [plugin for plugin in enabled if plugin not in by_id or by_id[plugin].manifest is None]
    if missing:
        raise NotFound(f"These cannot be locked: {', '.join(missing)}.", code="plugin-not-found", hint="`luminai plugins doctor` says why.")
    return Lock(lock=1, hub=__version__, plugin_api=PLUGIN_API, plugins=tuple(_locked(by_id[plugin], by_id, settings[plugin]) for plugin in enabled))


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
        result.append(_difference("", "plugin API", locked.plugin_api, found.plugin_api, f"Run the hub of version {locked.hub}, or lock anew."))
    for plugin in sorted({*before, *now}):
        if plugin not in now:
            result.append(_difference(plugin, "enabled", "yes", "no", "Enable it, or lock anew."))
        elif plugin not in before:
            result.append(_difference(plugin, "enabled", "no", "yes", "Disable it, or look at it and lock anew."))
        else:
            old, new = _fields(before[plugin]), _fields(now[plugin])
            for key in old:
                if old[key] != new[key]:
                    fix = f"Install {old['distribution']} {old['version']}, or look at the change and lock anew."
                    result.append(_difference(plugin, key, _toml(old[key]), _toml(new[key]), fix))
    return result


def _difference(plugin: str, what: str, locked: str, found: str, fix: str) -> Difference:
    return Difference(plugin=plugin, what=what, locked=locked, found=found, fix=fix)


def _locked(plugin: InstalledPlugin, by_id: Mapping[str, InstalledPlugin], settings: PluginSettings) -> LockedPlugin:
    manifest = plugin.manifest
    if manifest is None:
        raise LookupError(plugin.id)
    schema = plugin.schema_path
    return LockedPlugin(
        id=plugin.id,
        distribution=plugin.distribution,
        version=plugin.version,
        api=manifest.api,
        files=_digest(Path(plugin.package_dir)),
        schema=hashlib.sha256(schema.read_bytes()).hexdigest() if schema.is_file() else "",
        grants=tuple(sorted(settings.approve)),
        requires={other: by_id[other].version for other in sorted(manifest.requires) if other in by_id},
    )


def _digest(folder: Path) -> str:
    """Return SHA-256 over the names and digests of all files, in order; the same for a wheel's and an editable installation."""
    whole = hashlib.sha256()
    for path in _files(folder):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not any(mark in path.as_posix() for mark in _SKIPPED))


def _fields(plugin: LockedPlugin) -> dict[str, Any]:
    return {name.replace("_", "-"): getattr(plugin, name) for name in plugin.__struct_fields__}


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }" if value else "{}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
