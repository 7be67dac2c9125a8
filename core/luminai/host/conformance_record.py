"""The conformance levels that were computed in this environment. A level holds for exactly the files and the hub that it was computed with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from luminai import __version__
from luminai.host.discovery import InstalledPlugin, default_cache_file
from luminai.host.installed_files import installed_files


class Record(Struct, frozen=True, kw_only=True):
    """A computed level: ``files`` is the digest of the plugin's installed files, ``failed`` the rules that it missed."""

    plugin: str
    version: str
    hub: str
    files: str
    level: str
    failed: tuple[str, ...] = ()


def keep_record(plugin: InstalledPlugin, level: str, failed: Iterable[str]) -> None:
    """Remember the level of a plugin; where the disk does not allow it, do without."""
    record = Record(
        plugin=plugin.id, version=plugin.version, hub=__version__, files=installed_files(plugin).digest, level=level, failed=tuple(failed)
    )
    path = _path(plugin.id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(path)
    except OSError:
        return


def known_levels(installed: Iterable[InstalledPlugin]) -> dict[str, str]:
    """Return the level of each plugin that still is what it was when its level was computed."""
    levels = {}
    for plugin in installed:
        try:
            record = msgspec.json.decode(_path(plugin.id).read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            continue
        if record.hub == __version__ and record.version == plugin.version and record.files == installed_files(plugin).digest:
            levels[plugin.id] = record.level
    return levels


def _path(plugin: str) -> Path:
    return default_cache_file().with_suffix("") / f"{plugin}.json"
