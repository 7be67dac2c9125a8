"""Reading a backup: everything is decrypted and computed anew, and compared with its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from luminai.contracts.errors import Unprocessable
from luminai.data.backup.archive import ArchiveReader, unreadable
from luminai.data.backup.create import DATABASE, TABLE, Progress
from luminai.data.backup.files import PREFIX, safe_path, take_file
from luminai.data.backup.manifest import MAX_BYTES, NAME, Content, Manifest, StoredFile, differences
from luminai.data.backup.sqlite_content import read_content
from luminai.data.vault.ring import KeyRing


class Unpacked(Struct, frozen=True, kw_only=True):
    """What was found in an archive. ``differences`` are empty when it is as it was made."""

    manifest: Manifest
    differences: tuple[str, ...]


def unpack(file: IO[bytes], ring: KeyRing, passphrase: Callable[[], str], folder: Path, *, keep: bool, progress: Progress) -> Unpacked:
    """Read a whole archive.

    Args:
        folder: An empty one: the database file is unpacked there, and with ``keep`` everything else: ``files/…`` and ``tables/…``.

    Raises:
        HubError: as ``ArchiveReader``.
    """
    reader = ArchiveReader(file, ring, passphrase)
    files: dict[str, StoredFile] = {}
    tables: dict[str, Content] = {}
    manifest: Manifest | None = None
    for name, chunks in reader.entries():
        if manifest is not None:
            raise unreadable()
        if name == NAME:
            manifest = _read_manifest(chunks)
        elif name == DATABASE:
            progress("unpacking the database")
            take_file(chunks, folder / DATABASE)
        elif name.startswith(PREFIX):
            path = safe_path(name.removeprefix(PREFIX))
            files[str(path)] = take_file(chunks, folder / PREFIX / path if keep else None)
        elif name.startswith(TABLE) and "/" not in name.removeprefix(TABLE):
            table = name.removeprefix(TABLE)
            progress(table)
            tables[table] = _read_table(chunks, folder / f"{len(tables)}.copy" if keep else None)
        else:
            raise unreadable()
    if manifest is None or (manifest.engine == "sqlite") != (folder / DATABASE).exists():
        raise unreadable()
    found = msgspec.structs.replace(manifest, files=files, tables=tables)
    if manifest.engine == "sqlite":
        progress("hashing the database")
        content = read_content(folder / DATABASE)
        found = msgspec.structs.replace(
            found, tables=content.tables, schema=content.schema, revisions=content.revisions, master_key=content.master_key
        )
    return Unpacked(manifest=manifest, differences=tuple(differences(manifest, found)))


def table_files(manifest: Manifest) -> list[str]:
    """Return the tables in the order of their unpacked files ``0.copy``, ``1.copy`` …"""
    return list(manifest.tables)


def refuse_different(unpacked: Unpacked) -> None:
    """Raise ``Unprocessable`` (code ``backup-damaged``) when something differs."""
    if unpacked.differences:
        detail = "; ".join(unpacked.differences[:10])
        raise Unprocessable(f"The backup is not as it was made: {detail}.", code="backup-damaged", hint="Use another backup.")


def _read_manifest(chunks: Iterator[bytes]) -> Manifest:
    raw = bytearray()
    for chunk in chunks:
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise unreadable()
    try:
        return msgspec.json.decode(bytes(raw), type=Manifest)
    except msgspec.MsgspecError as error:
        raise unreadable() from error


def _read_table(chunks: Iterator[bytes], target: Path | None) -> Content:
    """Return rows and digest of a table in the text form of COPY: a line end within a value is written as ``\\n``, so lines are rows."""
    digest, rows = sha256(), 0

    def counted() -> Iterator[bytes]:
        nonlocal rows
        for chunk in chunks:
            digest.update(chunk)
            rows += chunk.count(b"\n")
            yield chunk

    take_file(counted(), target)
    return Content(rows, digest.hexdigest())
