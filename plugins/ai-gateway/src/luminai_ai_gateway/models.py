"""The table of calls: who asked for what, what became of it, what it used. Never a prompt, never a reply."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, String, Table

from luminai import JSONText, UTCDateTime, metadata_for

metadata: Final = metadata_for("ai-gateway")

calls: Final = Table(
    "ai_gateway__calls",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("key", String(64)),  # digest of the client's key; empty again once the call gave nothing
    Column("kind", String(20), nullable=False),  # chat, embedding, image, speech
    Column("origin", String(40), nullable=False),
    Column("name", String(240), nullable=False, info={"data": "internal"}),  # as it was asked for
    Column("model", String(240), nullable=False),  # <provider>/<model> that answered, or is asked
    Column("prompt_version", String(80), nullable=False),
    Column("state", String(20), nullable=False),  # running, or an EndState
    Column("code", String(80), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("usage_origin", String(20), nullable=False),  # reported, estimated
    Column("cost_micros", BigInteger),  # of all tries, in millionths of the price table's currency
    Column("cost_basis", String(20), nullable=False),  # priced; dearest for a model without a price; "" where nothing is known
    Column("trace", JSONText()),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("ended_at", UTCDateTime()),
    Column("lease_until", UTCDateTime(), nullable=False),
    Index(None, "subject", "key", unique=True),
    Index(None, "subject", "id"),
    Index(None, "created_at"),
    Index(None, "state", "lease_until"),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "keep-days of the settings"},
)
