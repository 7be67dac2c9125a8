"""A rehearsal: all that waits is run on a copy of the database, which is then compared with what the code declares and thrown away."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Connection, inspect, text

from luminai.contracts.context import Clock
from luminai.contracts.errors import HubError
from luminai.data.backups import check_room, copy_sqlite, sqlite_bytes
from luminai.data.database import HubDatabase, open_database
from luminai.data.drift import differences, shadows
from luminai.data.migrations import MigrationSource, pending, upgrade

SPARE = 2.0
"""Room for a copy, in sizes of the database: a step may write every row once more."""


class Rehearsed(Struct, frozen=True, kw_only=True):
    """A step that ran on the copy.

    Attributes:
        seconds: How long it took here.
        rows_before: Rows in the owner's tables.
        bytes_before: Bytes of the whole database.
        differences: Behind the owner's last step: how its tables differ from what its code declares.
        failure: Why the step was rolled back, "" when it was not.
    """

    owner: str
    step: str
    seconds: float
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    differences: tuple[str, ...] = ()
    failure: str = ""


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What a rehearsal showed.

    Attributes:
        method: How the copy was made: ``backup``, ``template``, ``dump``, or ``empty`` when there was nothing to copy.
        copied_bytes: Bytes of the database that was copied.
        copy_seconds: How long the copy took.
        differences: By owner, for those without a waiting step too; owners without a difference are left out.
    """

    method: str
    copied_bytes: int
    copy_seconds: float
    steps: tuple[Rehearsed, ...]
    differences: dict[str, tuple[str, ...]]

    @property
    def ok(self) -> bool:
        """Whether every step ran and nothing differs."""
        return not self.differences and not any(step.failure for step in self.steps)


SourcesOf = Callable[[HubDatabase], Awaitable[Sequence[MigrationSource]]]


async def rehearse(url: str, *, data_dir: Path, clock: Clock, sources_of: SourcesOf) -> Rehearsal:
    """Run what waits on a copy. The database itself is only read, and may be in use meanwhile.

    Args:
        url: As in the configuration; "" for SQLite in ``data_dir``.
        sources_of: Returns the owners, in order, from the copy.

    Raises:
        HubError: there is no room (code ``no-room``), or the database cannot be copied.
    """
    began = time.perf_counter()
    async with _copy(url, data_dir, clock) as (database, method):
        seconds = round(time.perf_counter() - began, 3)
        size = await database.migrate(_bytes)
        sources = await sources_of(database)
        steps = await _run(database, sources)
        found = {source.owner_id: tuple(await database.migrate(_comparing(source))) for source in sources}
    failed = {step.owner for step in steps if step.failure}
    differing = {owner: lines for owner, lines in found.items() if lines and owner not in failed}
    last = {step.owner: step.step for step in steps}
    marked = [_with(step, differing.get(step.owner, ())) if last[step.owner] == step.step else step for step in steps]
    return Rehearsal(method=method, copied_bytes=size, copy_seconds=seconds, steps=tuple(marked), differences=differing)


async def _run(database: HubDatabase, sources: Sequence[MigrationSource]) -> list[Rehearsed]:
    """Run every owner's steps one by one; a failing step ends its owner's, and the core's ends all."""
    waiting = await pending(database, sources)
    done: list[Rehearsed] = []
    for source in sources:
        for step in waiting.get(source.owner_id, ()):
            done.append(await _step(database, source, step))
            if done[-1].failure:
                break
        if done and done[-1].failure and source.owner_id == "core":
            break
    return done


async def _step(database: HubDatabase, source: MigrationSource, step: str) -> Rehearsed:
    rows, size = await database.migrate(_counting(source)), await database.migrate(_bytes)
    began, failure = time.perf_counter(), ""
    try:
        await upgrade(database, source, to=step)
    except HubError as error:
        failure = error.detail
    seconds = round(time.perf_counter() - began, 4)
    return Rehearsed(
        owner=source.owner_id,
        step=step,
        seconds=seconds,
        rows_before=rows,
        rows_after=await database.migrate(_counting(source)),
        bytes_before=size,
        bytes_after=await database.migrate(_bytes),
        failure=failure,
    )


@asynccontextmanager
async def _copy(url: str, data_dir: Path, clock: Clock) -> AsyncIterator[tuple[HubDatabase, str]]:
    if url:
        from luminai.data.postgres_copy import postgres_copy

        async with postgres_copy(url) as (copy_url, method):
            database = await open_database(copy_url, data_dir=data_dir, clock=clock)
            try:
                yield database, method
            finally:
                await database.close()
        return
    from luminai.data.sqlite import FILE_NAME

    source = data_dir / FILE_NAME
    with tempfile.TemporaryDirectory(prefix=".luminai-rehearsal-", dir=_place(source)) as folder:
        if source.exists():
            await asyncio.to_thread(copy_sqlite, source, Path(folder) / FILE_NAME, spare=SPARE)
        database = await open_database("", data_dir=Path(folder), clock=clock)
        try:
            yield database, "backup" if source.exists() else "empty"
        finally:
            await database.close()


def _place(source: Path) -> Path:
    """Return the folder beside the data folder; the data folder itself where that one cannot be written."""
    beside = source.parent.parent
    beside = beside if os.access(beside, os.W_OK) or not source.exists() else source.parent
    if source.exists():
        check_room(beside, int(sqlite_bytes(source) * SPARE))
    return beside


def _comparing(source: MigrationSource) -> Callable[[Connection], list[str]]:
    def work(connection: Connection) -> list[str]:
        try:
            return differences(connection, source)
        finally:
            connection.rollback()

    return work


def _counting(source: MigrationSource) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        skipped = shadows(connection) | {source.version_table}
        names = [name for name in inspect(connection).get_table_names() if name.startswith(source.table_prefix) and name not in skipped]
        rows: int = sum(connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names)  # noqa: S608 - names of the catalogue
        connection.rollback()
        return rows

    return work


def _bytes(connection: Connection) -> int:
    """Return the bytes that the database takes; on SQLite those of its used pages."""
    if connection.dialect.name == "sqlite":
        pages, free, size = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_count", "freelist_count", "page_size"))
        found = (pages - free) * size
    else:
        found = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    connection.rollback()
    return int(found)


def _with(step: Rehearsed, lines: tuple[str, ...]) -> Rehearsed:
    from msgspec.structs import replace

    return replace(step, differences=lines)
