"""Names that plugins claim, compared from their manifests before any plugin code runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from luminai.contracts.manifest import Manifest

RESERVED_IDS: Final = ("core", "hub", "organisation")
"""What the core's own tables and scopes begin with: no plugin may be called so."""

RESERVED_PATHS: Final = (
    "/api/actions",
    "/api/admin",
    "/api/auth",
    "/api/endpoints",
    "/api/event-types",
    "/api/events",
    "/api/health",
    "/api/invitations",
    "/api/jobs",
    "/api/keys",
    "/api/live",
    "/api/manifest",
    "/api/organisations",
    "/api/schedules",
    "/api/setup",
    "/api/status",
    "/api/users",
    "/api/webhook",
    "/health",
    "/metrics",
    "/openapi",
    "/ws",
)
"""Prefixes of the core."""

RESERVED_COMMANDS: Final = (
    "alerts",
    "audit",
    "backup",
    "completion",
    "config",
    "db",
    "identity",
    "jobs",
    "keys",
    "mail",
    "manifest",
    "metrics",
    "organisations",
    "people",
    "plugins",
    "repairs",
    "serve",
    "setup",
    "status",
    "upgrade",
    "users",
    "webhooks",
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
    paths = _Paths()
    commands: dict[str, str] = dict.fromkeys(RESERVED_COMMANDS, "core")
    tables: dict[str, str] = {"core__": "core"}
    for manifest in manifests:
        for path in manifest.claimed_paths:
            winner = paths.owner(path)
            if winner and winner != manifest.id:
                clashes.append(Clash(manifest.id, winner, f"URL prefix {path}"))
            else:
                paths.claim(path, manifest.id)
        for command in manifest.commands:
            winner = commands.setdefault(command, manifest.id)
            if winner != manifest.id:
                clashes.append(Clash(manifest.id, winner, f"command {command}"))
        winner = tables.setdefault(manifest.table_prefix, manifest.id)
        if winner != manifest.id:
            clashes.append(Clash(manifest.id, winner, f"table prefix {manifest.table_prefix}"))
    return clashes


class _Paths:
    """Claimed prefixes, found again by a walk over one path's segments, however many there are."""

    def __init__(self) -> None:
        self._claimed: dict[str, str] = {}
        self._above: dict[str, str] = {}

    def claim(self, path: str, owner: str) -> None:
        self._claimed[path] = owner
        for ancestor in _ancestors(path):
            self._above.setdefault(ancestor, owner)

    def owner(self, path: str) -> str:
        """Return who holds the path, one around it or one inside it; "" when it is free."""
        around = (path, *_ancestors(path))
        if any(one in RESERVED_PATHS for one in around) or path.removesuffix(".json") in RESERVED_PATHS:
            return "core"
        for one in around:
            if one in self._claimed and (one == path or one.startswith("/api/")):
                return self._claimed[one]
        return self._above.get(path, "") if path.startswith("/api/") else ""


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts) - 1, 1, -1)]
