"""Reading a manifest file: all that is wrong with it, in words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from luminai.contracts.errors import HubError, ProblemItem
from luminai.contracts.manifest import MANIFEST_FILE, Manifest
from luminai.host.claims import RESERVED_IDS

MAX_MANIFEST_BYTES = 64 * 1024


class BadManifest(HubError):
    """The manifest cannot be used; ``errors`` says why."""

    status, default_code, title = 422, "bad-manifest", "Manifest refused"


def read_manifest(path: Path, *, expected_id: str) -> Manifest:
    """Return the manifest at ``path``.

    Raises:
        BadManifest: missing, too large, not TOML, of another shape, or of another plugin.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _bad(expected_id, f"cannot be read ({error.strerror})", "Ship it as package data beside the package's __init__.py.") from error
    manifest = parse_manifest(raw, named=expected_id)
    _check_own_names(manifest, expected_id)
    return manifest


def parse_manifest(raw: bytes, *, named: str = "it") -> Manifest:
    """Return the manifest that ``raw`` is.

    Raises:
        BadManifest: too large, not TOML, or of another shape.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise _bad(named, f"is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        table = tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(named, f"is not TOML: {error}") from error
    try:
        return msgspec.convert(table, Manifest)
    except msgspec.ValidationError as error:
        raise _bad(named, str(error), "docs/reference/manifest.md lists every key.") from error


def _check_own_names(manifest: Manifest, expected_id: str) -> None:
    """Refuse another plugin's id and names outside the plugin's own namespace."""
    if manifest.id != expected_id:
        raise _bad(expected_id, f"says id {manifest.id!r}, the entry point is named {expected_id!r}", "Give both the same name.")
    if manifest.id in RESERVED_IDS:
        raise _bad(expected_id, f"has the id {manifest.id!r}, which is the hub's own", "Give it another id.")
    for scope in manifest.scopes:
        if not scope.startswith(f"{manifest.id}:"):
            verb = scope.partition(":")[2]
            raise _bad(expected_id, f"scope {scope!r} does not start with '{manifest.id}:'", f"Name it {manifest.id}:{verb}.")
    for role, scopes in manifest.roles.items():
        if role == "admin":
            raise _bad(expected_id, "gives scopes to the role 'admin'", "That role may do everything already.")
        for scope in scopes:
            if scope != f"{manifest.id}:*" and scope not in manifest.scopes:
                raise _bad(expected_id, f"gives {scope!r} to the role {role!r}", f"Give one of its own scopes, or {manifest.id}:*.")
    for path in manifest.paths:
        if not path.startswith("/api/") and "site-root" not in manifest.grants:
            raise _bad(expected_id, f"path {path!r} lies outside /api/", 'Claim a path below /api/, or ask for the grant "site-root".')
    if "webhooks" in manifest.provides and "webhooks" not in manifest.grants:
        raise _bad(expected_id, "provides webhooks without the grant", 'Add "webhooks" to grants: an operator approves what outsiders may call.')


def _bad(plugin: str, detail: str, hint: str = "") -> BadManifest:
    item = ProblemItem(detail=detail, file=MANIFEST_FILE, hint=hint)
    return BadManifest(f"{MANIFEST_FILE} of {plugin} {detail}", hint=hint, errors=[item], plugin=plugin, phase="manifest")
