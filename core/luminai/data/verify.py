"""Whether the database is as the code expects it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct
from sqlalchemy import Connection, inspect, text

from luminai.data.database import HubDatabase
from luminai.data.drift import differences, shadows
from luminai.data.migrations import MigrationSource, current

T = TypeVar("T")
AHEAD: Final = "database-ahead"
_MAX_DAMAGE: Final = 20


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be. ``owner`` is ``core``, a plugin's id, or "" for the whole database."""

    owner: str
    code: str
    detail: str
    hint: str = ""


async def verify(database: HubDatabase, sources: Sequence[MigrationSource], *, idle: Sequence[MigrationSource] = ()) -> list[Finding]:
    """Return everything that is wrong.

    Args:
        sources: Owners that are on: their tables must be there and up to date.
        idle: Owners that are installed and off: what they have must be sound, but may wait for steps.
    """
    have = await current(database, [*sources, *idle])
    found: list[Finding] = []
    for source in [*sources, *idle]:
        version, revisions = have[source.owner_id], source.revisions()
        if version and version not in revisions:
            found.append(ahead(source, version))
        elif revisions and version != revisions[-1]:
            if source in sources:
                rest = ", ".join(revision for revision in revisions if revision > version)
                found.append(Finding(owner=source.owner_id, code="steps-waiting", detail=f"steps {rest} wait", hint="Run `luminai db upgrade`."))
        else:
            lines = await database.migrate(_apart(partial(differences, source=source)))
            hint = "Restore a backup, or correct the tables by hand so that they are as its migrations make them."
            found += [Finding(owner=source.owner_id, code="schema-differs", detail=line, hint=hint) for line in lines]
    owners = [*sources, *idle]
    return found + await database.migrate(_apart(lambda connection: [*_strays(connection, owners), *_crossing(connection), *_damage(connection)]))


def ahead(source: MigrationSource, version: str) -> Finding:
    """Return the finding of an owner whose tables are newer than its code."""
    detail = f"its tables have revision {version}, which its code does not know"
    return Finding(
        owner=source.owner_id, code=AHEAD, detail=detail, hint=f"Install the version of {source.owner_id} that wrote them, or a newer one."
    )


def owner_of(table: str) -> str:
    """Return the id of the plugin whose prefix a table carries, "" when it carries none."""
    prefix, separator, _ = table.partition("__")
    return prefix.replace("_", "-") if separator else ""


def _strays(connection: Connection, owners: Iterable[MigrationSource]) -> Iterator[Finding]:
    known = {source.owner_id for source in owners}
    skipped = shadows(connection) | _of_extensions(connection)
    for table in sorted(inspect(connection).get_table_names()):
        owner = owner_of(table)
        if owner in known or table in skipped:
            continue
        hint = f"Install luminai-{owner} again, or remove what it left: `luminai plugins purge {owner}`." if owner else "Move it to another database."
        yield Finding(owner=owner, code="no-owner", detail=f"table {table} belongs to no installed plugin", hint=hint)


def _crossing(connection: Connection) -> Iterator[Finding]:
    catalogue = inspect(connection)
    for table in sorted(set(catalogue.get_table_names()) - shadows(connection)):
        for key in catalogue.get_foreign_keys(table):
            if owner_of(key["referred_table"]) != owner_of(table):
                detail = f"table {table} has a foreign key to {key['referred_table']}, which is not its owner's"
                yield Finding(owner=owner_of(table), code="foreign-key-crosses", detail=detail, hint="Refer to others softly, by id.")


def _damage(connection: Connection) -> Iterator[Finding]:
    """Yield what SQLite's own checks find; PostgreSQL has none that is always there."""
    if connection.dialect.name != "sqlite":
        return
    hint = "Restore a backup of the data folder."
    for row in connection.execute(text(f"PRAGMA integrity_check({_MAX_DAMAGE})")):
        if row[0] != "ok":
            yield Finding(owner="", code="database-damaged", detail=str(row[0]), hint=hint)
    for number, row in enumerate(connection.execute(text("PRAGMA foreign_key_check"))):
        if number < _MAX_DAMAGE:
            detail = f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there"
            yield Finding(owner=owner_of(row[0]), code="reference-broken", detail=detail, hint=hint)


def _of_extensions(connection: Connection) -> set[str]:
    if connection.dialect.name != "postgresql":
        return set()
    query = "SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass"
    return set(connection.execute(text(query)).scalars())


def _apart(work: Callable[[Connection], list[T]]) -> Callable[[Connection], list[T]]:
    """Run ``work`` in a transaction that is rolled back."""

    def run(connection: Connection) -> list[T]:
        try:
            return work(connection)
        finally:
            connection.rollback()

    return run
