"""``luminai db``: on this machine, while no hub runs on the data folder (PostgreSQL, and ``rehearse``: any time)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from luminai.cli.exits import AHEAD, FOUND_PROBLEMS
from luminai.cli.terminal import HubTerminal
from luminai.contracts.errors import HubError

if TYPE_CHECKING:
    from luminai.config.layers import Configuration
    from luminai.data.database import HubDatabase
    from luminai.host.owners import Owners

T = TypeVar("T")
STEP_COLUMNS = ("owner", "step", "seconds", "rows_before", "rows_after", "bytes_before", "bytes_after", "failure")


@click.group()
def db() -> None:
    """Migrate the database: look, rehearse on a copy, apply, check.

    \b
    Examples:
      luminai db plan
      luminai db rehearse
      luminai db upgrade
      luminai db verify
      luminai db roles
    """


@db.command()
@click.option("--owner", default="luminai_owner", show_default=True, help="Who owns the tables, and migrates.")
@click.option("--app", default="luminai_app", show_default=True, help="As whom the hub serves.")
@click.pass_obj
def roles(terminal: HubTerminal, owner: str, app: str) -> None:
    """Print a script for psql that sets up two roles, so that the server itself keeps the rows of owners apart (PostgreSQL).

    \b
    Examples:
      luminai db roles | psql --set ON_ERROR_STOP=1 postgres
    """
    from luminai.contracts.errors import Unprocessable
    from luminai.data.row_security import roles_sql

    url = terminal.configuration().settings.database.url
    if not url:
        raise Unprocessable("This hub runs on SQLite, which has no roles.", code="not-supported", hint="Set database.url to a PostgreSQL database.")
    from sqlalchemy import make_url

    terminal.write(roles_sql(make_url(url).database or "luminai", owner, app))


@db.command()
@click.pass_obj
def current(terminal: HubTerminal) -> None:
    """Show the revision of each owner's tables and what is waiting."""
    from luminai.data.migrations import current as revisions
    from luminai.data.migrations import pending

    async def work(database: HubDatabase) -> list[dict[str, Any]]:
        sources = (await _owners(terminal, database)).on
        have, waiting = await revisions(database, sources), await pending(database, sources)
        return [{"owner": one.owner_id, "revision": have[one.owner_id], "waiting": waiting.get(one.owner_id, [])} for one in sources]

    terminal.emit(on_database(terminal.configuration(), work), columns=("owner", "revision", "waiting"))


@db.command()
@click.option("--sql", is_flag=True, help="Also the SQL of each step.")
@click.pass_obj
def plan(terminal: HubTerminal, sql: bool) -> None:
    """Show the steps that wait, in the order in which they would run. Nothing is changed.

    \b
    Examples:
      luminai db plan
      luminai --output json --pretty db plan --sql
    """
    from luminai.data.migrations import current as revisions
    from luminai.data.steps import sql_of, waiting_steps

    async def work(database: HubDatabase) -> list[dict[str, Any]]:
        sources = {one.owner_id: one for one in (await _owners(terminal, database)).on}
        have = await revisions(database, list(sources.values()))
        rows: list[dict[str, Any]] = []
        for step in await waiting_steps(database, list(sources.values())):
            row: dict[str, Any] = {"owner": step.owner, "revision": have[step.owner], "step": step.step, "message": step.message, "file": step.file}
            if sql:
                row["sql"], row["remark"] = sql_of(sources[step.owner], step, database.dialect)
            rows.append(row)
        return rows

    rows = on_database(terminal.configuration(), work)
    if sql and terminal.is_tty:
        for row in rows:
            terminal.write(f"-- {row['owner']} {row['step']}: {row['message']}\n{row['sql'] or '-- ' + row['remark']}\n\n")
    else:
        terminal.emit(rows, columns=("owner", "revision", "step", "message"))


@db.command()
@click.pass_obj
def rehearse(terminal: HubTerminal) -> int:
    """Run what waits on a copy of the database and compare the result with what the code declares (exit code 8 when it fails or differs).

    The database itself is only read, so a hub may run on it meanwhile. The copy is removed at the end.

    \b
    Examples:
      luminai db rehearse
      luminai --output json --pretty db rehearse
    """
    import asyncio

    import msgspec

    from luminai.data.rehearsal import rehearse as run
    from luminai.telemetry.clock import SystemClock

    config = terminal.configuration()
    problems: dict[str, str] = {}

    async def sources_of(database: HubDatabase) -> Any:
        owners = await _owners(terminal, database, declared=True)
        problems.update({name: reason for name, reason in owners.problems.items() if name in {one.owner_id for one in owners.on}})
        return owners.on

    done = asyncio.run(run(config.settings.database.url, data_dir=config.data_dir, clock=SystemClock(), sources_of=sources_of))
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(done))
    for name, reason in problems.items():
        found["differences"].setdefault(name, []).append(f"what it declares cannot be told: {reason}")
    ok = done.ok and not problems
    if terminal.is_tty:
        terminal.emit(found["steps"], columns=STEP_COLUMNS)
        for owner, lines in found["differences"].items():
            terminal.write("".join(f"{owner}: {line}\n" for line in lines))
        terminal.say(f"Copied {done.copied_bytes:,} bytes in {done.copy_seconds:g} s ({done.method}). " + ("All is well." if ok else "Not ready."))
    else:
        terminal.emit({"ok": ok, **found})
    return 0 if ok else FOUND_PROBLEMS


@db.command()
@click.option("--no-backup", is_flag=True, help="Make no backup first (SQLite).")
@click.pass_obj
def upgrade(terminal: HubTerminal, no_backup: bool) -> None:
    """Apply what is waiting, one transaction a step. On SQLite a backup is made first; the newest five are kept.

    \b
    Examples:
      luminai db upgrade
      luminai db upgrade --no-backup
    """
    from luminai.data.backups import backup_before
    from luminai.data.migrations import upgrade as apply
    from luminai.data.steps import waiting_steps
    from luminai.telemetry.clock import SystemClock

    config = terminal.configuration()

    async def work(database: HubDatabase) -> list[dict[str, Any]]:
        sources = {one.owner_id: one for one in (await _owners(terminal, database)).on}
        steps = await waiting_steps(database, list(sources.values()))
        path = await backup_before(database, config.data_dir, SystemClock()) if steps and not no_backup else None
        if path is not None:
            terminal.say(f"backup: {path}")
        rows: dict[str, dict[str, Any]] = {}
        for number, step in enumerate(steps, 1):
            terminal.say(f"[{number}/{len(steps)}] {step.owner} {step.step}: {step.message}")
            began = time.perf_counter()
            await apply(database, sources[step.owner], to=step.step)
            row = rows.setdefault(step.owner, {"owner": step.owner, "applied": [], "seconds": 0.0, "backup": str(path) if path else ""})
            row["applied"].append(step.step)
            row["seconds"] = round(row["seconds"] + time.perf_counter() - began, 4)
        return list(rows.values())

    terminal.emit(on_database(config, work), columns=("owner", "applied", "seconds", "backup"))


@db.command()
@click.pass_obj
def verify(terminal: HubTerminal) -> int:
    """Check the database: revisions, tables against the code, integrity, owners, foreign keys (exit code 8 when something is wrong, 9 when tables
    are newer than the code).

    \b
    Examples:
      luminai db verify
      luminai --output json --pretty db verify
    """
    import msgspec

    from luminai.data.verify import AHEAD as AHEAD_CODE
    from luminai.data.verify import Finding
    from luminai.data.verify import verify as check

    async def work(database: HubDatabase) -> list[Finding]:
        owners = await _owners(terminal, database, declared=True)
        unknown = [Finding(owner=name, code="tables-unknown", detail=reason, hint="Correct the plugin.") for name, reason in owners.problems.items()]
        return unknown + await check(database, owners.on, idle=owners.idle)

    try:
        found = on_database(terminal.configuration(), work)
    except HubError as error:
        if error.code != "database-damaged":
            raise
        found = [Finding(owner="", code=error.code, detail=error.detail, hint=error.hint)]
    if terminal.is_tty and not found:
        terminal.write("The database is as the code expects it.\n")
    else:
        terminal.emit(msgspec.to_builtins(found), columns=("owner", "code", "detail"))
    if any(one.code == AHEAD_CODE for one in found):
        return AHEAD
    return FOUND_PROBLEMS if found else 0


def on_database(config: Configuration, work: Callable[[HubDatabase], Awaitable[T]]) -> T:
    """Run ``work`` on the database as it is: nothing is migrated.

    Raises:
        Conflict: a hub runs on this data folder (code ``database-in-use``).
    """
    import asyncio

    from luminai.data.database import open_database
    from luminai.telemetry.clock import SystemClock

    async def run() -> T:
        database = await open_database(config.settings.database.url, data_dir=config.data_dir, clock=SystemClock())
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


async def _owners(terminal: HubTerminal, database: HubDatabase, *, declared: bool = False) -> Owners:
    from luminai.host.discovery import installed_plugins
    from luminai.host.owners import owners_of

    return await owners_of(database, installed_plugins(), terminal.configuration().settings.plugins, declared=declared)
