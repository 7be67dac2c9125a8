"""The storage backend ``local``."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import IO, Any, Final

from luminai import Clock, Conflict, InvalidInput, ObjectInfo, ObjectPage, StorageCapabilities, TooLarge, Unavailable, Unprocessable
from luminai_storage_local.files import Folder
from luminai_storage_local.keys import check_key

CHUNK: Final = 256 * 1024
MAX_PAGE: Final = 1000
MAX_META: Final = 16
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalStorage:
    """Implements ``StorageBackend`` over a folder.

    Args:
        run_sync: Runs a blocking function in a thread.
    """

    name = "local"

    def __init__(self, folder: Folder, *, clock: Clock, max_bytes: int, run_sync: Callable[..., Awaitable[Any]]) -> None:
        self._folder = folder
        self._clock = clock
        self._max_bytes = max_bytes
        self._run_sync = run_sync

    def capabilities(self) -> StorageCapabilities:
        """Return what it can do."""
        return StorageCapabilities(presign=False, range_read=True, max_bytes=self._max_bytes)

    async def put(
        self,
        key: str,
        content: AsyncIterator[bytes] | bytes,
        *,
        content_type: str = "application/octet-stream",
        meta: dict[str, str] | None = None,
        sha256: str | None = None,
    ) -> ObjectInfo:
        """Store an object whole or not at all. One that is cancelled in the moment of its rename may be whole."""
        check_key(key)
        _check_labels(content_type, meta or {})
        abandoned = threading.Event()

        def discard(made: tuple[str, IO[bytes]]) -> None:
            made[1].close()
            self._folder.discard(made[0], key)

        try:
            blob, file = await self._run(self._folder.new_blob, undo=discard)
            with file:
                try:
                    size, digest = await self._fill(file, content)
                    if sha256 is not None and sha256.lower() != digest:
                        raise Conflict("The content has another digest than announced.", code="digest-mismatch", hint="Send it again.")
                    info = ObjectInfo(
                        key=key, size=size, sha256=digest, content_type=content_type, modified_at=self._clock.now(), meta=dict(meta or {})
                    )
                    await self._run(self._folder.commit, blob, file, info, abandoned, abandon=abandoned)
                except BaseException:
                    await self._run(self._folder.discard, blob, key)
                    raise
        except OSError as error:
            raise _storage_error(error) from error
        return info

    async def open(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``."""
        check_key(key)
        if start < 0 or (end is not None and end < start):
            raise InvalidInput("That is no range.", code="storage-local.bad-range", hint="0 <= start <= end.")
        try:
            entry, file = await self._run(self._folder.open, key, undo=lambda opened: opened[1].close())
            with file:
                left = min(entry.info.size, end if end is not None else entry.info.size) - start
                file.seek(start)
                while left > 0 and (chunk := await self._run(file.read, min(CHUNK, left))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise _storage_error(error) from error

    async def stat(self, key: str) -> ObjectInfo:
        """Return what is known of an object."""
        info: ObjectInfo = (await self._guarded(self._folder.find, key)).info
        return info

    async def delete(self, key: str) -> None:
        """Remove an object; removing it twice is the same."""
        await self._guarded(self._folder.delete, key)

    async def list(self, prefix: str = "", *, cursor: str | None = None, limit: int = 100) -> ObjectPage:
        """Return a page of objects by key."""
        limit = max(1, min(limit, MAX_PAGE))
        found = await self._guarded(self._folder.page, prefix, cursor, limit + 1)
        return ObjectPage(tuple(found[:limit]), found[limit - 1].key if len(found) > limit else None)

    async def presign(self, key: str, *, expires: float, method: str = "GET") -> str:  # noqa: ARG002 - the contract's shape
        """Refuse: files of this machine have no address of their own."""
        raise Unprocessable("Local storage cannot sign addresses.", code="not-supported", hint="Serve the object through a route.")

    async def _fill(self, file: IO[bytes], content: AsyncIterator[bytes] | bytes) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()

        def add(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        async for chunk in _chunks(content):
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLarge(f"An object has at most {self._max_bytes} bytes.", code="storage-local.too-large")
            await self._run(add, chunk)
        return size, digest.hexdigest()

    async def _guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._run(function, *args)
        except OSError as error:
            raise _storage_error(error) from error

    async def _run(
        self,
        function: Callable[..., Any],
        *args: Any,
        abandon: threading.Event | None = None,
        undo: Callable[[Any], object] | None = None,
    ) -> Any:
        """Run in a thread. A cancelled caller waits for the thread, since a file must not be closed or removed under it.

        Args:
            abandon: Set at once when the caller is cancelled.
            undo: Called with the result that a cancelled caller does not get.
        """
        task = asyncio.ensure_future(self._run_sync(function, *args))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if abandon is not None:
                abandon.set()
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((task,))
            if undo is not None and not task.cancelled() and task.exception() is None:
                undo(task.result())
            raise


def _check_labels(content_type: str, meta: dict[str, str]) -> None:
    if not content_type.isascii() or not content_type.isprintable() or len(content_type) > 200:
        raise InvalidInput("That is no content type.", code="storage-local.bad-meta", hint="At most 200 printable ASCII characters.")
    if len(meta) > MAX_META or any(len(part) > 500 for pair in meta.items() for part in pair):
        raise InvalidInput("Too much metadata.", code="storage-local.bad-meta", hint=f"At most {MAX_META} pairs of 500 characters.")


async def _chunks(content: AsyncIterator[bytes] | bytes) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        for start in range(0, len(content), CHUNK):
            yield content[start : start + CHUNK]
    else:
        async for chunk in content:
            yield chunk


def _storage_error(error: OSError) -> Unavailable:
    if error.errno in _FULL:
        return Unavailable("The disk is full; nothing was stored.", code="storage-full", hint="Free some space.", retry_after=60)
    return Unavailable(f"The storage folder cannot be used ({error.strerror}).", code="storage-local.unreachable", retry_after=10)
