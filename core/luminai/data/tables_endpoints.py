"""The core's tables of outbound webhooks."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime

endpoints: Final = Table(
    "core__endpoints",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("everyone", Boolean, nullable=False),
    Column("url", String(2000), nullable=False, info={"data": "personal"}),
    Column("title", String(200), nullable=False, info={"data": "personal"}),
    Column("state", String(10), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("secret", LargeBinary, nullable=False, info={"data": "sensitive", "secret": True}),
    Column("old_secret", LargeBinary, info={"data": "sensitive", "secret": True}),
    Column("old_until", UTCDateTime()),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("worked_at", UTCDateTime()),
    Index(None, "subject", "id"),
    Index(None, "state"),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "whom an event concerns is found in the unit of whoever causes it; the routes compare the subject with the caller's",
        "retention": "until its owner deletes it or is erased",
    },
)
"""Where events are sent. ``everyone``: everybody's, for an operator; else those of ``subject``. Secrets are sealed under the subject's key; the one
before still signs until ``old_until``. ``failures`` counts attempts that failed in a row."""

endpoint_types: Final = Table(
    "core__endpoint_types",
    core_metadata,
    Column("type", String(120), primary_key=True),
    Column("endpoint", String(40), primary_key=True, index=True),
    info={"data": "internal", "retention": "as long as the endpoint"},
)
"""Which events: full names of types, or ``*``."""

endpoint_calls: Final = Table(
    "core__endpoint_calls",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("endpoint", String(40), nullable=False),
    Column("message", String(40), nullable=False, info={"data": "internal"}),
    Column("type", String(120), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("began_at", UTCDateTime(), nullable=False, index=True),
    Column("milliseconds", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", String(300), nullable=False),
    Column("answer", LargeBinary, info={"data": "sensitive"}),
    Index(None, "endpoint", "id"),
    info={
        "data": "internal",
        "subject": "endpoint",
        "through": "core__endpoints",
        "ownerless": "written by the hub's own job; the routes compare the endpoint's subject with the caller's",
        "retention": "30 days, and the last 500 of each endpoint",
    },
)
"""Every attempt. ``status`` is 0 where there was no answer; ``answer`` are its first bytes, sealed under the key of the endpoint's subject."""
