"""Tables of PostgreSQL out and in, in the text form of COPY: the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Final

from luminai.contracts.errors import ConfigRejected, Unavailable, Unprocessable
from luminai.data.backup.manifest import Content

_VERSION: Final = "alembic_version"
_SETTINGS: Final = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "statement_timeout": "0",
    "luminai.system": "on",  # the rows of every owner
}
_TABLES: Final = """
SELECT c.relname AS name,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
       (SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::int[], a.attnum::int)) FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary) AS key,
       ARRAY(SELECT r.relname::text FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
             WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid) AS needs
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass)
ORDER BY c.relname
"""
_FORCED: Final = "SELECT relforcerowsecurity FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace"


class PostgresTables:
    """One connection in one transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.found: dict[str, Any] = {}

    async def look(self) -> None:
        """Learn which tables there are."""
        self.found = {row["name"]: row for row in await self._connection.fetch(_TABLES)}

    async def revisions(self) -> dict[str, str]:
        """Return the revision of each owner's tables, by table prefix."""
        names = [name for name in self.found if name.endswith(f"__{_VERSION}")]
        rows = {name: await self._connection.fetchval(f"SELECT version_num FROM {_quoted(name)}") for name in names}  # noqa: S608 - of the catalogue, quoted
        return {name.removesuffix(_VERSION): version or "" for name, version in rows.items()}

    async def master_key(self) -> str:
        """Return the id of the active master key."""
        if "core__master_keys" not in self.found:
            return ""
        return await self._connection.fetchval("SELECT id FROM core__master_keys WHERE state = 'active'") or ""

    async def copy_out(self, name: str, put: Callable[[bytes], None]) -> Content:
        """Hand a table's rows to ``put`` in the order of its key."""
        digest = sha256()
        row = self.found[name]
        columns = ", ".join(map(_quoted, row["columns"]))
        order = ", ".join(map(_quoted, row["key"] or row["columns"]))

        async def take(chunk: bytes) -> None:
            digest.update(chunk)
            put(chunk)

        query = f"SELECT {columns} FROM {_quoted(name)} ORDER BY {order}"  # noqa: S608 - names of the catalogue, quoted
        status = await self._connection.copy_from_query(query, output=take, format="text")
        return Content(int(status.rpartition(" ")[2]), digest.hexdigest())

    async def copy_in(self, name: str, source: AsyncIterator[bytes]) -> None:
        """Put rows into an empty table. The server copies into none with forced policies, so they are lifted from its owner meanwhile. Nor are its
        triggers asked: what they make of a row is in the backup too, and a ledger's refuse an account that is not empty.
        """
        await self._connection.execute(f"ALTER TABLE {_quoted(name)} DISABLE TRIGGER USER")
        is_forced = await self._connection.fetchval(_FORCED, name)
        if is_forced:
            await self._connection.execute(f"ALTER TABLE {_quoted(name)} NO FORCE ROW LEVEL SECURITY")
        await self._connection.copy_to_table(name, source=source, columns=self.found[name]["columns"], format="text")
        if is_forced:
            await self._connection.execute(f"ALTER TABLE {_quoted(name)} FORCE ROW LEVEL SECURITY")
        await self._connection.execute(f"ALTER TABLE {_quoted(name)} ENABLE TRIGGER USER")

    async def empty(self) -> None:
        """Delete what migrations put into their tables."""
        for name in reversed(self.in_order()):
            await self._connection.execute(f"DELETE FROM {_quoted(name)}")  # noqa: S608 - of the catalogue, quoted

    async def mend_sequences(self) -> None:
        """Have counters go on behind the largest number that is there."""
        for name, row in self.found.items():
            for column in row["columns"]:
                sequence = await self._connection.fetchval("SELECT pg_get_serial_sequence($1, $2)", _quoted(name), column)
                if sequence:
                    largest = f"SELECT setval($1, coalesce(max({_quoted(column)}), 1), max({_quoted(column)}) IS NOT NULL) FROM {_quoted(name)}"  # noqa: S608
                    await self._connection.execute(largest.replace("$1", f"'{sequence}'"))

    def in_order(self) -> list[str]:
        """Return the tables so that each stands behind those that its foreign keys name."""
        done: list[str] = []
        waiting = dict(self.found)
        while waiting:
            free = [name for name, row in waiting.items() if not set(row["needs"]) & waiting.keys()]
            if not free:
                raise Unprocessable(f"Tables refer to each other in a circle: {', '.join(waiting)}.", code="not-supported")
            done += free
            for name in free:
                del waiting[name]
        return done


@asynccontextmanager
async def postgres_tables(url: str, *, read_only: bool) -> AsyncIterator[PostgresTables]:
    """Yield the tables of a database within one transaction, a snapshot when ``read_only``.

    Raises:
        Unavailable: the server does not answer (code ``database-unreachable``).
    """
    try:
        import asyncpg
    except ModuleNotFoundError as error:
        raise ConfigRejected("PostgreSQL needs asyncpg, which is not installed.", hint="Install luminai[postgres].") from error
    settings: Mapping[str, str] = _SETTINGS
    plain = "postgresql://" + url.partition("://")[2]
    try:
        connection = await asyncpg.connect(plain, server_settings=dict(settings), timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable("The database does not answer.", code="database-unreachable", hint="Check database.url and the server.") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=read_only):
            tables = PostgresTables(connection)
            await tables.look()
            yield tables
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
