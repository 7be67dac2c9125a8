"""Reading a manifest file: all that is wrong with it, in words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from luminai.contracts.errors import HubError, ProblemItem
from luminai.contracts.manifest import Manifest

MAX_MANIFEST_BYTES = 64 * 1024


class BadManifest(HubError):
    """The manifest cannot be used; ``errors`` says why."""

    status, default_code, title = 422, "bad-manifest", "Manifest refused"


def read_manifest(path: Path, *, expected_id: str) -> Manifest:
    """Return the manifest at ``path``.

    Raises:
        BadManifest: missing, too large, not TOML, of another shape, or of another plugin.
    """

    def bad(detail: str, hint: str = "", line: int = 0) -> BadManifest:
        item = ProblemItem(detail=detail, file=path.name, line=line, hint=hint)
        return BadManifest(f"{path.name} of {expected_id}: {detail}", hint=hint, errors=[item], plugin=expected_id, phase="manifest")

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise bad(f"cannot be read ({error.strerror})", "Ship it as package data beside the package's __init__.py.") from error
    if len(raw) > MAX_MANIFEST_BYTES:
        raise bad(f"is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        table = tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise bad(f"is not TOML: {error}") from error
    try:
        manifest = msgspec.convert(table, Manifest)
    except msgspec.ValidationError as error:
        raise bad(str(error), "docs/reference/manifest.md lists every key.") from error
    if manifest.id != expected_id:
        raise bad(f"says id {manifest.id!r} but the entry point is named {expected_id!r}", "Give both the same name.")
    _check_own_names(manifest, bad)
    return manifest


def _check_own_names(manifest: Manifest, bad: object) -> None:
    """Refuse names outside the plugin's own namespace."""
    assert callable(bad)  # noqa: S101 - a closure of the caller
    for scope in manifest.scopes:
        if not scope.startswith(f"{manifest.id}:"):
            raise bad(f"scope {scope!r} does not start with {manifest.id!r}:", f"Name it {manifest.id}:{scope.partition(':')[2]}.")
    for path in manifest.paths:
        if not path.startswith("/api/") and "site-root" not in manifest.grants:
            raise bad(f"path {path!r} lies outside /api/", 'Claim a path below /api/, or ask for the grant "site-root".')
