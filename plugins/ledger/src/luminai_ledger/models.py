"""Tables. What is right in them is enforced by the database: ``migrations/versions/0002_rules.py``.

Moments are whole microseconds since 1970 (UTC), ids are bytes, 16 of an account and 22 of a transfer: SQLite's strict tables know integers, texts and
bytes only, and a batch of a thousand rows is not converted value by value.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table, Text, UniqueConstraint, column, table

from luminai import metadata_for

metadata: Final = metadata_for("ledger")
_RETENTION: Final = "7 years; books are never shortened, and no name stands in them"
_BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
_SMALL: Final = SmallInteger().with_variant(Integer(), "sqlite")

BALANCES: Final = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")

assets: Final = Table(
    "ledger__assets",
    metadata,
    Column("code", Text, primary_key=True),
    Column("exponent", _SMALL, nullable=False),
    Column("title", Text, nullable=False, info={"data": "public"}),
    info={"data": "public", "retention": _RETENTION},
    sqlite_strict=True,
)

accounts: Final = Table(
    "ledger__accounts",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("owner", Text, nullable=False, info={"data": "personal"}),
    Column("purpose", Text, nullable=False),
    Column("asset", Text, ForeignKey("ledger__assets.code"), nullable=False),
    Column("guard", _SMALL, nullable=False),
    Column("overdraft", _BIG, nullable=False),
    *(Column(name, _BIG, nullable=False, server_default="0") for name in BALANCES),
    Column("last_seq", _BIG, nullable=False, server_default="0"),
    Column("opened_at", _BIG, nullable=False),
    Column("closed_at", _BIG),
    UniqueConstraint("owner", "tenant", "purpose", "asset"),
    info={
        "data": "internal",
        "subject": "owner",
        "ownerless": "a transfer touches the accounts of both sides, whoever acts; the routes compare the owner",
        "retention": _RETENTION,
        "kept": "books are kept for 7 years by law; the owner is an id, which leads nowhere once the person is erased",
    },
    sqlite_strict=True,
)

transfers: Final = Table(
    "ledger__transfers",
    metadata,
    Column("seq", _BIG, primary_key=True),
    Column("id", LargeBinary, nullable=False),
    Column("kind", _SMALL, nullable=False),
    Column("debit", LargeBinary, nullable=False),
    Column("credit", LargeBinary, nullable=False),
    Column("amount", _BIG, nullable=False),
    Column("released", _BIG, nullable=False),
    Column("hold", LargeBinary),
    Column("code", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("journal", LargeBinary, nullable=False),
    Column("legs", _BIG, nullable=False),
    Column("reverses", LargeBinary),
    Column("at", _BIG, nullable=False),
    Column("expires_at", _BIG),
    *(Column(f"{side}_{name}", _BIG, nullable=False) for side in ("dr", "cr") for name in BALANCES),
    UniqueConstraint("id"),
    *(
        Index(None, name, unique=True, sqlite_where=column(name).is_not(None), postgresql_where=column(name).is_not(None))
        for name in ("hold", "reverses")
    ),
    *(Index(None, side, "seq", info={"engine": "postgresql"}) for side in ("debit", "credit")),
    info={"data": "internal", "retention": _RETENTION},
    sqlite_strict=True,
)
"""One row is both sides. ``dr_…`` and ``cr_…`` are the balances of the two accounts after it: so a balance at any time is one look-up, and nobody can
change a balance without a transfer that says the same."""

UNLISTED: Final = 16_384
lines: Final = table("ledger__lines", column("account", LargeBinary), column("seq", Integer))
"""SQLite only, in place of an index of each side: which transfers touch an account, without the newest, fewer than ``UNLISTED``. A trigger lists so
many at once, account by account: an index of millions is not written at two places for each transfer. A line says nothing by itself: who reads it
looks at the transfer."""

holds: Final = Table(
    "ledger__holds",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("seq", _BIG, nullable=False),
    Column("debit", LargeBinary, nullable=False),
    Column("credit", LargeBinary, nullable=False),
    Column("amount", _BIG, nullable=False),
    Column("expires_at", _BIG),
    Index(None, "expires_at"),
    Index(None, "debit", "seq"),
    info={"data": "internal", "retention": "until the hold is posted or voided"},
    sqlite_strict=True,
)
"""What is held now. Rows come and go by triggers alone; only the lease, ``expires_at``, is ever changed."""

seals: Final = Table(
    "ledger__seals",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=False),
    Column("first_seq", _BIG, nullable=False),
    Column("last_seq", _BIG, nullable=False),
    Column("count", _BIG, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("audit_entry", Text, nullable=False),
    Column("at", _BIG, nullable=False),
    info={"data": "internal", "retention": _RETENTION},
    sqlite_strict=True,
)

reports: Final = Table(
    "ledger__reports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", _BIG, nullable=False),
    Column("through_seq", _BIG, nullable=False),
    Column("differences", _BIG, nullable=False),
    Column("report", Text, nullable=False),
    Column("audit_entry", Text, nullable=False),
    info={"data": "internal", "retention": _RETENTION},
    sqlite_strict=True,
)
"""What reconciliations found, as JSON. The audit entry holds the digest of the report, and the audit tree's checkpoints sign that."""
