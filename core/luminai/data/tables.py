"""The core's own tables."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Integer, LargeBinary, String, Table

from luminai.data.types import JSONText, UTCDateTime, metadata_for

core_metadata: Final = metadata_for("core")

idempotency: Final = Table(
    "core__idempotency",
    core_metadata,
    Column("scope", String(200), primary_key=True, info={"data": "personal"}),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary(64), nullable=False),
    Column("result", LargeBinary, nullable=False, info={"data": "sensitive"}),
    Column("created_at", UTCDateTime(), nullable=False, index=True),
    info={
        "data": "internal",
        "unlinked": "a digest stands for whom it belongs to; the answer is sealed under that person's key",
        "retention": "24 hours",
    },
)

plugin_desired: Final = Table(
    "core__plugin_desired",
    core_metadata,
    Column("plugin_id", String(32), primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("config", JSONText()),
    Column("changed_by", String(120), nullable=False, info={"data": "personal"}),
    Column("changed_at", UTCDateTime(), nullable=False),
    info={
        "data": "internal",
        "unlinked": "`changed_by` is the id of a key or session, which means nobody once that is gone",
        "retention": "until the next change",
    },
)

plugin_changes: Final = Table(
    "core__plugin_changes",
    core_metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("changed_by", String(120), nullable=False, info={"data": "personal"}),
    Column("changed_at", UTCDateTime(), nullable=False),
    Column("summary", String(300), nullable=False),
    Column("wishes", JSONText(), nullable=False),
    Column("renewed", JSONText()),
    info={
        "data": "internal",
        "unlinked": "`changed_by` is the id of a key or session, which means nobody once that is gone",
        "retention": "as long as the hub",
    },
)

nodes: Final = Table(
    "core__nodes",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(120), nullable=False, info={"data": "internal"}),
    Column("revision", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("problem", String(500), nullable=False),
    Column("seen_at", UTCDateTime(), nullable=False),
    Column("roles", String(40), nullable=False),
    info={"data": "internal"},
)

alerts: Final = Table(
    "core__alerts",
    core_metadata,
    Column("id", String(400), primary_key=True),
    Column("nodes", JSONText(), nullable=False),
    Column("said", JSONText(), nullable=False),
    Column("told_at", UTCDateTime(), nullable=False),
    info={"data": "internal", "retention": "until it is over"},
)
"""What fires: in which processes, what was said of it, and when people were told last."""

repairs_ignored: Final = Table(
    "core__repairs_ignored",
    core_metadata,
    Column("id", String(200), primary_key=True),
    Column("reason", String(300), nullable=False),
    Column("ignored_by", String(120), nullable=False, info={"data": "personal"}),
    Column("ignored_at", UTCDateTime(), nullable=False),
    info={
        "data": "internal",
        "unlinked": "`ignored_by` is the id of a key or session, which means nobody once that is gone",
        "retention": "until it is no longer ignored",
    },
)

api_keys: Final = Table(
    "core__api_keys",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(80), nullable=False, info={"data": "personal"}),
    Column("subject", String(120), nullable=False, index=True, info={"data": "personal"}),
    Column("organisation_id", String(40), nullable=False, index=True, server_default=""),  # which it acts for; "" for the subject alone
    Column("scopes", String(4500), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, info={"data": "internal", "secret": True}),
    Column("last_four", String(4), info={"data": "internal"}),  # none of keys made before it was kept
    Column("created_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime()),
    Column("revoked_at", UTCDateTime()),
    Column("last_used_at", UTCDateTime()),
    Column("replaced_by", String(40), info={"data": "internal"}),
    info={"data": "internal", "subject": "subject", "owner": "subject", "retention": "until the person is erased"},
)

setup_tokens: Final = Table(
    "core__setup_tokens",
    core_metadata,
    Column("name", String(40), primary_key=True, info={"data": "internal"}),
    Column("digest", LargeBinary(32), nullable=False, info={"data": "internal", "secret": True}),
    Column("expires_at", UTCDateTime(), nullable=False),
    info={"data": "internal"},
)
