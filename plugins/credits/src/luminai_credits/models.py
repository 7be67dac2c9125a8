"""Tables: products and their dated prices; wallets, grants, usage and payments of people. Balances are the ledger's, not ours."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, UniqueConstraint

from luminai import JSONText, UTCDateTime, metadata_for

metadata: Final = metadata_for("credits")
_BIG: Final = BigInteger().with_variant(Integer(), "sqlite")
_PERSONS: Final[dict[str, Any]] = {
    "owner": "subject",
    "data": "internal",
    "subject": "subject",
    "retention": "7 years; what was paid for is kept by law",
    "kept": "what was paid for is kept for 7 years by law; the subject is an id, which leads nowhere once the person is erased",
}

products: Final = Table(
    "credits__products",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("product", String(40), nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", JSONText(), nullable=False, info={"data": "public"}),
    Column("imported_at", UTCDateTime(), nullable=False),
    UniqueConstraint("product", "version"),
    info={"data": "internal"},
)

prices: Final = Table(
    "credits__prices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("product", String(40), nullable=False),
    Column("action", String(80), nullable=False),
    Column("model", String(200), nullable=False),
    Column("start", UTCDateTime(), nullable=False),
    Column("body", JSONText(), nullable=False, info={"data": "public"}),
    Column("imported_at", UTCDateTime(), nullable=False),
    UniqueConstraint("action", "model", "start"),
    Index(None, "product", "id"),
    info={"data": "internal"},
)
"""Only ever added to: what a settled action cost can be looked up for good."""

wallets: Final = Table(
    "credits__wallets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("product", String(40), nullable=False),
    Column("unit", String(32), nullable=False),
    Column("plan", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("anchor", UTCDateTime(), nullable=False),
    Column("zone", String(60), nullable=False),
    Column("term", Integer, nullable=False),
    Column("month", Integer, nullable=False),
    Column("paid_months", Integer, nullable=False),
    Column("next_plan", String(40), nullable=False),
    Column("wanted_plan", String(40), nullable=False),
    Column("wanted_due", _BIG, nullable=False),
    Column("had_trial", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("grace_until", UTCDateTime()),
    Column("due_at", UTCDateTime(), index=True),
    Column("raised", _BIG, nullable=False),
    Column("opened_at", UTCDateTime(), nullable=False),
    Column("updated_at", UTCDateTime(), nullable=False),
    UniqueConstraint("subject", "product"),
    info=_PERSONS,
)
"""One for each person and product. ``term`` counts plans that began; months are counted from the anchor within a term."""

buckets: Final = Table(
    "credits__buckets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("wallet_id", String(40), nullable=False),
    Column("account", String(40), nullable=False, info={"data": "internal"}),
    Column("source", String(20), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("effective_at", UTCDateTime()),
    Column("expires_at", UTCDateTime()),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("closed_at", UTCDateTime()),
    Index(None, "wallet_id", "closed_at"),
    Index(None, "closed_at", "expires_at"),
    info=_PERSONS,
)
"""Units of a wallet under the same terms: an account of the ledger. What is granted under terms that are there goes into the bucket that is there."""

grants: Final = Table(
    "credits__grants",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("wallet_id", String(40), nullable=False),
    Column("bucket_id", String(40), nullable=False),
    Column("unit", String(32), nullable=False),
    Column("source", String(20), nullable=False),
    Column("amount", _BIG, nullable=False),
    Column("key", String(200), nullable=False),
    Column("note", String(280), nullable=False, info={"data": "personal"}),
    Column("at", UTCDateTime(), nullable=False),
    UniqueConstraint("key"),
    Index(None, "subject", "id"),
    info=_PERSONS,
)
"""What somebody was given, once by its key."""

usage: Final = Table(
    "credits__usage",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("wallet_id", String(40), nullable=False),
    Column("key", String(200), nullable=False),
    Column("product", String(40), nullable=False),
    Column("unit", String(32), nullable=False),
    Column("action", String(80), nullable=False),
    Column("model", String(200), nullable=False),
    Column("price_id", String(40), nullable=False),
    Column("funding", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("failure", String(20), nullable=False),
    Column("quantities", JSONText(), nullable=False),
    Column("options", JSONText(), nullable=False),
    Column("parts", JSONText(), nullable=False),
    Column("slices", Integer, nullable=False),
    Column("held", _BIG, nullable=False),
    Column("amount", _BIG, nullable=False),
    Column("opened_at", UTCDateTime(), nullable=False),
    Column("lease_until", UTCDateTime(), nullable=False),
    Column("closed_at", UTCDateTime()),
    Column("refunded_at", UTCDateTime()),
    UniqueConstraint("key"),
    Index(None, "subject", "id"),
    Index(None, "state", "lease_until"),
    Index(None, "wallet_id", "state"),
    info=_PERSONS,
)
"""One for each piece of paid work, held, settled, released or refunded. ``parts`` are the holds in the ledger."""

payments: Final = Table(
    "credits__payments",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("key", String(200), nullable=False),
    Column("wallet_id", String(40), nullable=False),
    Column("item", String(90), nullable=False),
    Column("grant_id", String(40), nullable=False),
    Column("minor", _BIG, nullable=False),
    Column("asset", String(32), nullable=False),
    Column("refunded", _BIG, nullable=False),
    Column("taken_back", _BIG, nullable=False),
    Column("written_off", _BIG, nullable=False),
    Column("at", UTCDateTime(), nullable=False),
    UniqueConstraint("key"),
    Index(None, "subject", "id"),
    info=_PERSONS,
)
"""A payment that bought something here, once by its key ``pay:<provider>:<ref>``."""
