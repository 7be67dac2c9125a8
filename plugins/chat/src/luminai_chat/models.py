"""Tables: sessions, messages as a tree, a resonance snapshot for each reply, turns with what was generated so far.

Titles and texts stand in ``sealed_title`` and ``body``. Release 0.1 wrote ``title``, ``content`` and ``sources``, which are empty in sealed rows.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from luminai import JSONText, UTCDateTime, metadata_for

metadata: Final = metadata_for("chat")

sessions: Final = Table(
    "chat__sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("title", String(120), nullable=False, info={"data": "sensitive"}),
    Column("sealed_title", LargeBinary, info={"data": "sensitive"}),
    Column("persona", String(60), nullable=False),
    Column("messages", Integer, nullable=False),
    Column("last_r", Float),
    Column("month_key", String(7), nullable=False, index=True),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("updated_at", UTCDateTime(), nullable=False),
    Index(None, "subject", "id", "created_at"),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "until the person deletes the session"},
)

messages: Final = Table(
    "chat__messages",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("session_id", String(40), nullable=False),
    Column("subject", String(120), nullable=False, server_default="", info={"data": "personal"}),
    Column("parent_id", String(40)),
    Column("role", String(20), nullable=False),
    Column("content", Text, nullable=False, info={"data": "sensitive"}),
    Column("body", LargeBinary, info={"data": "sensitive"}),
    Column("persona", String(60), nullable=False),
    Column("persona_version", Integer, nullable=False),
    Column("model", String(200), nullable=False),
    Column("end_state", String(20), nullable=False),
    Column("usage", JSONText()),
    Column("sources", JSONText(), nullable=False, info={"data": "sensitive"}),
    Column("created_at", UTCDateTime(), nullable=False),
    Index(None, "session_id", "id"),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "as the session"},
)

resonance: Final = Table(
    "chat__resonance",
    metadata,
    Column("message_id", String(40), primary_key=True),
    Column("session_id", String(40), nullable=False, index=True),
    Column("subject", String(120), nullable=False, server_default="", info={"data": "personal"}),
    Column("at", UTCDateTime(), nullable=False, index=True),
    Column("calculator", String(60), nullable=False),
    Column("version", String(20), nullable=False),
    Column("value", Float, nullable=False),
    Column("witness", Float, nullable=False),
    Column("adjusted", Float, nullable=False),
    Column("report", JSONText(), nullable=False, info={"data": "personal"}),
    Column("context", JSONText(), nullable=False, info={"data": "personal"}),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "as the session"},
)

turns: Final = Table(
    "chat__turns",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("session_id", String(40), nullable=False, index=True),
    Column("parent_id", String(40), nullable=False),
    Column("reply_id", String(40)),
    Column("persona", String(60), nullable=False),
    Column("model", String(200), nullable=False),
    Column("ask", LargeBinary, nullable=False, info={"data": "sensitive"}),
    Column("is_held", Boolean, nullable=False),
    Column("is_cancelled", Boolean, nullable=False),
    Column("runner", String(40), nullable=False),
    Column("lease_until", UTCDateTime(), nullable=False),
    Column("end_state", String(20), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Index(None, "end_state", "lease_until"),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "as the session"},
)
"""``parent_id`` is the message that the reply follows; ``end_state`` is "" while it runs, and ``runner`` the process that runs it."""

turn_slices: Final = Table(
    "chat__turn_slices",
    metadata,
    Column("turn_id", String(40), primary_key=True),
    Column("first", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("events", LargeBinary, nullable=False, info={"data": "sensitive"}),
    Column("at", UTCDateTime(), nullable=False, index=True),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "`replay-hours` of the settings, at most as the session"},
)

turn_approvals: Final = Table(
    "chat__turn_approvals",
    metadata,
    Column("turn_id", String(40), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("allow", Boolean, nullable=False),
    Column("is_used", Boolean, nullable=False),
    Column("at", UTCDateTime(), nullable=False),
    info={"owner": "subject", "data": "internal", "subject": "subject", "retention": "as the session"},
)
