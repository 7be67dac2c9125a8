"""The files of the data folder that belong into a backup, and their way back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from luminai.contracts.errors import Unprocessable
from luminai.data.backup.archive import MAX_CHUNK, ArchiveWriter
from luminai.data.backup.manifest import StoredFile
from luminai.data.vault.ring import FILE_NAME as MASTER_KEY
from luminai.data.vault.tombstones import FILE_NAME as TOMBSTONES

PLUGINS: Final = "plugins"
KEYS: Final = "keys"
FOLDERS: Final = (PLUGINS, "audit", KEYS)
PREFIX: Final = "files/"


def find_files(data_dir: Path, *, with_keys: bool) -> Iterator[Path]:
    """Yield the files of plugins, of the audit log, and other keys than the master key (that one only with ``with_keys``); links are left out."""
    for folder in FOLDERS:
        for here, folders, names in os.walk(data_dir / folder):
            folders.sort()
            for name in sorted(names):
                path = Path(here, name)
                is_left_out = Path(here) == data_dir / KEYS and (name == TOMBSTONES or name.startswith(".") or (name == MASTER_KEY and not with_keys))
                if not is_left_out and stat.S_ISREG(path.lstat().st_mode):
                    yield path


def put_file(archive: ArchiveWriter, path: Path, name: str) -> StoredFile | None:
    """Write a file as an entry, as it is read; None when it is gone meanwhile."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    digest, size = sha256(), 0
    archive.begin(name)
    with os.fdopen(handle, "rb") as file:
        while chunk := file.read(MAX_CHUNK):
            archive.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    archive.end()
    return StoredFile(size, digest.hexdigest())


def take_file(chunks: Iterator[bytes], target: Path | None) -> StoredFile:
    """Read an entry, into a new file of mode 0600 when ``target`` is given."""
    digest, size = sha256(), 0
    if target is None:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        return StoredFile(size, digest.hexdigest())
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return StoredFile(size, digest.hexdigest())


def safe_path(name: str) -> PurePosixPath:
    """Return an entry's path below the data folder.

    Raises:
        Unprocessable: it leads elsewhere (code ``backup-unreadable``).
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or len(path.parts) < 2 or path.parts[0] not in FOLDERS or str(path) != name:
        raise Unprocessable("The backup names a file outside of the data folder.", code="backup-unreadable", hint="Use another backup.")
    return path
