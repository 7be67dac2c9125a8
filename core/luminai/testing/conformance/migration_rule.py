"""The silver rule about migrations: each is interrupted at its statements, and goes on from where the last whole step ended."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Engine

from luminai.contracts.errors import HubError
from luminai.data.database import HubDatabase, open_database
from luminai.data.drift import differences
from luminai.data.migrations import MigrationSource, current, pending, upgrade
from luminai.data.namespace import Thing, things
from luminai.host.sources import source_of
from luminai.telemetry.clock import SystemClock
from luminai.testing.conformance.rules import RuleBroken
from luminai.testing.conformance.subject import Subject

MOST_POINTS: Final = 40


class _Interrupted(Exception):
    """The power went out here."""


class _Statements:
    """Counts the statements of a migration and stops it at one of them."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0
        self.changing: list[int] = []
        """Numbers of those that change something."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count in the block."""
        lock = threading.Lock()

        def before(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            with lock:
                self.count += 1
                if statement.lstrip()[:6].upper() not in ("SELECT", "PRAGMA"):
                    self.changing.append(self.count)
                if self.count == self.at:
                    raise _Interrupted

        event.listen(Engine, "before_cursor_execute", before)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", before)


def migrations_resume(subject: Subject) -> str:
    """S04."""
    if not subject.manifest.tables:
        return "It owns no tables."
    source = source_of(subject.plugin, subject.hooks.call("models"))
    with subject.folder() as folder:
        return subject.run(_check(source, folder))


async def _check(source: MigrationSource, folder: Path) -> str:
    at_step = await _each_step(source, folder / "steps")
    statements = _Statements()
    async with _database(folder / "whole") as database:
        with statements.watching():
            await upgrade(database, source)
        await _is_whole(database, source, at_step, "run at once")
        await upgrade(database, source)
        await _is_whole(database, source, at_step, "run twice")
    points = statements.changing[:: max(1, -(-len(statements.changing) // MOST_POINTS))]
    for point in points:
        async with _database(folder / f"at-{point}") as database:
            with _Statements(point).watching():
                try:
                    await upgrade(database, source)
                except (HubError, _Interrupted):
                    pass
                else:
                    raise RuleBroken(f"statement {point}: an interruption was swallowed")
            where = f"interrupted at statement {point} of {statements.count}"
            reached = (await current(database, [source]))[source.owner_id]
            if await _catalogue(database, source) != at_step[reached]:
                raise RuleBroken(f"{where}: what is there is not what step {reached or 'none'} leaves; a part of a step stayed")
            try:
                await upgrade(database, source)
            except HubError as error:
                raise RuleBroken(f"{where}, it cannot go on: {error.detail}") from error
            await _is_whole(database, source, at_step, where)
    return f"{len(source.revisions())} steps, interrupted at {len(points)} of {len(statements.changing)} statements that change something"


async def _each_step(source: MigrationSource, folder: Path) -> dict[str, frozenset[Thing]]:
    """Return what is in the database behind each step, "" for before the first."""
    async with _database(folder) as database:
        found = {"": await _catalogue(database, source)}
        for revision in source.revisions():
            await upgrade(database, source, to=revision)
            found[revision] = await _catalogue(database, source)
        return found


async def _is_whole(database: HubDatabase, source: MigrationSource, at_step: dict[str, frozenset[Thing]], how: str) -> None:
    if await pending(database, [source]):
        raise RuleBroken(f"{how}: steps are still waiting")
    if await _catalogue(database, source) != at_step[source.revisions()[-1]]:
        raise RuleBroken(f"{how}: the tables are not those of a clean run")
    if found := await database.migrate(lambda connection: _rolled_back(connection, differences(connection, source))):
        raise RuleBroken(f"{how}: tables and models differ: {'; '.join(found)}")


async def _catalogue(database: HubDatabase, source: MigrationSource) -> frozenset[Thing]:
    """Return the plugin's objects; the version table, which Alembic makes before the first step, is none of a step's."""
    found = await database.migrate(lambda connection: _rolled_back(connection, things(connection, source.table_prefix)))
    return frozenset(one for one in found if source.version_table not in one.name)


def _rolled_back(connection: Any, answer: Any) -> Any:
    connection.rollback()
    return answer


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[HubDatabase]:
    database = await open_database("", data_dir=folder, clock=SystemClock())
    try:
        yield database
    finally:
        await database.close()
