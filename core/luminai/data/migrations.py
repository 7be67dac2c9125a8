"""Migrations: every owner has versions and a version table of its own; one transaction a step, on both engines.

A version file is ``NNNN_slug.py`` with ``revision = "NNNN"``; history is linear. So what is pending can be told from file names and one query,
without importing Alembic (which takes a quarter of a second) or any version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from sqlalchemy import Connection, inspect, text
from sqlalchemy.orm import Session

from luminai.contracts.errors import HubError
from luminai.data import (  # noqa: F401 - they enter core_metadata
    tables_audit,
    tables_edge,
    tables_endpoints,
    tables_events,
    tables_jobs,
    tables_mail,
    tables_organisations,
    tables_people,
    tables_privacy,
    tables_schedules,
    tables_vault,
    tables_webhooks,
)
from luminai.data.database import HubDatabase
from luminai.data.tables import core_metadata

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import MetaData

_FILE: Final = re.compile(r"^(\d{4})_[a-z0-9_]+\.py\Z")
_ENVIRONMENT: Final = Path(__file__).parent / "alembic_env"
_LOCK: Final = 0x6C756D696E6169  # any number that only this hub locks


class MigrationFailed(HubError):
    """A step failed and was rolled back whole; what was applied before it stays."""

    status, default_code, title = 500, "migration-failed", "Migration failed"


class MigrationSource(Struct, frozen=True, kw_only=True):
    """Where an owner's migrations lie. ``table_prefix`` ends in two underscores."""

    owner_id: str
    table_prefix: str
    versions_dir: Path
    metadata: MetaData | None = None

    @property
    def version_table(self) -> str:
        """The owner's own version table."""
        return f"{self.table_prefix}alembic_version"

    def revisions(self) -> list[str]:
        """Return all revisions in order, from the names of the version files."""
        return list(self.files())

    def files(self) -> dict[str, Path]:
        """Return the version files by revision, in order."""
        found = {match[1]: path for path in self.versions_dir.iterdir() if (match := _FILE.match(path.name))}
        return dict(sorted(found.items()))


def core_source() -> MigrationSource:
    """Return the core's own migrations."""
    versions = Path(__file__).parent / "versions"
    return MigrationSource(owner_id="core", table_prefix="core__", versions_dir=versions, metadata=core_metadata)


async def current(database: HubDatabase, sources: Sequence[MigrationSource]) -> dict[str, str]:
    """Return the revision that each owner's tables have, "" for none."""

    def unit(session: Session) -> dict[str, str]:
        present = set(inspect(session.connection()).get_table_names())
        tables = [source for source in sources if source.version_table in present]
        if not tables:
            return {}
        parts = (f"SELECT '{source.owner_id}' AS owner, version_num FROM {source.version_table}" for source in tables)  # noqa: S608 - ids match a pattern
        return {row.owner: row.version_num for row in session.execute(text(" UNION ALL ".join(parts)))}

    found = await database.read(unit)
    return {source.owner_id: found.get(source.owner_id, "") for source in sources}


async def pending(database: HubDatabase, sources: Sequence[MigrationSource]) -> dict[str, list[str]]:
    """Return the revisions that each owner still has to apply; owners with none are left out.

    Raises:
        MigrationFailed: the database is ahead of the code (code ``database-ahead``).
    """
    have = await current(database, sources)
    waiting: dict[str, list[str]] = {}
    for source in sources:
        revisions, version = source.revisions(), have[source.owner_id]
        if version and version not in revisions:
            raise _ahead(source, version)
        rest = [revision for revision in revisions if revision > version]
        if rest:
            waiting[source.owner_id] = rest
    return waiting


async def upgrade(database: HubDatabase, source: MigrationSource, *, to: str = "head") -> None:
    """Apply what is pending of one owner, up to the revision ``to``.

    Raises:
        MigrationFailed: names owner, step and cause; the step left nothing behind.
    """
    await database.migrate(lambda connection: _upgrade(connection, source, to))


def config_of(source: MigrationSource) -> Config:
    """Return Alembic's configuration for an owner."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_ENVIRONMENT))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(source.versions_dir).replace("%", "%%"))
    return config


def _upgrade(connection: Connection, source: MigrationSource, to: str) -> None:
    from alembic import command

    config = config_of(source)
    tables = set(inspect(connection).get_table_names())
    steps = _Steps(source, tables)
    if source.version_table in tables:
        steps.last = connection.execute(text(f"SELECT version_num FROM {source.version_table}")).scalar() or ""  # noqa: S608 - as in `current`
    connection.rollback()
    config.attributes.update(connection=connection, metadata=source.metadata, version_table=source.version_table, on_version_apply=steps.applied)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": _LOCK})
        connection.commit()
    try:
        command.upgrade(config, to)
    except MigrationFailed:
        raise
    except Exception as error:
        waiting = [revision for revision in source.revisions() if revision > steps.last]
        step = waiting[0] if waiting else "?"
        cause = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        hint = "Nothing of this step was kept; the owner's data is as before."
        raise MigrationFailed(f"step {step} of {source.owner_id} failed: {cause}", hint=hint, plugin=source.owner_id) from error
    finally:
        connection.rollback()
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": _LOCK})
            connection.commit()


class _Steps:
    """Watches each step: its last revision, and that it touched no table outside the owner's prefix."""

    def __init__(self, source: MigrationSource, tables: set[str]) -> None:
        self._source = source
        self._foreign = {table for table in tables if not table.startswith(source.table_prefix)}
        self.last = ""

    def applied(self, *, ctx: Any, step: Any, **_: Any) -> None:
        """Called by Alembic behind each step, inside its transaction."""
        prefix = self._source.table_prefix
        catalogue = inspect(ctx.connection)
        tables = set(catalogue.get_table_names())
        changed = {table for table in tables if not table.startswith(prefix)} ^ self._foreign
        if changed:
            raise self._refused(step, f"it created or dropped {', '.join(sorted(changed))}, outside {prefix}…")
        for table in tables - self._foreign:
            for key in catalogue.get_foreign_keys(table):
                if not key["referred_table"].startswith(prefix):
                    raise self._refused(step, f"{table} has a foreign key to {key['referred_table']}, which is not its own")
        self.last = str(step.up_revision_id)

    def _refused(self, step: Any, reason: str) -> MigrationFailed:
        hint = "A plugin's migration may only touch tables with its own prefix; refer to others softly, by id."
        owner = self._source.owner_id
        return MigrationFailed(f"step {step.up_revision_id} of {owner} refused: {reason}", code="migration-refused", hint=hint, plugin=owner)


def _ahead(source: MigrationSource, version: str) -> MigrationFailed:
    return MigrationFailed(
        f"the tables of {source.owner_id} have revision {version}, which its code does not know",
        code="database-ahead",
        hint=f"Install the version of {source.owner_id} that wrote them, or a newer one.",
        plugin=source.owner_id,
    )
