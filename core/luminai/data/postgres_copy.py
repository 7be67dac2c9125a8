"""A throw-away copy of a PostgreSQL database on its own server."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from luminai.contracts.errors import ConfigRejected, Conflict, Forbidden, HubError, Unavailable

PREFIX: Final = "luminai_rehearsal_"
_IN_USE: Final = "55006"
_NOT_ALLOWED: Final = "42501"


@asynccontextmanager
async def postgres_copy(url: str) -> AsyncIterator[tuple[str, str]]:
    """Make a copy of the database and yield (its URL, ``template`` or ``dump``); drop it at the end.

    Raises:
        Forbidden: the role may not make databases (code ``may-not-create-database``).
        Conflict: somebody is connected and there is no ``pg_dump`` to copy with (code ``database-busy``).
        Unavailable: the server does not answer, or ``pg_dump`` failed (code ``copy-failed``).
    """
    source = make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
    if not source.database:
        raise ConfigRejected("database.url names no database.", hint="postgresql://user@host:5432/name")
    target = source.set(database=f"{PREFIX}{uuid4().hex[:12]}")
    beside = "postgres" if source.database != "postgres" else "template1"  # a template must have no connection
    engine = create_async_engine(source.set(database=beside), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        try:
            method = await _copy(engine, source, target)
        except (OSError, SQLAlchemyError) as error:
            hint = f"The copy is made from the database {beside} of the same server; the role must be able to connect to it."
            raise Unavailable(f"The copy failed: {_cause(error)}", code="copy-failed", hint=hint) from error
        yield target.set(drivername="postgresql").render_as_string(hide_password=False), method
    finally:
        with suppress(OSError, SQLAlchemyError):  # what went wrong before is what counts
            await _execute(engine, f"DROP DATABASE IF EXISTS {target.database} WITH (FORCE)")
        await engine.dispose()


async def _execute(engine: AsyncEngine, statement: str, **values: Any) -> Any:
    async with engine.connect() as connection:
        result = await connection.execute(text(statement), values)
        return result.first() if result.returns_rows else None


async def _copy(server: AsyncEngine, source: URL, target: URL) -> str:
    try:
        await _execute(server, f'CREATE DATABASE {target.database} TEMPLATE "{_quoted(source)}"')
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", "") or "")
        if state == _NOT_ALLOWED:
            raise Forbidden(
                f"The role {source.username} may not make databases.",
                code="may-not-create-database",
                hint=f"Run ALTER ROLE {source.username} CREATEDB, or rehearse with another role through DATABASE_URL.",
            ) from error
        if state != _IN_USE:
            raise
    else:
        return "template"
    if not (shutil.which("pg_dump") and shutil.which("psql")):
        hint = "Stop the hubs on it, or install pg_dump and psql (postgresql-client), which copy it while it is used."
        raise Conflict("Somebody is connected to the database, so it cannot be a template.", code="database-busy", hint=hint)
    await _execute(server, f"CREATE DATABASE {target.database} TEMPLATE template0 {await _collation(server, source)}")
    await _dump(source, target)
    return "dump"


async def _collation(server: AsyncEngine, source: URL) -> str:
    query = "SELECT pg_encoding_to_char(encoding) AS encoding, datcollate, datctype FROM pg_database WHERE datname = :name"
    row = await _execute(server, query, name=source.database)
    return f"ENCODING '{row.encoding}' LC_COLLATE '{row.datcollate}' LC_CTYPE '{row.datctype}'"


async def _dump(source: URL, target: URL) -> None:
    """Pipe ``pg_dump`` into ``psql``; what they connect with goes through their environment, never through the list of processes."""
    reading, writing = os.pipe()
    try:
        dump = await asyncio.create_subprocess_exec(
            *("pg_dump", "--no-owner", "--no-privileges", "--no-password", "--enable-row-security"),
            env=_environment(source),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        load = await asyncio.create_subprocess_exec(
            *("psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "--single-transaction"),
            env=_environment(target),
            stdin=reading,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        os.close(reading)
        os.close(writing)
    (_, dump_said), (_, load_said) = await asyncio.gather(dump.communicate(), load.communicate())
    if dump.returncode or load.returncode:
        said = (dump_said if dump.returncode else load_said).decode(errors="replace").strip().splitlines()
        program = "pg_dump" if dump.returncode else "psql"
        hint = "Use the client programs of the server's version, or stop the hubs on it: then it is copied without them."
        raise _failed(program, said[-1] if said else "no reason given", hint)


def _environment(url: URL) -> Mapping[str, str]:
    """Return the variables with which libpq's programs find the database."""
    query: dict[str, Any] = dict(url.query)
    mode = query.get("sslmode") or query.get("ssl")
    values = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGOPTIONS": f"{query.get('options', '')} -c luminai.system=on".strip(),  # the rows of every owner
        "PGSSLMODE": {"true": "require", "false": "disable"}.get(str(mode).lower(), mode),
    }
    return {**os.environ, **{name: str(value) for name, value in values.items() if value}}


def _quoted(url: URL) -> str:
    return str(url.database).replace('"', '""')


def _failed(program: str, reason: str, hint: str) -> HubError:
    return Unavailable(f"{program} failed: {reason[:300]}", code="copy-failed", hint=hint)


def _cause(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0][:300]
