"""The files of an installed plugin: one digest over all of them, and which differ from what their installer recorded."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from luminai.host.discovery import InstalledPlugin

_OF_THE_WHEEL: Final = frozenset({"METADATA", "WHEEL", "entry_points.txt"})
"""What a wheel brings into its .dist-info; the rest there is written by the installer and differs between installers."""


class InstalledFiles(Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        digest: SHA-256 over the names and contents of all files, byte code left out.
        editable: The distribution points to a working copy; ``digest`` covers the package folder alone.
        altered: Files that are gone or differ from the digest in RECORD, and files of the package that RECORD does not know.
    """

    digest: str
    editable: bool = False
    altered: tuple[str, ...] = ()


def installed_files(plugin: InstalledPlugin) -> InstalledFiles:
    """Read all files of a plugin.

    Where the distribution has a RECORD, the digest covers every file that it names and every further file in the package folder. Contents are read
    even where RECORD has a digest: a file that was changed after installation must not hide behind it.
    """
    folder = Path(plugin.package_dir)
    distribution = _distribution(plugin, folder.parent)
    editable = _is_editable(distribution)
    recorded = {} if distribution is None or editable else dict(_recorded(distribution))
    names = {path.relative_to(folder.parent).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    names |= {name: folder.parent / name for name in recorded}
    whole, altered = hashlib.sha256(), []
    for name in sorted(name for name in names if not _is_byte_code(name)):
        found = _sha256(names[name])
        whole.update(f"{name}\0{found}\n".encode())
        if recorded and recorded.get(name) != found:
            altered.append(name)
    return InstalledFiles(digest=whole.hexdigest(), editable=editable, altered=tuple(altered))


def _distribution(plugin: InstalledPlugin, beside: Path) -> Distribution | None:
    """Return the distribution beside the package, else the first of its name on ``sys.path`` (an editable one lies apart from its package)."""
    try:
        return next(iter(Distribution.discover(name=plugin.distribution, path=[str(beside)]))) if plugin.package_dir else None
    except StopIteration:
        pass
    try:
        return Distribution.from_name(plugin.distribution)
    except PackageNotFoundError:
        return None


def _is_editable(distribution: Distribution | None) -> bool:
    try:
        url = json.loads((distribution.read_text("direct_url.json") if distribution else "") or "{}")
    except ValueError:
        return False
    return isinstance(url, dict) and bool(url.get("dir_info", {}).get("editable"))


def _recorded(distribution: Distribution) -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 (hexadecimal; "" when RECORD has none) of each file of the wheel."""
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        name = PurePosixPath(row[0]) if row else PurePosixPath()
        in_info = bool(name.parts) and name.parts[0].endswith(".dist-info")
        if not name.parts or name.is_absolute() or ".." in name.parts or (in_info and name.name not in _OF_THE_WHEEL) or _is_byte_code(row[0]):
            continue
        kind, _, digest = (row[1] if len(row) > 1 else "").partition("=")
        yield row[0], base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex() if kind == "sha256" else ""


def _is_byte_code(name: str) -> bool:
    """Tell it by the name below the installation folder; where that folder itself lies means nothing."""
    return "__pycache__" in PurePosixPath(name).parts or name.endswith((".pyc", ".pyo"))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "missing"
