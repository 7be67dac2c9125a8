"""The blocking half: files, folders, renames. Every function here runs in a thread.

``index/<key>~`` is a small JSON file that names a blob, ``blobs/<hex>`` holds the bytes. A put writes a new blob, then replaces the index
entry by one rename: readers see the whole old or the whole new object. Folders are opened one below the other by descriptor, and no link is followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from luminai import NotFound, ObjectInfo, Unavailable
from luminai_storage_local.keys import check_key, check_prefix, key_part, place

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOB: Final = re.compile(r"[0-9a-f]{32}")
_AGAIN: Final = 5


class Entry(Struct, frozen=True):
    """What the index keeps of an object."""

    blob: str
    info: ObjectInfo


class Abandoned(Exception):
    """The put was cancelled before its entry was replaced."""


class Folder:
    """The folder that holds everything."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._changing = threading.Lock()

    def prepare(self) -> int:
        """Make the folders and sweep what crashed puts left; return how many files that were.

        A put that runs, here or in another process, holds a lock on its blob and is left alone.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        with self._folder("index", create=True), self._folder("blobs", create=True) as blobs:
            named = {entry.blob for _, entry in self._walk()}
            held: dict[str, int] = {}
            try:
                for name in os.listdir(blobs):  # noqa: PTH208 - of an open folder, not of a path
                    if name not in named and (descriptor := _lock(name, blobs)) is not None:
                        held[name] = descriptor
                if held:  # one that was committed since the first look is named by now, and nothing held can be committed any more
                    named = {entry.blob for _, entry in self._walk()}
                leftovers = [name for name in held if name not in named]
                for name in leftovers:
                    os.unlink(name, dir_fd=blobs)
            finally:
                for descriptor in held.values():
                    os.close(descriptor)
        return len(leftovers)

    def new_blob(self) -> tuple[str, IO[bytes]]:
        """Open a new blob for writing; it is locked against sweeping while it is open."""
        with self._folder("blobs") as blobs:
            while True:
                name = uuid4().hex
                file = os.fdopen(os.open(name, _NEW, 0o600, dir_fd=blobs), "wb")
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink:
                    return name, file
                file.close()  # swept between its creation and its lock

    def discard(self, blob: str, key: str) -> None:
        """Remove the blob of a put that failed, unless its entry stands already."""
        with suppress(NotFound):
            if self.find(key).blob == blob:
                return
        self._drop(blob)

    def commit(self, blob: str, file: IO[bytes], info: ObjectInfo, abandoned: threading.Event) -> None:
        """Make ``blob`` the content of its key, durably; the old content goes.

        Raises:
            Abandoned: ``abandoned`` was set before the entry was replaced; nothing changed.
        """
        file.flush()
        os.fsync(file.fileno())
        temporary = f"{blob}.entry"
        folders, name = place(info.key)
        with self._folder("blobs") as blobs:
            try:
                with os.fdopen(os.open(temporary, _NEW, 0o600, dir_fd=blobs), "wb") as entry:
                    fcntl.flock(entry, fcntl.LOCK_EX)
                    entry.write(msgspec.json.encode(Entry(blob, info)))
                    entry.flush()
                    os.fsync(entry.fileno())
                    os.fsync(blobs)
                    with self._changing:
                        before = self._replace(temporary, blobs, folders, name, abandoned)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=blobs)
                raise
        if before is not None:
            self._drop(before.blob)

    def find(self, key: str) -> Entry:
        """Return the entry of a key.

        Raises:
            NotFound: there is no such object.
        """
        folders, name = place(check_key(key))
        with suppress(FileNotFoundError), self._folder("index", *folders) as folder:
            entry = _entry(name, folder)
            if entry is not None:
                return entry
        raise NotFound(f"There is no object {key[:80]!r}.", code="storage-local.no-object")

    def open(self, key: str) -> tuple[Entry, IO[bytes]]:
        """Open an object; one that is replaced in this moment is opened anew."""
        for _ in range(_AGAIN):
            entry = self.find(key)
            with suppress(FileNotFoundError), self._folder("blobs") as blobs:
                return entry, os.fdopen(os.open(entry.blob, _READ, dir_fd=blobs), "rb")
        raise _damaged(f"The content of {key[:80]!r} is missing.", "Restore it from a backup.")

    def delete(self, key: str) -> None:
        """Remove an object, if it is there, and folders that became empty."""
        folders, name = place(check_key(key))
        with self._changing:
            try:
                with self._folder("index", *folders) as folder:
                    entry = _entry(name, folder)
                    if entry is None:
                        return
                    os.unlink(name, dir_fd=folder)
                    os.fsync(folder)
            except FileNotFoundError:
                return
            self._drop(entry.blob)
            while folders:
                *folders, last = folders
                try:
                    with self._folder("index", *folders) as folder:
                        os.rmdir(last, dir_fd=folder)
                except OSError:  # not empty
                    return

    def page(self, prefix: str, cursor: str | None, limit: int) -> list[ObjectInfo]:
        """Return up to ``limit`` objects by key, behind ``cursor``."""
        found: list[ObjectInfo] = []
        for _, entry in self._walk(check_prefix(prefix), cursor or ""):
            found.append(entry.info)
            if len(found) >= limit:
                break
        return found

    def _drop(self, blob: str) -> None:
        with suppress(FileNotFoundError), self._folder("blobs") as blobs:
            os.unlink(blob, dir_fd=blobs)

    def _replace(self, temporary: str, blobs: int, folders: Sequence[str], name: str, abandoned: threading.Event) -> Entry | None:
        """Rename the entry into its place and return the one that was there."""
        for left in reversed(range(_AGAIN)):
            try:
                with self._folder("index", *folders, create=True) as folder:
                    before = _entry(name, folder)
                    if abandoned.is_set():
                        raise Abandoned
                    os.rename(temporary, name, src_dir_fd=blobs, dst_dir_fd=folder)
                    os.fsync(folder)
                    return before
            except FileNotFoundError:  # another hub on this folder removed the empty folder in between
                if not left:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _folder(self, *names: str, create: bool = False) -> Iterator[int]:
        """Open a folder below the root for the length of a block.

        Raises:
            FileNotFoundError: it is not there and ``create`` is False.
            Unavailable: a link or a file stands where a folder belongs.
        """
        descriptor = os.open(self._root, _FOLDER)
        try:
            for name in names:
                try:
                    deeper = _deeper(name, descriptor, create=create)
                except OSError as error:
                    if error.errno in (errno.ENOTDIR, errno.ELOOP):
                        raise _damaged("The storage folder holds a link or file where a folder belongs.", "Take it out.") from error
                    raise
                os.close(descriptor)
                descriptor = deeper
            yield descriptor
        finally:
            os.close(descriptor)

    def _walk(self, prefix: str = "", after: str = "", folders: tuple[str, ...] = (), above: str = "") -> Iterator[tuple[str, Entry]]:
        """Yield entries in the order of their keys; folders that hold no key with the prefix behind ``after`` are not read."""
        try:
            with self._folder("index", *folders) as folder, os.scandir(folder) as entries:
                kinds = [(item.name, item.is_dir(follow_symlinks=False)) for item in entries if not item.is_symlink()]
        except FileNotFoundError:  # removed since
            return
        for key, name, is_folder in sorted((above + key_part(name, folder=is_folder), name, is_folder) for name, is_folder in kinds):
            if is_folder:
                fits = key.startswith(prefix) or prefix.startswith(key)
                if fits and (key > after or after.startswith(key)):
                    yield from self._walk(prefix, after, (*folders, name), key)
            elif name.endswith("~") and key.startswith(prefix) and key > after:
                with suppress(FileNotFoundError), self._folder("index", *folders) as folder:
                    entry = _entry(name, folder)
                    if entry is not None:
                        yield key, entry


def _deeper(name: str, folder: int, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            os.fsync(folder)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)


def _entry(name: str, folder: int) -> Entry | None:
    """Return the entry ``name`` in an open folder, None when there is none."""
    try:
        with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as file:
            entry = msgspec.json.decode(file.read(), type=Entry)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise _damaged("An entry of the storage folder cannot be read.", "Restore the folder from a backup.") from error
    if not _BLOB.fullmatch(entry.blob):
        raise _damaged("An entry of the storage folder names no blob.", "Restore the folder from a backup.")
    return entry


def _lock(name: str, folder: int) -> int | None:
    """Return a descriptor that holds the file's lock, None when a running put has it or the file is gone."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _damaged(detail: str, hint: str) -> Unavailable:
    return Unavailable(detail, code="storage-local.damaged", hint=hint)
