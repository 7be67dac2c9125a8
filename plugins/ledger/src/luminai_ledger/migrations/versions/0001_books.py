"""Assets, accounts, transfers, holds, seals, reports."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
MOST = 2**53 - 1
BALANCES = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")


def check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    """Return a named condition."""
    return sa.CheckConstraint(condition, name=f"ledger__{table}_{name}_check")


def upgrade() -> None:
    """Create the tables with what each row must be by itself."""
    op.create_table(
        "ledger__assets",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("exponent", SMALL, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        check("assets", "code", "length(code) BETWEEN 3 AND 32"),
        check("assets", "exponent", "exponent BETWEEN 0 AND 8"),
        check("assets", "title", "length(title) <= 120"),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger__accounts",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("asset", sa.Text, sa.ForeignKey("ledger__assets.code"), nullable=False),
        sa.Column("guard", SMALL, nullable=False),
        sa.Column("overdraft", BIG, nullable=False),
        *(sa.Column(name, BIG, nullable=False, server_default="0") for name in BALANCES),
        sa.Column("last_seq", BIG, nullable=False, server_default="0"),
        sa.Column("opened_at", BIG, nullable=False),
        sa.Column("closed_at", BIG),
        sa.UniqueConstraint("owner", "tenant", "purpose", "asset"),
        check("accounts", "id", "length(id) = 16"),
        check("accounts", "texts", "length(tenant) <= 120 AND length(owner) <= 120 AND length(purpose) BETWEEN 1 AND 120"),
        check("accounts", "guard", "guard IN (0, 1, 2)"),
        check("accounts", "overdraft", f"overdraft BETWEEN 0 AND {MOST}"),
        check("accounts", "range", " AND ".join(f"{name} BETWEEN 0 AND {MOST}" for name in BALANCES)),
        check("accounts", "debit_guard", "guard <> 1 OR debits_posted + debits_pending <= credits_posted + overdraft"),
        check("accounts", "credit_guard", "guard <> 2 OR credits_posted + credits_pending <= debits_posted + overdraft"),
        check("accounts", "closed", "closed_at IS NULL OR (debits_pending = 0 AND credits_pending = 0)"),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger__transfers",
        sa.Column("seq", BIG, primary_key=True),
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("debit", sa.LargeBinary, nullable=False),
        sa.Column("credit", sa.LargeBinary, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("released", BIG, nullable=False),
        sa.Column("hold", sa.LargeBinary),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("journal", sa.LargeBinary, nullable=False),
        sa.Column("legs", BIG, nullable=False),
        sa.Column("reverses", sa.LargeBinary),
        sa.Column("at", BIG, nullable=False),
        sa.Column("expires_at", BIG),
        *(sa.Column(f"{side}_{name}", BIG, nullable=False) for side in ("dr", "cr") for name in BALANCES),
        sa.UniqueConstraint("id"),
        check("transfers", "id", "length(id) = 22 AND length(journal) = 22"),
        check("transfers", "sides", "debit <> credit"),
        check("transfers", "amount", f"amount BETWEEN 1 AND {MOST}"),
        check("transfers", "texts", "length(code) BETWEEN 1 AND 80 AND length(reference) <= 200"),
        check(
            "transfers",
            "kind",
            "(kind IN (0, 1) AND hold IS NULL AND released = 0) OR (kind = 2 AND hold IS NOT NULL AND released >= amount)"
            " OR (kind = 3 AND hold IS NOT NULL AND released = amount)",
        ),
        check("transfers", "lease", "expires_at IS NULL OR kind = 1"),
        sqlite_strict=True,
    )
    for column in ("hold", "reverses"):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ledger__transfers_{column}_idx", "ledger__transfers", [column], unique=True, sqlite_where=where, postgresql_where=where)
    if op.get_bind().dialect.name == "postgresql":
        for side in ("debit", "credit"):
            op.create_index(f"ledger__transfers_{side}_seq_idx", "ledger__transfers", [side, "seq"])
    else:
        op.create_table(
            "ledger__lines",
            sa.Column("account", sa.LargeBinary, primary_key=True),
            sa.Column("seq", BIG, primary_key=True),
            sqlite_with_rowid=False,
            sqlite_strict=True,
        )
    op.create_table(
        "ledger__holds",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("debit", sa.LargeBinary, nullable=False),
        sa.Column("credit", sa.LargeBinary, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("expires_at", BIG),
        sqlite_strict=True,
    )
    op.create_index("ledger__holds_expires_at_idx", "ledger__holds", ["expires_at"])
    op.create_index("ledger__holds_debit_seq_idx", "ledger__holds", ["debit", "seq"])
    op.create_table(
        "ledger__seals",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("first_seq", BIG, nullable=False),
        sa.Column("last_seq", BIG, nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("audit_entry", sa.Text, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger__reports",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("through_seq", BIG, nullable=False),
        sa.Column("differences", BIG, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("audit_entry", sa.Text, nullable=False),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Drop them."""
    lines = () if op.get_bind().dialect.name == "postgresql" else ("lines",)
    for table in ("reports", "seals", "holds", *lines, "transfers", "accounts", "assets"):
        op.drop_table(f"ledger__{table}")
