"""The core's own tables."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Integer, LargeBinary, String, Table

from luminai.data.types import JSONText, UTCDateTime, metadata_for

core_metadata: Final = metadata_for("core")

idempotency: Final = Table(
    "core__idempotency",
    core_metadata,
    Column("scope", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary(64), nullable=False),
    Column("result", LargeBinary, nullable=False),
    Column("created_at", UTCDateTime(), nullable=False, index=True),
)

outbox: Final = Table(
    "core__outbox",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("type", String(120), nullable=False),
    Column("version", Integer, nullable=False),
    Column("subject", String(120), nullable=False),
    Column("payload", JSONText(), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("relayed_at", UTCDateTime()),
)

plugin_desired: Final = Table(
    "core__plugin_desired",
    core_metadata,
    Column("plugin_id", String(32), primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("config", JSONText()),
    Column("changed_by", String(120), nullable=False),
    Column("changed_at", UTCDateTime(), nullable=False),
)

plugin_changes: Final = Table(
    "core__plugin_changes",
    core_metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("changed_by", String(120), nullable=False),
    Column("changed_at", UTCDateTime(), nullable=False),
    Column("summary", String(300), nullable=False),
    Column("wishes", JSONText(), nullable=False),
)

nodes: Final = Table(
    "core__nodes",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("problem", String(500), nullable=False),
    Column("seen_at", UTCDateTime(), nullable=False),
)

repairs_ignored: Final = Table(
    "core__repairs_ignored",
    core_metadata,
    Column("id", String(200), primary_key=True),
    Column("reason", String(300), nullable=False),
    Column("ignored_by", String(120), nullable=False),
    Column("ignored_at", UTCDateTime(), nullable=False),
)

api_keys: Final = Table(
    "core__api_keys",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("subject", String(120), nullable=False, index=True),
    Column("scopes", String(4500), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime()),
    Column("revoked_at", UTCDateTime()),
    Column("last_used_at", UTCDateTime()),
)

setup_tokens: Final = Table(
    "core__setup_tokens",
    core_metadata,
    Column("name", String(40), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("expires_at", UTCDateTime(), nullable=False),
)
