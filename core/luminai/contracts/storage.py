"""Storage backends: named bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from msgspec import Struct


class ObjectInfo(Struct, frozen=True, kw_only=True):
    """A stored object. ``sha256`` is lower-case hex of the whole content; ``size`` is in bytes."""

    key: str
    size: int
    sha256: str
    content_type: str = "application/octet-stream"
    modified_at: datetime
    meta: dict[str, str] = {}


class ObjectPage(Struct, frozen=True):
    """One page of a listing, ordered by key; ``cursor`` is None on the last page."""

    items: tuple[ObjectInfo, ...]
    cursor: str | None = None


class StorageCapabilities(Struct, frozen=True, kw_only=True):
    """What a backend can do, as data. ``max_bytes`` is the largest object it takes."""

    presign: bool = False
    range_read: bool = True
    max_bytes: int = 5 * 1024**3


@runtime_checkable
class StorageBackend(Protocol):
    """Keeps objects under keys of ``/``-joined segments (``[A-Za-z0-9._-]``, no ``.`` or ``..`` segment, at most 512 characters).

    - ``put`` is atomic: readers see the whole old or the whole new object, a failed or cancelled put leaves the old one. It streams;
      memory stays bounded.
    - ``open`` yields chunks; ``start``/``end`` are byte offsets, ``end`` exclusive. It raises ``NotFound`` before the first chunk.
    - ``delete`` is idempotent. ``list`` is ordered by key and paged.
    - A key that is not of the form above raises ``InvalidInput``; nothing outside the backend's root is ever read or written, symlinks
      included.
    - ``put`` raises ``TooLarge`` above ``max_bytes`` and ``Conflict`` (code ``digest-mismatch``) when ``sha256`` is given and differs.
    - ``presign`` raises ``Unprocessable`` (code ``not-supported``) when the capability is absent.
    """

    name: str

    def capabilities(self) -> StorageCapabilities: ...

    async def put(
        self,
        key: str,
        content: AsyncIterator[bytes] | bytes,
        *,
        content_type: str = "application/octet-stream",
        meta: dict[str, str] | None = None,
        sha256: str | None = None,
    ) -> ObjectInfo: ...

    def open(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]: ...

    async def stat(self, key: str) -> ObjectInfo: ...

    async def delete(self, key: str) -> None: ...

    async def list(self, prefix: str = "", *, cursor: str | None = None, limit: int = 100) -> ObjectPage: ...

    async def presign(self, key: str, *, expires: float, method: str = "GET") -> str: ...
