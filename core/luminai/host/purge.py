"""Purge: everything of one plugin is removed from database and data folder, and then looked for again as a proof.

It works by the plugin's id alone, so also for one that is no longer installed.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct
from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from luminai.audit.offline import note
from luminai.config.layers import Configuration
from luminai.config.settings import PluginSettings
from luminai.contracts.audit import AuditEntry
from luminai.contracts.context import Clock
from luminai.contracts.errors import Conflict, InvalidInput, NotFound
from luminai.contracts.runtime import PurgeItem
from luminai.data.backups import FOLDER, backup_before
from luminai.data.database import HubDatabase
from luminai.data.namespace import drop_all, referring, row_counts, things
from luminai.data.tables import nodes, plugin_changes
from luminai.data.traces import Trace, core_rows, names_plugin, remove_core_rows, traces
from luminai.host.claims import RESERVED_IDS
from luminai.host.discovery import InstalledPlugin
from luminai.host.nodes import GONE_AFTER
from luminai.host.owners import wishes_of
from luminai.host.purge_hook import call_before_purge

T = TypeVar("T")
_ID: Final = re.compile(r"^(?=.{2,32}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class PurgePlan(Struct, frozen=True, kw_only=True):
    """What a plugin has in the hub.

    Attributes:
        tables: Its tables with their rows, the version table among them.
        others: Its views, sequences, types and functions, as ``kind name``.
        core_rows: Rows of the core's tables that are its own or lose a part (the scopes of a key).
        files: Files of its folder with their bytes, relative to the data folder.
    """

    plugin: str
    prefix: str
    installed: bool
    tables: dict[str, int]
    others: tuple[str, ...]
    core_rows: dict[str, int]
    files: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.tables or self.others or self.core_rows or self.files)


class PurgeReport(Struct, frozen=True, kw_only=True):
    """What was removed (with ``dry_run``: would be), and what is left.

    Attributes:
        outside: What the plugin removed outside the hub, by its own word.
        hook: Why the plugin could not be asked for that, "" when it was.
        backup: File of the backup that was made first; it still holds everything. "" for none.
        left: What is still found of the plugin; empty is the proof.
        mentions: Places where only its name stands, in words of a person or in another plugin's content.
    """

    dry_run: bool
    removed: PurgePlan
    outside: tuple[PurgeItem, ...] = ()
    hook: str = ""
    backup: str = ""
    left: tuple[Trace, ...] = ()
    mentions: tuple[Trace, ...] = ()


async def plan_purge(database: HubDatabase, data_dir: Path, installed: Sequence[InstalledPlugin], plugin_id: str) -> PurgePlan:
    """Return what a purge would remove; nothing is changed.

    Raises:
        InvalidInput: that is no plugin's id (code ``bad-plugin-id``).
    """
    if not _ID.match(plugin_id) or plugin_id in RESERVED_IDS:
        raise InvalidInput(f"{plugin_id!r} is no plugin's id.", code="bad-plugin-id", hint="`luminai plugins list --available` shows them.")
    prefix = f"{plugin_id.replace('-', '_')}__"

    def look(connection: Connection) -> tuple[dict[str, int], tuple[str, ...], dict[str, int]]:
        tables = row_counts(connection, prefix)
        others = [f"{one.kind} {one.name}" for one in things(connection, prefix) if one.kind not in ("table", "index")]
        return tables, tuple(sorted(others)), core_rows(connection, plugin_id)

    tables, others, rows = await database.migrate(_rolled_back(look))
    files = {path.relative_to(data_dir).as_posix(): path.lstat().st_size for path in _files(data_dir / "plugins" / plugin_id)}
    return PurgePlan(
        plugin=plugin_id,
        prefix=prefix,
        installed=any(one.id == plugin_id for one in installed),
        tables=tables,
        others=others,
        core_rows=rows,
        files=files,
    )


async def purge(
    database: HubDatabase, config: Configuration, installed: Sequence[InstalledPlugin], plugin_id: str, *, clock: Clock, dry_run: bool
) -> PurgeReport:
    """Remove everything of a plugin: backup, its own ``before_purge``, tables and rows in one transaction, its folder; then prove it.

    Interrupted, it can be run again.

    Raises:
        Conflict: the plugin is on (code ``plugin-enabled``), a process may still serve it (``plugin-running``),
            or others' tables need its (``purge-refused``).
        NotFound: it is not installed and the hub holds nothing of it (code ``plugin-not-found``).
        PurgeHookFailed: it could not clean up outside the hub; nothing was removed.
        Unavailable: no room for the backup (code ``no-room``); nothing was removed.
    """
    plan = await plan_purge(database, config.data_dir, installed, plugin_id)
    await _check_off(database, config.settings.plugins, plugin_id, clock)
    if plan.is_empty and not plan.installed:
        near = difflib.get_close_matches(plugin_id, [one.id for one in installed], n=1)
        hint = f"Did you mean {near[0]}?" if near else "`luminai plugins list --available` shows what is installed."
        raise NotFound(f"The hub holds nothing of a plugin {plugin_id}.", code="plugin-not-found", hint=hint)
    needed = await database.migrate(_rolled_back(lambda connection: referring(connection, plan.prefix)))
    if needed:
        hint = "Take these foreign keys out first."
        raise Conflict(f"Other tables need those of {plugin_id}: {'; '.join(needed)}.", code="purge-refused", hint=hint)
    backup = None if dry_run else await backup_before(database, config.data_dir, clock)
    found = next((one for one in installed if one.id == plugin_id), None)
    outside, reason = await call_before_purge(found, config, database, clock, dry_run=dry_run) if found else ([], "it is not installed")
    if dry_run:
        return PurgeReport(dry_run=True, removed=plan, outside=tuple(outside), hook=reason)
    rows = await _remove_from_database(database, config, plan, clock)
    await asyncio.to_thread(_remove_folder, config.data_dir / "plugins" / plugin_id)
    left, mentions = await prove(database, config.data_dir, plugin_id, plan.prefix)
    return PurgeReport(
        dry_run=False,
        removed=_with_rows(plan, rows),
        outside=tuple(outside),
        hook=reason,
        backup=str(backup) if backup else "",
        left=tuple(left),
        mentions=tuple(mentions),
    )


async def prove(database: HubDatabase, data_dir: Path, plugin_id: str, prefix: str) -> tuple[list[Trace], list[Trace]]:
    """Return what is left of a plugin, and mere mentions: the whole catalogue, every text column of the core's tables, the data folder.

    Backups are not looked into.
    """

    def look(connection: Connection) -> tuple[list[Trace], list[Trace]]:
        objects = [Trace("catalogue", f"{one.kind} {one.name}") for one in things(connection, prefix)]
        mine, mentions = traces(connection, plugin_id, prefix)
        return [*objects, *mine], mentions

    left, mentions = await database.migrate(_rolled_back(look))
    for path in await asyncio.to_thread(lambda: list(_walk(data_dir))):
        if names_plugin(path.name, plugin_id, prefix):
            parts = path.relative_to(data_dir).parts
            others_folder = len(parts) > 2 and parts[0] == "plugins"
            (mentions if others_folder else left).append(Trace("data folder", "/".join(parts)))
    return left, mentions


async def _check_off(database: HubDatabase, settings: Mapping[str, PluginSettings], plugin_id: str, clock: Clock) -> None:
    section = settings.get(plugin_id)
    if section is not None and section.enabled:
        hint = f"Set enabled = false under [plugins.{plugin_id}], or take the section out."
        raise Conflict(f"Plugin {plugin_id} is on in the configuration.", code="plugin-enabled", hint=hint, plugin=plugin_id)
    if (await wishes_of(database)).get(plugin_id):
        hint = f"Run `luminai plugins disable {plugin_id}` first."
        raise Conflict(f"Plugin {plugin_id} was turned on by an operator.", code="plugin-enabled", hint=hint, plugin=plugin_id)

    def behind(session: Session) -> list[str]:
        """Name the processes that have not followed the last change, and so may still run the plugin."""
        catalogue = inspect(session.connection())
        if not (catalogue.has_table(nodes.name) and catalogue.has_table(plugin_changes.name)):
            return []
        last = session.execute(select(func.max(plugin_changes.c.revision))).scalar_one() or 0
        alive = select(nodes.c.name).where(nodes.c.revision < last, nodes.c.seen_at > clock.now() - GONE_AFTER)
        return list(session.execute(alive).scalars())

    if names := (await database.read(behind) if database.dialect != "sqlite" else []):
        hint = "Wait until they have followed the last change, or restart them."
        raise Conflict(f"Processes may still run {plugin_id}: {', '.join(names)}.", code="plugin-running", hint=hint, plugin=plugin_id)


async def _remove_from_database(database: HubDatabase, config: Configuration, plan: PurgePlan, clock: Clock) -> dict[str, int]:
    def work(connection: Connection) -> dict[str, int]:
        with connection.begin():
            rows = remove_core_rows(connection, plan.plugin, clock.now())
            drop_all(connection, plan.prefix)
            _record(config, connection, plan)
        return rows

    try:
        return await database.migrate(_without_references(work))
    except DBAPIError as error:
        cause = str(error.orig).splitlines()[0][:300]
        hint = "Nothing was removed from the database. Remove what depends on its tables first."
        raise Conflict(f"The tables of {plan.plugin} cannot be dropped: {cause}", code="purge-refused", hint=hint) from error


def _record(config: Configuration, connection: Connection, plan: PurgePlan) -> None:
    """Record the purge in its own transaction."""
    detail = {"tables": len(plan.tables), "rows": sum(plan.tables.values()), "files": len(plan.files)}
    with Session(bind=connection, join_transaction_mode="create_savepoint") as session:
        note(session, config, AuditEntry(action="plugin.purge", object=f"plugin:{plan.plugin}", detail=detail))
        session.commit()


def _without_references(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """On SQLite, have no foreign keys (the order of dropping does not matter then) and overwrite what is deleted."""

    def run(connection: Connection) -> T:
        if connection.dialect.name != "sqlite":
            return work(connection)
        raw = connection.connection.driver_connection
        if raw is None:
            raise RuntimeError("the connection is closed")
        kept = raw.execute("PRAGMA secure_delete").fetchone()[0]
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute("PRAGMA secure_delete=ON")
        try:
            return work(connection)
        finally:
            connection.rollback()
            raw.execute("PRAGMA foreign_keys=ON")
            raw.execute(f"PRAGMA secure_delete={int(kept)}")

    return run


def _rolled_back(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    def run(connection: Connection) -> T:
        try:
            return work(connection)
        finally:
            connection.rollback()

    return run


def _remove_folder(folder: Path) -> None:
    """Remove the plugin's folder; one that is a link loses the link only."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _files(folder: Path) -> list[Path]:
    if folder.is_symlink():
        return [folder]
    return sorted(path for path in _walk(folder) if path.is_symlink() or not path.is_dir())


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all that lies below a folder, links not followed, backups left out."""
    for here, folders, files in os.walk(folder):
        if Path(here) == folder and FOLDER in folders:
            folders.remove(FOLDER)
        yield from (Path(here, name) for name in (*folders, *files))


def _with_rows(plan: PurgePlan, rows: dict[str, int]) -> PurgePlan:
    from msgspec.structs import replace

    return replace(plan, core_rows=rows)
