"""Tables: payments, what is asked of providers, what they told, and what does not add up."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint, false

from luminai import UTCDateTime, metadata_for

metadata: Final = metadata_for("payments")
KEPT: Final = "financial records are kept for seven years"


def _subject() -> Column[Any]:
    return Column("subject", String(120), nullable=False, info={"data": "personal"})


_FINANCIAL: Final = {"data": "internal", "subject": "subject", "owner": "subject", "retention": "seven years", "kept": KEPT}

payments: Final = Table(
    "payments__payments",
    metadata,
    Column("id", String(40), primary_key=True),
    _subject(),
    Column("purpose", String(40), nullable=False),
    Column("product", String(120), nullable=False),
    Column("provider", String(40), nullable=False),
    Column("ref", String(120)),
    Column("asset", String(32), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("returned", BigInteger, nullable=False),
    Column("disputed", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("status", String(24), nullable=False),
    Column("dispute", String(8), nullable=False),
    Column("code", String(60), nullable=False),
    Column("action", String(2000), nullable=False),
    Column("doing", String(12), nullable=False),
    Column("capture", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("updated_at", UTCDateTime(), nullable=False),
    Column("due_at", UTCDateTime()),
    UniqueConstraint("provider", "ref"),
    Index(None, "subject", "id"),
    Index(None, "due_at"),
    Index(None, "status", "id"),
    CheckConstraint("amount > 0 AND captured >= 0 AND captured <= amount", name="captured"),
    CheckConstraint("refunded >= 0 AND returned >= 0 AND refunded + returned <= captured", name="refunded"),
    CheckConstraint("disputed >= 0 AND disputed <= captured", name="disputed"),
    info=_FINANCIAL,
)
"""``action`` is what the payer must do next, as ``<kind> <url>``; ``doing`` is the operation whose outcome is open, one at a time;
``due_at`` is when the provider is asked again."""

operations: Final = Table(
    "payments__operations",
    metadata,
    Column("id", String(40), primary_key=True),
    _subject(),
    Column("payment", String(40), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("amount", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("code", String(60), nullable=False),
    Column("ref", String(120), nullable=False),
    Column("by", String(120), nullable=False, info={"data": "personal"}),
    Column("tries", Integer, nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("due_at", UTCDateTime()),
    Index(None, "payment", "id"),
    Index(None, "due_at"),
    Index(None, "ref"),
    info=_FINANCIAL,
)
"""What is asked of a provider, under the row's own id as key; ``ref`` is what an attempt to pay is called there."""

inbox: Final = Table(
    "payments__inbox",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("event", String(200), primary_key=True),
    Column("ref", String(120), nullable=False),
    Column("kind", String(80), nullable=False),
    Column("payment", String(40), nullable=False),
    Column("via", String(8), nullable=False),
    Column("at", UTCDateTime(), nullable=False),
    Column("taken_at", UTCDateTime(), nullable=False),
    Index(None, "payment", "at"),
    info={"data": "internal", "retention": "seven years"},
)

parties: Final = Table(
    "payments__parties",
    metadata,
    Column("id", String(40), primary_key=True),
    _subject(),
    Column("provider", String(40), nullable=False),
    Column("ref", String(120), nullable=False),
    UniqueConstraint("subject", "provider"),
    info={"data": "internal", "subject": "subject", "owner": "subject", "retention": "until the person is erased"},
)

methods: Final = Table(
    "payments__methods",
    metadata,
    Column("id", String(40), primary_key=True),
    _subject(),
    Column("provider", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("token", LargeBinary, nullable=False, info={"data": "sensitive", "secret": True}),
    Column("renews", Boolean, nullable=False, server_default=false()),
    Column("created_at", UTCDateTime(), nullable=False),
    Index(None, "subject", "id"),
    info={"data": "internal", "subject": "subject", "owner": "subject", "retention": "until the person takes it away"},
)

incidents: Final = Table(
    "payments__incidents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("provider", String(40), nullable=False),
    Column("payment", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("about", String(200), nullable=False),
    Column("detail", String(500), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("resolved_at", UTCDateTime()),
    UniqueConstraint("provider", "kind", "about"),
    info={"data": "internal", "retention": "seven years"},
)
"""What people have to look at; ``about`` makes the same finding one incident."""

cursors: Final = Table(
    "payments__cursors",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("cursor", String(500), nullable=False),
    Column("at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)
