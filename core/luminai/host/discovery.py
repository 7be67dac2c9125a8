"""Finding installed plugins without importing any of them.

Plugins are entry points of the group ``luminai.plugins``. Reading the metadata of a thousand distributions takes tens of milliseconds, so the
result is kept in a cache file that is keyed by the modification time of every folder on ``sys.path``; manifests are keyed by their own.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from luminai.contracts.errors import ProblemItem
from luminai.contracts.manifest import ENTRY_POINT_GROUP, MANIFEST_FILE, SCHEMA_FILE, Manifest
from luminai.host.manifest import BadManifest, read_manifest

_FORMAT: Final = 1


class InstalledPlugin(Struct, frozen=True, kw_only=True):
    """A plugin on this machine, as its distribution describes it; nothing of it has run.

    Attributes:
        id: Name of its entry point.
        entry_point: ``module:attribute`` of the plugin object.
        package_dir: Folder of its top-level package, "" when that is not to be found.
        manifest: None when it cannot be used; ``problem`` says why.
    """

    id: str
    distribution: str
    version: str
    entry_point: str
    package_dir: str
    manifest: Manifest | None = None
    problem: str = ""
    errors: tuple[ProblemItem, ...] = ()

    @property
    def package(self) -> str:
        """Top-level package to import."""
        return self.entry_point.partition(":")[0].partition(".")[0]

    @property
    def schema_path(self) -> Path:
        """Where its committed config schema lies, if it has one."""
        return Path(self.package_dir) / SCHEMA_FILE

    @property
    def versions_dir(self) -> Path:
        """Where its Alembic versions lie, if it has tables."""
        return Path(self.package_dir) / "migrations" / "versions"


class _Found(Struct, frozen=True):
    id: str
    distribution: str
    version: str
    entry_point: str


class _CachedManifest(Struct, frozen=True):
    stamp: tuple[int, int]
    plugin: InstalledPlugin


class _Cache(Struct):
    format: int
    folders: dict[str, int]
    found: tuple[_Found, ...]
    manifests: dict[str, _CachedManifest] = {}


def installed_plugins(*, cache_file: Path | None = None) -> list[InstalledPlugin]:
    """Return every installed plugin, by id, then distribution. Two distributions with one id are both returned; the plan refuses both."""
    cache_file = cache_file or default_cache_file()
    cache, fresh = _load(cache_file), False
    folders = {folder: _mtime(folder) for folder in sys.path if folder and Path(folder).is_dir()}
    if cache is None or cache.folders != folders:
        found = sorted(_scan(folders), key=lambda item: (item.id, item.distribution))
        cache, fresh = _Cache(_FORMAT, folders, tuple(found), cache.manifests if cache else {}), True
    plugins: list[InstalledPlugin] = []
    manifests: dict[str, _CachedManifest] = {}
    for item in cache.found:
        key = f"{item.distribution}/{item.id}/{item.version}/{item.entry_point}"
        kept = cache.manifests.get(key)
        if kept is None or kept.plugin.problem or kept.stamp != _stamp(kept.plugin.package_dir):  # what was wrong for an older hub may be right now
            described = _describe(item)
            again = _CachedManifest(_stamp(described.package_dir), described)
            kept, fresh = again, fresh or again != kept
        manifests[key] = kept
        plugins.append(kept.plugin)
    if fresh or manifests.keys() != cache.manifests.keys():
        cache.manifests = manifests
        _save(cache_file, cache)
    return plugins


def default_cache_file() -> Path:
    """Return the cache file of this Python environment."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luminai"
    return root / f"plugins-{hashlib.blake2b(os.pathsep.join(sys.path).encode(), digest_size=8).hexdigest()}.json"


def _scan(folders: Sequence[str] | dict[str, int]) -> Iterator[_Found]:
    seen: set[str] = set()
    for folder in folders:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if not entry.name.endswith(".dist-info") or entry.name in seen:
                continue
            seen.add(entry.name)
            yield from _entry_points(Path(entry.path))


def _entry_points(info: Path) -> Iterator[_Found]:
    try:
        text = (info / "entry_points.txt").read_text()
    except OSError:
        return
    if ENTRY_POINT_GROUP not in text:
        return
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # entry-point names are case-sensitive
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    name, _, version = info.name.removesuffix(".dist-info").partition("-")
    if parser.has_section(ENTRY_POINT_GROUP):
        for plugin_id, target in parser.items(ENTRY_POINT_GROUP):
            yield _Found(plugin_id, name.replace("_", "-"), version, target)


def _describe(item: _Found) -> InstalledPlugin:
    package = item.entry_point.partition(":")[0].partition(".")[0]
    spec = PathFinder.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    plugin = InstalledPlugin(
        id=item.id,
        distribution=item.distribution,
        version=item.version,
        entry_point=item.entry_point,
        package_dir=locations[0] if locations else "",
    )
    if not locations:
        return msgspec.structs.replace(plugin, problem=f"package {package!r} of {item.distribution} is not to be found")
    try:
        manifest = read_manifest(Path(locations[0]) / MANIFEST_FILE, expected_id=item.id)
    except BadManifest as error:
        return msgspec.structs.replace(plugin, problem=error.detail, errors=error.errors)
    return msgspec.structs.replace(plugin, manifest=manifest)


def _stamp(package_dir: str) -> tuple[int, int]:
    try:
        status = (Path(package_dir) / MANIFEST_FILE).stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def _mtime(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _load(cache_file: Path) -> _Cache | None:
    try:
        cache = msgspec.json.decode(cache_file.read_bytes(), type=_Cache)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return cache if cache.format == _FORMAT else None


def _save(cache_file: Path, cache: _Cache) -> None:
    """Keep the cache where that is possible; a hub on a read-only disk works without."""
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        temporary = cache_file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(cache))
        temporary.replace(cache_file)
    except OSError:
        return
