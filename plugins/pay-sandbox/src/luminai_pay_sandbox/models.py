"""Tables: what the sandbox holds instead of money."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from luminai import UTCDateTime, metadata_for

metadata: Final = metadata_for("pay-sandbox")

payments: Final = Table(
    "pay_sandbox__payments",
    metadata,
    Column("ref", String(40), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("status", String(24), nullable=False),
    Column("asset", String(32), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("code", String(60), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("reference", String(200), nullable=False),
    Column("source", String(40), nullable=False),
    Column("capture", Boolean, nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("available_at", UTCDateTime()),
    info={"data": "internal"},
)

parties: Final = Table(
    "pay_sandbox__parties",
    metadata,
    Column("ref", String(40), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("reference", String(200), nullable=False),
    UniqueConstraint("kind", "reference"),
    info={"data": "internal"},
)

answers: Final = Table(
    "pay_sandbox__answers",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("ref", String(40), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("visible_at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)

events: Final = Table(
    "pay_sandbox__events",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("seq", Integer, unique=True),
    Column("ref", String(40), nullable=False),
    Column("status", String(24), nullable=False),
    Column("code", String(60), nullable=False),
    Column("at", UTCDateTime(), nullable=False),
    Column("deliver_at", UTCDateTime(), nullable=False),
    Column("copies", Integer, nullable=False),
    Column("queued", Boolean, nullable=False),
    Column("delivered_at", UTCDateTime()),
    Index(None, "ref", "seq", "at"),
    Index(None, "queued", "deliver_at"),
    info={"data": "internal"},
)
"""Past changes have a place ``seq``; those without one are still to come."""

clock: Final = Table(
    "pay_sandbox__clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("ahead", BigInteger, nullable=False),
    info={"data": "internal"},
)
"""One row: how many seconds the sandbox is ahead of the hub."""
