"""Restoring into an empty place, with proof that everything is back, and without those who were erased since."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, HubError, Unprocessable
from luminai.data.backup.archive import MAX_CHUNK
from luminai.data.backup.create import DATABASE, Progress, Source
from luminai.data.backup.files import PLUGINS, PREFIX
from luminai.data.backup.manifest import Content, Manifest
from luminai.data.backup.postgres_content import PostgresTables, postgres_tables
from luminai.data.backup.sqlite_content import read_content
from luminai.data.backup.unpack import refuse_different, table_files, unpack
from luminai.data.backups import check_room
from luminai.data.database import open_database
from luminai.data.migrations import MigrationSource, upgrade
from luminai.data.sqlite import FILE_NAME
from luminai.data.vault.ring import KeyRing
from luminai.data.vault.tombstones import replay


class Restored(Struct, frozen=True, kw_only=True):
    """What is back. ``kept``: files that were there already and were left as they are. ``destroyed``: data keys that tombstones destroyed again."""

    tables: int
    rows: int
    files: int
    kept: tuple[str, ...]
    destroyed: int
    master_key: str


class After(Struct, frozen=True):
    """What happens in the restored database before anybody uses it.

    Attributes:
        told: Ids of destroyed data keys: the backup may be older than they.
        record: Writes into the audit log that a restore was made.
    """

    told: Mapping[str, str]
    record: Callable[[Session], None]

    def __call__(self, session: Session, tables: Collection[str], clock: Clock) -> int:
        """Do it, and return how many data keys were destroyed again."""
        self.record(session)
        return replay(session, self.told, clock.now()) if self.told and "core__subject_keys" in tables else 0


class Opening(Struct, frozen=True):
    """What a backup is opened with."""

    ring: KeyRing
    passphrase: Callable[[], str]


def restore(
    file: IO[bytes], into: Source, opening: Opening, *, owners: Sequence[MigrationSource], after: After, clock: Clock, progress: Progress
) -> Restored:
    """Bring a backup back. Nothing is put in place before all of it was checked; rows of PostgreSQL come in one transaction.

    Args:
        owners: Who makes tables, each behind those that it requires (PostgreSQL).
        after: Done when everything was compared.

    Raises:
        Conflict: there is a database already (code ``not-empty``).
        Unprocessable: the backup is damaged, of the other engine, or of an owner that is not installed.
        Unavailable: no room (code ``no-room``).
    """
    into.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (into.data_dir / FILE_NAME).exists() or any((into.data_dir / PLUGINS).rglob("*")):
        raise _not_empty(f"the data folder {into.data_dir.name} holds a hub's data")
    check_room(into.data_dir, 0)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=into.data_dir) as name:
        folder = Path(name)
        done = unpack(file, opening.ring, opening.passphrase, folder, keep=True, progress=progress)
        refuse_different(done)
        manifest = done.manifest
        if (manifest.engine == "postgresql") != bool(into.url):
            hint = "Set database.url." if manifest.engine == "postgresql" else "Leave database.url empty."
            raise Unprocessable(f"The backup is of {manifest.engine}, the configuration names the other one.", code="other-engine", hint=hint)
        if into.url:
            destroyed = asyncio.run(_into_postgres(into, manifest, folder, owners, after, clock, progress))
            kept = _put_files(folder / PREFIX, into.data_dir)
        else:
            destroyed = asyncio.run(_finish_file(folder, manifest, after, clock))
            kept = _put_files(folder / PREFIX, into.data_dir)
            (folder / FILE_NAME).replace(into.data_dir / FILE_NAME)  # last: from here on it is a hub's folder
    rows = sum(table.rows for table in manifest.tables.values())
    files = len(manifest.files) - len(kept)
    return Restored(tables=len(manifest.tables), rows=rows, files=files, kept=tuple(kept), destroyed=destroyed, master_key=manifest.master_key)


async def _finish_file(folder: Path, manifest: Manifest, after: After, clock: Clock) -> int:
    """Do what comes after, in a database of its own folder; it is hashed once more before that, as it will be used."""
    (folder / DATABASE).rename(folder / FILE_NAME)
    if read_content(folder / FILE_NAME).tables != manifest.tables:
        raise Unprocessable("What was unpacked is not what was backed up.", code="backup-damaged", hint="Look at the disk and try again.")
    database = await open_database("", data_dir=folder, clock=clock)
    try:
        return await database.write(lambda session: after(session, manifest.tables, clock), timeout=600)
    finally:
        await database.close()


async def _into_postgres(
    into: Source, manifest: Manifest, folder: Path, owners: Sequence[MigrationSource], after: After, clock: Clock, progress: Progress
) -> int:
    async with postgres_tables(into.url, read_only=True) as before:
        if before.found:
            raise _not_empty(f"the database has {len(before.found)} tables")
    by_prefix = {owner.table_prefix: owner for owner in owners}
    unknown = [
        prefix for prefix, revision in manifest.revisions.items() if prefix not in by_prefix or revision not in ("", *by_prefix[prefix].revisions())
    ]
    if unknown:
        names = ", ".join(prefix.removesuffix("__").replace("_", "-") for prefix in unknown)
        raise Unprocessable(
            f"The tables of {names} cannot be made.", code="owner-missing", hint="Install what the backup's hub had, in its version or newer."
        )
    database = await open_database(into.url, data_dir=into.data_dir, clock=clock)
    try:
        for owner in owners:
            if revision := manifest.revisions.get(owner.table_prefix):
                progress(f"making the tables of {owner.owner_id}")
                await upgrade(database, owner, to=revision)
        async with postgres_tables(into.url, read_only=False) as tables:
            await _fill(tables, manifest, folder, progress)
        return await database.write(lambda session: after(session, manifest.tables, clock), timeout=600)
    finally:
        await database.close()


async def _fill(tables: PostgresTables, manifest: Manifest, folder: Path, progress: Progress) -> None:
    """Put every row in place and compare each table with its hash; the transaction ends with that or leaves the tables empty."""
    if tables.found.keys() != manifest.tables.keys():
        names = ", ".join(sorted(tables.found.keys() ^ manifest.tables.keys()))
        raise Unprocessable(
            f"The migrations do not make the tables of the backup: {names}.", code="owner-missing", hint="Install the versions of its hub."
        )
    await tables.empty()
    place = {name: folder / f"{number}.copy" for number, name in enumerate(table_files(manifest))}
    for name in tables.in_order():
        progress(name)
        await tables.copy_in(name, _chunks(place[name]))
    await tables.mend_sequences()
    for name, expected in manifest.tables.items():
        found: Content = await tables.copy_out(name, lambda _: None)
        if found != expected:
            raise HubError(
                f"Table {name} came back otherwise than it was.",
                code="restore-differs",
                hint="The tables are empty. Is it another PostgreSQL? Drop them and try again.",
            )


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(MAX_CHUNK):
            yield chunk


def _put_files(unpacked: Path, data_dir: Path) -> list[str]:
    """Move files to their places and return those that were there already, which are left alone (a key that was put there first)."""
    kept = []
    for path in sorted(unpacked.rglob("*")) if unpacked.exists() else ():
        if path.is_file():
            name = path.relative_to(unpacked)
            target = data_dir / name
            if target.exists():
                kept.append(name.as_posix())
                continue
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.replace(target)
    return kept


def _not_empty(why: str) -> Conflict:
    hint = "Restore into an empty data folder (LUMINAI_DATA=…) or database; move what is there aside yourself. A folder keys/ may stand there."
    return Conflict(f"A backup is restored only where nothing is: {why}.", code="not-empty", hint=hint)
