"""The core's tables of events."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Integer, String, Table, text

from luminai.data.tables import core_metadata
from luminai.data.types import JSONText, UTCDateTime


def _partial(condition: str) -> Any:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


events: Final = Table(
    "core__events",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("plugin", String(32), nullable=False),
    Column("type", String(120), nullable=False),
    Column("version", Integer, nullable=False),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("owner", String(120), nullable=False, info={"data": "personal"}),
    Column("organisation", String(40), nullable=False, info={"data": "internal"}),
    Column("key", String(200), nullable=False, info={"data": "personal"}),
    Column("number", Integer),
    Column("payload", JSONText(), nullable=False, info={"data": "personal"}),
    Column("correlation", String(80), nullable=False),
    Column("causation", String(80), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("keep", String(8), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Index("core__events_stream_idx", "plugin", "key", "number", unique=True, **_partial("number IS NOT NULL")),
    Index(None, "type", "id"),
    Index("core__events_subject_idx", "subject", "id", **_partial("subject <> ''")),
    Index("core__events_owner_idx", "owner", "id", **_partial("owner <> ''")),
    Index(None, "correlation", "id"),
    Index(None, "keep", "created_at"),
    info={
        "data": "internal",
        "subject": ("subject", "owner"),
        "ownerless": "an event is written in the unit of whoever causes it, about whomever it concerns, and handed on by the hub; the routes compare "
        "owner and subject with the caller's",
        "retention": "by the class of its type: `short` and `standard` for the days of [events], `lasting` and streams until their person is erased",
    },
)
"""What happened, only ever added to. ``owner`` is in whose name it was published, ``subject`` whom or what it is about. ``key`` orders deliveries;
with ``number`` the event is the number-th of the stream ``key`` of its plugin. ``keep`` is the class of retention. Nobody may remember "the last id"
and ask for those behind it: of two transactions at the same time the later id may be there first. Deliveries are therefore written with the event."""

subscriptions: Final = Table(
    "core__subscriptions",
    core_metadata,
    Column("plugin", String(32), primary_key=True),
    Column("action", String(80), primary_key=True, info={"data": "internal"}),
    Column("event", String(120), nullable=False),
    Column("since", UTCDateTime(), nullable=False),
    info={"data": "internal", "retention": "until its plugin runs without it, or is purged"},
)
"""Durable subscriptions, also of plugins that are off: what happens meanwhile is kept for them."""

event_snapshots: Final = Table(
    "core__event_snapshots",
    core_metadata,
    Column("plugin", String(32), primary_key=True),
    Column("key", String(200), primary_key=True, info={"data": "personal"}),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("last_event", String(40), nullable=False, index=True),
    Column("state", JSONText(), nullable=False, info={"data": "personal"}),
    Column("created_at", UTCDateTime(), nullable=False),
    info={
        "data": "internal",
        "subject": "last_event",
        "through": "core__events",
        "ownerless": "a snapshot is read and written with the stream that it stands for, by its plugin",
        "retention": "as long as the stream; the last ten of each",
    },
)
"""What the first ``number`` events of a stream amount to, by version ``version`` of the plugin's code. It can always be made anew from the events."""
