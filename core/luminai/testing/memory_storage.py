"""A storage backend in memory that keeps the contract."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import re
from bisect import bisect_right
from collections.abc import AsyncIterator
from typing import Final

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable, Unprocessable
from luminai.contracts.storage import ObjectInfo, ObjectPage, StorageCapabilities
from luminai.testing.clock import FrozenClock

_KEY: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_CHUNK: Final = 64 * 1024


class MemoryStorage:
    """Keeps objects in a dictionary.

    Args:
        room: Bytes in all; beyond it a put raises what a full disk raises (``storage-full``).
        max_bytes: Largest object.
    """

    def __init__(self, name: str = "memory", *, clock: Clock | None = None, room: int | None = None, max_bytes: int = 64 * 1024**2) -> None:
        self.name = name
        self.room = room
        self._clock = clock or FrozenClock()
        self._max_bytes = max_bytes
        self._objects: dict[str, tuple[ObjectInfo, bytes]] = {}

    def capabilities(self) -> StorageCapabilities:
        """Say what it can do."""
        return StorageCapabilities(max_bytes=self._max_bytes)

    async def put(
        self,
        key: str,
        content: AsyncIterator[bytes] | bytes,
        *,
        content_type: str = "application/octet-stream",
        meta: dict[str, str] | None = None,
        sha256: str | None = None,
    ) -> ObjectInfo:
        """Take the whole content, then show it at once."""
        _check(key)
        collected = bytearray()
        async for chunk in _pieces(content):
            collected += chunk
            if len(collected) > self._max_bytes:
                raise TooLarge(f"An object may have {self._max_bytes} bytes.")
            self._check_room(key, len(collected))
        whole = bytes(collected)
        digest = hashlib.sha256(whole).hexdigest()
        if sha256 is not None and sha256 != digest:
            raise Conflict("The content has another digest.", code="digest-mismatch")
        info = ObjectInfo(key=key, size=len(whole), sha256=digest, content_type=content_type, modified_at=self._clock.now(), meta=dict(meta or {}))
        self._objects[key] = (info, whole)
        return info

    async def open(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield a slice of the content as it was when it was opened."""
        content = self._find(key)[1][start:end]
        for offset in range(0, len(content), _CHUNK):
            await asyncio.sleep(0)
            yield content[offset : offset + _CHUNK]

    async def stat(self, key: str) -> ObjectInfo:
        """Return what is known about an object."""
        return self._find(key)[0]

    async def delete(self, key: str) -> None:
        """Forget an object, if there is one."""
        _check(key)
        self._objects.pop(key, None)

    async def list(self, prefix: str = "", *, cursor: str | None = None, limit: int = 100) -> ObjectPage:
        """Return a page, ordered by key; the cursor is the last key of the page before."""
        keys = sorted(key for key in self._objects if key.startswith(prefix))
        first = bisect_right(keys, cursor) if cursor is not None else 0
        page: builtins.list[str] = keys[first : first + limit]
        more = first + limit < len(keys)
        return ObjectPage(tuple(self._objects[key][0] for key in page), page[-1] if more else None)

    async def presign(self, key: str, *, expires: float, method: str = "GET") -> str:  # noqa: ARG002 - the contract's shape
        """Refuse: nobody outside this process could follow an address."""
        raise Unprocessable("Objects in memory have no address.", code="not-supported")

    def _find(self, key: str) -> tuple[ObjectInfo, bytes]:
        _check(key)
        found = self._objects.get(key)
        if found is None:
            raise NotFound(f"There is no object {key}.")
        return found

    def _check_room(self, key: str, size: int) -> None:
        if self.room is not None and size + sum(info.size for other, (info, _) in self._objects.items() if other != key) > self.room:
            raise Unavailable("The disk is full or failing; nothing was saved.", code="storage-full", hint="Free some space.", retry_after=30)


def _check(key: str) -> None:
    if len(key) > 512 or not _KEY.fullmatch(key) or {".", ".."} & set(key.split("/")):
        raise InvalidInput("A key is made of segments of A-Z a-z 0-9 . _ - joined by /.", code="bad-key")


async def _pieces(content: AsyncIterator[bytes] | bytes) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    async for chunk in content:
        yield chunk
