"""Names that plugins claim, compared from their manifests before any plugin code runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from luminai.contracts.manifest import Manifest

RESERVED_PATHS: Final = (
    "/api/actions",
    "/api/admin",
    "/api/auth",
    "/api/jobs",
    "/api/keys",
    "/api/manifest",
    "/api/setup",
    "/api/status",
    "/api/webhook",
    "/health",
    "/metrics",
    "/openapi",
    "/ws",
)
"""Prefixes of the core."""

RESERVED_COMMANDS: Final = (
    "audit",
    "backup",
    "completion",
    "config",
    "db",
    "jobs",
    "keys",
    "manifest",
    "plugins",
    "repairs",
    "serve",
    "setup",
    "status",
    "users",
)


class Clash(Struct, frozen=True):
    """A claim of ``loser`` that belongs to ``winner`` (``core`` for a reserved name)."""

    loser: str
    winner: str
    what: str


def find_clashes(manifests: Iterable[Manifest]) -> list[Clash]:
    """Return every claim that two plugins make; the one that comes first in ``manifests`` keeps it, so a clash always has one owner.

    Equal prefixes clash; a longer prefix inside another plugin's is allowed and wins its requests (``/`` of a site beside ``/api/chat``),
    unless it lies inside another plugin's ``/api/<…>``, which would let one plugin take over another's routes.
    """
    clashes: list[Clash] = []
    paths: dict[str, str] = {}
    commands: dict[str, str] = dict.fromkeys(RESERVED_COMMANDS, "core")
    tables: dict[str, str] = {"core__": "core"}
    for manifest in manifests:
        for path in manifest.claimed_paths:
            winner = _path_owner(path, paths)
            if winner and winner != manifest.id:
                clashes.append(Clash(manifest.id, winner, f"URL prefix {path}"))
            else:
                paths[path] = manifest.id
        for command in manifest.commands:
            winner = commands.setdefault(command, manifest.id)
            if winner != manifest.id:
                clashes.append(Clash(manifest.id, winner, f"command {command}"))
        winner = tables.setdefault(manifest.table_prefix, manifest.id)
        if winner != manifest.id:
            clashes.append(Clash(manifest.id, winner, f"table prefix {manifest.table_prefix}"))
    return clashes


def _path_owner(path: str, claimed: dict[str, str]) -> str:
    for reserved in RESERVED_PATHS:
        if _within(path, reserved) or path == f"{reserved}.json":
            return "core"
    for other, owner in claimed.items():
        if path == other or (other.startswith("/api/") and _within(path, other)) or (path.startswith("/api/") and _within(other, path)):
            return owner
    return ""


def _within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
