"""Row-level security of PostgreSQL: the server itself keeps the rows of owners apart, also from SQL that the hub does not look at.

Whose rows a transaction may see is said by settings that end with it: ``luminai.subject`` and ``luminai.organisation``, and ``luminai.system`` for
the hub's own work. None is set for the next user of a pooled connection. The policy is forced, so that it holds for the table's owner too; a
superuser and a role with ``BYPASSRLS`` are always exempt, so the hub must run as neither (``luminai db roles``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, MetaData, text

from luminai.data.owned_statements import INFO, TENANT
from luminai.data.owners import NOBODY, Acting

POLICY: Final = "luminai_owner"
OWNER_ROLE: Final = "luminai_owner"
APP_ROLE: Final = "luminai_app"
_SETTINGS: Final = {INFO: "luminai.subject", TENANT: "luminai.organisation"}

_SYSTEM: Final = text("SELECT set_config('luminai.system', 'on', true)")

_OPEN: Final = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname = ANY (:names)
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
    SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = :policy
      AND strpos(pg_get_expr(p.polqual, c.oid), :setting) > 0 AND strpos(pg_get_expr(p.polwithcheck, c.oid), :setting) > 0
  ))
ORDER BY c.relname
"""

_ROLES: Final = """\
-- Give this to psql as a superuser, once; then give both roles passwords, or certificates, of your own.
CREATE ROLE {owner} LOGIN NOSUPERUSER NOBYPASSRLS;
CREATE ROLE {app} LOGIN NOSUPERUSER NOBYPASSRLS;
ALTER DATABASE {database} OWNER TO {owner};
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {app};
\\connect {database}
ALTER SCHEMA public OWNER TO {owner};
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
DO $$
DECLARE thing record;
BEGIN  -- what the hub made before belongs to the new owner too
    FOR thing IN
        SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {owner}', thing.name);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA public TO {app};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {app};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {app};
-- Migrate as {owner} (`luminai db upgrade` with its URL); serve as {app}, with database.migrate = "manual".
"""


def enable_owner_policy(op: Any, table: str, column: str | None = "subject", *, tenant: str | None = None) -> None:
    """In a migration (``op``: Alembic's operations): let the server show and take only rows whose ``column`` is the transaction's subject, and whose
    ``tenant`` is the organisation that it acts for; None for a table without an owner, or without a tenant.

    Nothing on SQLite, which has no such thing.

    Raises:
        ValueError: neither is given.
    """
    columns = {INFO: column, TENANT: tenant}
    own = [f"\"{name}\" = nullif(current_setting('{_SETTINGS[claim]}', true), '')" for claim, name in columns.items() if name]
    if not own:
        raise ValueError("a policy needs the column of the owner or of the tenant")
    if op.get_bind().dialect.name != "postgresql":
        return
    mine = f"current_setting('luminai.system', true) = 'on' OR ({' AND '.join(own)})"
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    op.execute(f'CREATE POLICY {POLICY} ON "{table}" USING ({mine}) WITH CHECK ({mine})')


def disable_owner_policy(op: Any, table: str) -> None:
    """Take the policy of ``enable_owner_policy`` away again."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f'DROP POLICY IF EXISTS {POLICY} ON "{table}"')
    op.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY')


@lru_cache(maxsize=1024)
def begin(kind: str, seconds: float, whose: Acting | None, *, durable: bool = True) -> str:
    """Return what a transaction begins with, in the server's own words: each does, and a statement with parameters would be a round trip of its own.

    Args:
        kind: What BEGIN says, ``SERIALIZABLE`` or ``REPEATABLE READ, READ ONLY``.
        seconds: Its deadline, 0 for none.
        whose: Whose rows it may see; None: all.
        durable: Whether the commit waits for the disk. What is lost with a server that breaks down is only what was not, and all of it.
    """
    own, system = whose or NOBODY, "on" if whose is None else ""
    settings = {"statement_timeout": str(int(seconds * 1000)), _SETTINGS[INFO]: own.subject, _SETTINGS[TENANT]: own.organisation}
    settings |= {"luminai.system": system} if durable else {"luminai.system": system, "synchronous_commit": "off"}
    # not SET LOCAL: the server's statistics would count each person's as a statement of its own
    said = ", ".join(f"set_config('{name}', {_quoted(value)}, true)" for name, value in settings.items())
    return f"BEGIN ISOLATION LEVEL {kind}; SELECT {said}"


def as_system(connection: Connection) -> None:
    """Let the transaction that was just begun see the rows of all."""
    connection.execute(_SYSTEM)


def open_tables(connection: Connection, metadata: MetaData) -> list[str]:
    """Return the owned tables of a PostgreSQL database that no forced policy protects, or none that looks at owner and tenant alike."""
    found: set[str] = set()
    for claim, setting in _SETTINGS.items():
        names = [table.name for table in metadata.tables.values() if claim in table.info]
        found.update(connection.execute(text(_OPEN), {"names": names, "policy": POLICY, "setting": setting}).scalars())
    return sorted(found)


def roles_sql(database: str, owner: str = OWNER_ROLE, app: str = APP_ROLE) -> str:
    """Return a script for psql that sets up two roles: one that owns the tables, and one that can only use them."""
    return _ROLES.format(**{name: '"' + word.replace('"', '""') + '"' for name, word in (("database", database), ("owner", owner), ("app", app))})


def _quoted(value: str) -> str:
    """Return a string as a literal that means the same however ``standard_conforming_strings`` is set.

    Raises:
        ValueError: it holds what no text of PostgreSQL can.
    """
    if "\0" in value:
        raise ValueError("a setting cannot hold a zero byte")
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
