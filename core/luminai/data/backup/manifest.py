"""What a backup says of itself: the last entry of the archive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

NAME = "manifest.json"
MAX_BYTES = 64 * 1024 * 1024

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Content(Struct, frozen=True):
    """A table: how many rows, and the SHA-256 of all of them in the order of their keys."""

    rows: int
    sha256: Digest


class StoredFile(Struct, frozen=True):
    """A file of the data folder: bytes and SHA-256."""

    size: int
    sha256: Digest


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a restore must bring back.

    Attributes:
        revisions: Revision of each owner's tables, by table prefix.
        schema: SHA-256 of the definitions of all tables, "" where they are made by migrations (PostgreSQL).
        tables: Content by table.
        files: By path below the data folder.
        master_key: Id of the master key that the data keys are wrapped by, "" when nothing is sealed.
    """

    format: Literal[1] = 1
    made_at: datetime
    hub: str
    engine: Literal["sqlite", "postgresql"]
    revisions: dict[str, str]
    schema: str
    tables: dict[str, Content]
    files: dict[str, StoredFile]
    master_key: str


def differences(expected: Manifest, found: Manifest) -> list[str]:
    """Return how what was found differs from what the manifest says, in words."""
    lines = [] if expected.schema == found.schema else ["the definitions of the tables differ"]
    lines += [] if expected.revisions == found.revisions else ["the revisions differ"]
    for kind, before, after in (("table", expected.tables, found.tables), ("file", expected.files, found.files)):
        lines += [f"{kind} {name} is missing" for name in before.keys() - after.keys()]
        lines += [f"{kind} {name} is not in the manifest" for name in after.keys() - before.keys()]
        lines += [f"{kind} {name} differs" for name in before.keys() & after.keys() if before[name] != after[name]]
    return sorted(lines)
