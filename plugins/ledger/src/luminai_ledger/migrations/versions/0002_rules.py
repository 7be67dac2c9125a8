"""What rows must be together: balances follow from transfers and from nothing else, holds end once, history stays. Triggers of each engine."""

from alembic import op

revision = "0002"
down_revision = "0001"

UNLISTED = 16_384
BALANCES = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")
POSTED, PENDING = "CASE WHEN {0}kind IN (0, 2) THEN {0}amount ELSE 0 END", "CASE WHEN {0}kind = 1 THEN {0}amount ELSE -{0}released END"


def same(row: str, side: str, account: str) -> str:
    """Return the condition that a transfer's snapshot of one side is what the account holds."""
    return " AND ".join(f"{row}.{side}_{name} = {account}.{name}" for name in BALANCES)


def refuse(table: str, moment: str, condition: str, code: str) -> str:
    """Return a trigger of SQLite that aborts the statement where the condition holds."""
    name = f"ledger__{code.replace('-', '_')}"
    return f"CREATE TRIGGER {name} BEFORE {moment} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'ledger: {code}'); END"


IDENTITY = ("id", "tenant", "owner", "purpose", "asset", "guard", "overdraft", "opened_at")
NOT_EMPTY = " OR ".join(f"NEW.{name} <> 0" for name in (*BALANCES, "last_seq"))
MOVED = " OR ".join(f"NEW.{name} <> OLD.{name}" for name in (*BALANCES, "last_seq"))
SNAPSHOT = f"""EXISTS (SELECT 1 FROM ledger__transfers t WHERE t.seq = NEW.last_seq
    AND ((t.debit = NEW.id AND {same("t", "dr", "NEW")}) OR (t.credit = NEW.id AND {same("t", "cr", "NEW")})))"""  # noqa: S608 - as above
NOT_FOLLOWED = f"({MOVED}) AND NOT (NEW.last_seq > OLD.last_seq AND {SNAPSHOT})"
CHANGED = " OR ".join(f"NEW.{name} <> OLD.{name}" for name in IDENTITY)
REOPENED = "(OLD.closed_at IS NOT NULL AND (NEW.closed_at IS NULL OR NEW.closed_at <> OLD.closed_at))"

# INSERT OR REPLACE deletes what it replaces without asking the triggers of DELETE: so an id that is there is refused before that.
SQLITE = (
    refuse("ledger__assets", "INSERT", "EXISTS (SELECT 1 FROM ledger__assets WHERE code = NEW.code)", "asset-exists"),
    refuse("ledger__assets", "UPDATE", "NEW.code <> OLD.code OR NEW.exponent <> OLD.exponent", "asset-changed"),
    refuse("ledger__assets", "DELETE", "TRUE", "asset-deleted"),
    refuse(
        "ledger__accounts",
        "INSERT",
        NOT_EMPTY + " OR NEW.closed_at IS NOT NULL"  # noqa: S608 - our own names
        " OR EXISTS (SELECT 1 FROM ledger__accounts WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM ledger__accounts"
        " WHERE owner = NEW.owner AND tenant = NEW.tenant AND purpose = NEW.purpose AND asset = NEW.asset)"
        " OR NOT EXISTS (SELECT 1 FROM ledger__assets WHERE code = NEW.asset)",
        "account-not-new",
    ),
    refuse("ledger__accounts", "UPDATE", f"{CHANGED} OR {REOPENED}", "account-changed"),
    refuse("ledger__accounts", "UPDATE", NOT_FOLLOWED, "balance-by-hand"),
    refuse("ledger__accounts", "DELETE", "TRUE", "account-deleted"),
    refuse(
        "ledger__transfers",
        "INSERT",
        "NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM ledger__transfers) OR EXISTS (SELECT 1 FROM ledger__transfers WHERE id = NEW.id)"
        " OR (NEW.hold IS NOT NULL AND EXISTS (SELECT 1 FROM ledger__transfers WHERE hold = NEW.hold))"
        " OR (NEW.reverses IS NOT NULL AND EXISTS (SELECT 1 FROM ledger__transfers WHERE reverses = NEW.reverses))",
        "transfer-not-new",
    ),
    refuse(
        "ledger__transfers",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM ledger__accounts d JOIN ledger__accounts c ON c.id = NEW.credit AND c.asset = d.asset"
        " WHERE d.id = NEW.debit AND d.closed_at IS NULL AND c.closed_at IS NULL)",
        "accounts-do-not-fit",
    ),
    refuse(
        "ledger__transfers",
        "INSERT",
        "NEW.kind >= 2 AND NOT EXISTS (SELECT 1 FROM ledger__holds h"
        " WHERE h.id = NEW.hold AND h.debit = NEW.debit AND h.credit = NEW.credit AND h.amount = NEW.released)",
        "no-open-hold",
    ),
    refuse("ledger__transfers", "UPDATE", "TRUE", "transfer-changed"),
    refuse("ledger__transfers", "DELETE", "TRUE", "transfer-deleted"),
    f"""CREATE TRIGGER ledger__post AFTER INSERT ON ledger__transfers BEGIN
    UPDATE ledger__accounts SET debits_posted = debits_posted + {POSTED.format("NEW.")},
        debits_pending = debits_pending + {PENDING.format("NEW.")}, last_seq = NEW.seq WHERE id = NEW.debit;
    UPDATE ledger__accounts SET credits_posted = credits_posted + {POSTED.format("NEW.")},
        credits_pending = credits_pending + {PENDING.format("NEW.")}, last_seq = NEW.seq WHERE id = NEW.credit;
    END""",  # noqa: S608 - as above
    """CREATE TRIGGER ledger__hold AFTER INSERT ON ledger__transfers WHEN NEW.kind = 1 BEGIN
    INSERT INTO ledger__holds (id, seq, debit, credit, amount, expires_at)
        VALUES (NEW.id, NEW.seq, NEW.debit, NEW.credit, NEW.amount, NEW.expires_at);
    END""",
    """CREATE TRIGGER ledger__resolve AFTER INSERT ON ledger__transfers WHEN NEW.kind >= 2 BEGIN
    DELETE FROM ledger__holds WHERE id = NEW.hold;
    END""",
    refuse(
        "ledger__holds",
        "INSERT",
        "EXISTS (SELECT 1 FROM ledger__holds WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM ledger__transfers WHERE hold = NEW.id)"
        " OR NOT EXISTS (SELECT 1 FROM ledger__transfers t WHERE t.id = NEW.id AND t.kind = 1 AND t.seq = NEW.seq AND t.debit = NEW.debit"
        " AND t.credit = NEW.credit AND t.amount = NEW.amount)",
        "hold-by-hand",
    ),
    refuse(
        "ledger__holds",
        "UPDATE",
        "NEW.id <> OLD.id OR NEW.seq <> OLD.seq OR NEW.debit <> OLD.debit OR NEW.credit <> OLD.credit OR NEW.amount <> OLD.amount",
        "hold-changed",
    ),
    refuse("ledger__holds", "DELETE", "NOT EXISTS (SELECT 1 FROM ledger__transfers WHERE hold = OLD.id)", "hold-deleted"),
    f"""CREATE TRIGGER ledger__list AFTER INSERT ON ledger__transfers WHEN NEW.seq % {UNLISTED} = 0 BEGIN
    INSERT OR IGNORE INTO ledger__lines (account, seq) SELECT account, seq FROM (
        SELECT debit AS account, seq FROM ledger__transfers WHERE seq > NEW.seq - {UNLISTED}
        UNION ALL SELECT credit, seq FROM ledger__transfers WHERE seq > NEW.seq - {UNLISTED}
    ) ORDER BY account, seq;
    END""",  # noqa: S608 - as above
    refuse("ledger__lines", "UPDATE", "TRUE", "line-changed"),
    refuse("ledger__lines", "DELETE", "TRUE", "line-deleted"),
    refuse("ledger__seals", "INSERT", "NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM ledger__seals)", "seal-not-new"),
    refuse("ledger__seals", "UPDATE", "TRUE", "seal-changed"),
    refuse("ledger__seals", "DELETE", "TRUE", "seal-deleted"),
    refuse("ledger__reports", "UPDATE", "TRUE", "report-changed"),
    refuse("ledger__reports", "DELETE", "TRUE", "report-deleted"),
)

# Seen from here a query takes an index, however small the table is: a scan of it would lock all of it against other serializable transactions.
FUNCTION = (
    "CREATE FUNCTION ledger__{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off"
    " AS $$ {body} $$"
)
REFUSE = "CREATE FUNCTION ledger__refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', TG_NAME USING ERRCODE = 'LG001'; END $$"
SHIFTED = {
    "debits_posted": ("f.posted", "0"),
    "credits_posted": ("0", "f.posted"),
    "debits_pending": ("f.pending", "0"),
    "credits_pending": ("0", "f.pending"),
}


def never(name: str, table: str, moment: str, condition: str = "TRUE") -> str:
    """Return a trigger of PostgreSQL that refuses rows where the condition holds; it is looked at without a call."""
    return f"CREATE TRIGGER ledger__{name} BEFORE {moment} ON ledger__{table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION ledger__refuse()"


def judge(name: str, table: str, moment: str, tables: str, wrong: str) -> tuple[str, str]:
    """Return a function of PostgreSQL that refuses a statement where the query finds something, and the trigger that calls it once a statement."""
    body = f"BEGIN IF EXISTS ({wrong}) THEN RAISE EXCEPTION 'ledger__{name}' USING ERRCODE = 'LG001'; END IF; RETURN NULL; END"
    trigger = f"CREATE TRIGGER ledger__{name} AFTER {moment} ON ledger__{table} REFERENCING {tables} FOR EACH STATEMENT"
    return FUNCTION.format(name=name, body=body), f"{trigger} EXECUTE FUNCTION ledger__{name}()"


def sides() -> str:
    """Return a query for both sides of every new transfer: what it adds to each balance, and what it says that they are afterwards."""
    half = "SELECT f.seq, f.{account} AS account, {added}, {said} FROM f"
    added = [", ".join(f"{SHIFTED[name][side]} AS add_{name}" for name in BALANCES) for side in (0, 1)]
    said = [", ".join(f"f.{short}_{name} AS {name}" for name in BALANCES) for short in ("dr", "cr")]
    debit, credit = (half.format(account=account, added=added[at], said=said[at]) for at, account in enumerate(("debit", "credit")))
    return f"{debit} UNION ALL {credit}"


RUNNING = " OR ".join(f"r.{name} <> r.was_{name} + r.sum_{name}" for name in BALANCES)
POST = f"""
DECLARE begun bigint; wanted bigint; resolved bigint;
BEGIN
    PERFORM 1 FROM ledger__accounts WHERE id IN (SELECT debit FROM fresh UNION SELECT credit FROM fresh) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT 1 FROM fresh f LEFT JOIN ledger__accounts d ON d.id = f.debit LEFT JOIN ledger__accounts c ON c.id = f.credit
        WHERE d.id IS NULL OR c.id IS NULL OR d.asset <> c.asset OR d.closed_at IS NOT NULL OR c.closed_at IS NOT NULL
    ) THEN RAISE EXCEPTION 'ledger: accounts-do-not-fit' USING ERRCODE = 'LG001'; END IF;
    SELECT count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind >= 2) INTO begun, wanted FROM fresh;
    IF begun > 0 THEN
        INSERT INTO ledger__holds (id, seq, debit, credit, amount, expires_at)
            SELECT id, seq, debit, credit, amount, expires_at FROM fresh f
            WHERE kind = 1 AND NOT EXISTS (SELECT 1 FROM fresh r WHERE r.hold = f.id);
    END IF;
    IF wanted > 0 THEN
        SELECT wanted - count(*) INTO wanted FROM fresh f JOIN fresh h ON h.id = f.hold AND h.kind = 1
            WHERE f.debit = h.debit AND f.credit = h.credit AND f.released = h.amount AND f.seq > h.seq;
        DELETE FROM ledger__holds h USING fresh f
            WHERE f.hold = h.id AND f.debit = h.debit AND f.credit = h.credit AND f.released = h.amount AND f.seq > h.seq;
        GET DIAGNOSTICS resolved = ROW_COUNT;
        IF resolved <> wanted THEN RAISE EXCEPTION 'ledger: no-open-hold' USING ERRCODE = 'LG001'; END IF;
    END IF;
    IF EXISTS (
        WITH f AS (SELECT fresh.*, {POSTED.format("")} AS posted, {PENDING.format("")} AS pending FROM fresh), s AS ({sides()}), r AS (
            SELECT s.*, a.last_seq AS was_last, a.guard, a.overdraft,
                {", ".join(f"a.{name} AS was_{name}, sum(s.add_{name}) OVER w AS sum_{name}" for name in BALANCES)}
            FROM s JOIN ledger__accounts a ON a.id = s.account WINDOW w AS (PARTITION BY s.account ORDER BY s.seq)
        )
        SELECT 1 FROM r WHERE r.seq <= r.was_last OR {RUNNING}
            OR (r.guard = 1 AND r.debits_posted + r.debits_pending > r.credits_posted + r.overdraft)
            OR (r.guard = 2 AND r.credits_posted + r.credits_pending > r.debits_posted + r.overdraft)
    ) THEN RAISE EXCEPTION 'ledger: balances-do-not-follow' USING ERRCODE = 'LG001'; END IF;
    UPDATE ledger__accounts a SET last_seq = l.seq, {", ".join(f"{name} = l.{name}" for name in BALANCES)} FROM (
        SELECT DISTINCT ON (account) * FROM (
            SELECT seq, debit AS account, {", ".join(f"dr_{name} AS {name}" for name in BALANCES)} FROM fresh
            UNION ALL SELECT seq, credit, {", ".join(f"cr_{name}" for name in BALANCES)} FROM fresh
        ) both_sides ORDER BY account, seq DESC
    ) l WHERE a.id = l.account;
    RETURN NULL;
END
"""  # noqa: S608 - as above
TABLES = ("assets", "accounts", "transfers", "holds", "seals", "reports")
POSTGRES = (
    REFUSE,
    never("asset_changed", "assets", "UPDATE", "NEW.code <> OLD.code OR NEW.exponent <> OLD.exponent"),
    never("asset_deleted", "assets", "DELETE"),
    never("account_not_new", "accounts", "INSERT", f"{NOT_EMPTY} OR NEW.closed_at IS NOT NULL"),
    never("account_changed", "accounts", "UPDATE", f"{CHANGED} OR {REOPENED}"),
    *judge(
        "balance_by_hand",
        "accounts",
        "UPDATE",
        "OLD TABLE AS was NEW TABLE AS fresh",
        "SELECT 1 FROM fresh n JOIN was o ON o.id = n.id WHERE " + NOT_FOLLOWED.replace("NEW.", "n.").replace("OLD.", "o."),  # noqa: S608 - as above
    ),
    never("account_deleted", "accounts", "DELETE"),
    never("transfer_changed", "transfers", "UPDATE"),
    never("transfer_deleted", "transfers", "DELETE"),
    FUNCTION.format(name="post", body=POST),
    "CREATE TRIGGER ledger__post AFTER INSERT ON ledger__transfers REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger__post()",
    *judge(
        "hold_by_hand",
        "holds",
        "INSERT",
        "NEW TABLE AS fresh",
        "SELECT 1 FROM fresh h WHERE EXISTS (SELECT 1 FROM ledger__transfers WHERE hold = h.id) OR NOT EXISTS (SELECT 1 FROM ledger__transfers t"
        " WHERE t.id = h.id AND t.kind = 1 AND t.seq = h.seq AND t.debit = h.debit AND t.credit = h.credit AND t.amount = h.amount)",
    ),
    never(
        "hold_changed",
        "holds",
        "UPDATE",
        "NEW.id <> OLD.id OR NEW.seq <> OLD.seq OR NEW.debit <> OLD.debit OR NEW.credit <> OLD.credit OR NEW.amount <> OLD.amount",
    ),
    *judge(
        "hold_deleted",
        "holds",
        "DELETE",
        "OLD TABLE AS gone",
        "SELECT 1 FROM gone WHERE NOT EXISTS (SELECT 1 FROM ledger__transfers WHERE hold = gone.id)",
    ),
    *judge(
        "seal_not_new",
        "seals",
        "INSERT",
        "NEW TABLE AS fresh",
        "SELECT 1 FROM fresh WHERE id < 1 OR (id > 1 AND NOT EXISTS (SELECT 1 FROM ledger__seals s WHERE s.id = fresh.id - 1))",
    ),
    never("seal_changed", "seals", "UPDATE"),
    never("seal_deleted", "seals", "DELETE"),
    never("report_changed", "reports", "UPDATE"),
    never("report_deleted", "reports", "DELETE"),
    *(
        f"CREATE TRIGGER ledger__truncated BEFORE TRUNCATE ON ledger__{table} FOR EACH STATEMENT EXECUTE FUNCTION ledger__refuse()"
        for table in TABLES
    ),
)
# Where the hub serves as another role than the owner (`luminai db roles`), that role may add transfers and open accounts, and no more.
REVOKE = """
DO $$ DECLARE other text; BEGIN
    FOR other IN SELECT DISTINCT quote_ident(grantee) FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'ledger__transfers' AND grantee NOT IN (current_user, 'PUBLIC')
    LOOP
        EXECUTE 'REVOKE UPDATE, DELETE, TRUNCATE ON ledger__transfers, ledger__accounts, ledger__seals, ledger__reports FROM ' || other;
        EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ledger__holds FROM ' || other;
        EXECUTE 'GRANT UPDATE (closed_at) ON ledger__accounts TO ' || other;
        EXECUTE 'GRANT UPDATE (expires_at) ON ledger__holds TO ' || other;
    END LOOP;
END $$
"""


def upgrade() -> None:
    """Create the triggers."""
    on_server = op.get_bind().dialect.name == "postgresql"
    for statement in (*POSTGRES, REVOKE) if on_server else SQLITE:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them."""
    on_server = op.get_bind().dialect.name == "postgresql"
    for statement in reversed(POSTGRES if on_server else SQLITE):
        words = statement.split()
        if words[1] == "TRIGGER":
            table = f" ON {words[words.index('ON') + 1]}" if on_server else ""
            op.get_bind().exec_driver_sql(f"DROP TRIGGER {words[2]}{table}")
        elif words[1] == "FUNCTION":
            op.get_bind().exec_driver_sql(f"DROP FUNCTION {words[2]}")
