"""The stored form of an entry, and what of it is hashed.

A leaf covers position, id, time, retention and the digest of the content; the digest covers a random salt and the content. So an expired entry can
lose its content and salt and still be a leaf whose age and class are proven, while its content cannot be guessed from the digest.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai.audit.merkle import leaf_hash
from luminai.data.tables_audit import audit_entries

KEPT: Final = {"90d": timedelta(days=90), "7y": timedelta(days=2557)}
"""Least time that content is kept; seven years hold two leap days at most."""
CONTENT: Final = ("source", "actor", "actor_subject", "action", "object", "outcome", "subject", "is_sealed", "detail")
"""The columns that are blanked when an entry has expired, next to the salt."""


class StoredEntry(Struct, frozen=True, kw_only=True):
    """A row as it lies in the database. ``position`` is None until the row is sealed; content and salt are None once it is pruned."""

    id: str
    position: int | None
    at: datetime
    retention: str
    digest: bytes
    leaf_hash: bytes | None = None
    pruned_at: datetime | None = None
    salt: bytes | None = None
    source: str | None = None
    actor: str | None = None
    actor_subject: str | None = None
    action: str | None = None
    object: str | None = None
    outcome: str | None = None
    subject: str | None = None
    is_sealed: bool | None = None
    detail: bytes | None = None

    @property
    def expires_at(self) -> datetime:
        """When the content may be blanked; an unknown class never expires."""
        return self.at + KEPT[self.retention] if self.retention in KEPT else datetime.max.replace(tzinfo=self.at.tzinfo)

    def content_digest(self) -> bytes:
        """Return the digest that the content has now."""
        return content_digest(self.salt or b"", {name: getattr(self, name) for name in CONTENT})

    def leaf(self, position: int) -> bytes:
        """Return the leaf's hash that the row has now at ``position``."""
        at = self.at.isoformat(timespec="microseconds")
        return leaf_hash(b"luminai audit leaf 1\n" + msgspec.json.encode([position, self.id, at, self.retention, self.digest]))


def content_digest(salt: bytes, content: dict[str, Any]) -> bytes:
    """Return the SHA-256 over salt and content (its values in the order of ``CONTENT``)."""
    return sha256(b"luminai audit content 1\n" + msgspec.json.encode([salt, *(content[name] for name in CONTENT)])).digest()


def stored(row: Any) -> StoredEntry:
    """Return a row of the table."""
    return StoredEntry(**{column.name: getattr(row, column.name) for column in audit_entries.c})
