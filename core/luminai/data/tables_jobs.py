"""The core's tables of jobs."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint, text

from luminai.data.tables import core_metadata
from luminai.data.types import UTCDateTime


def _partial(condition: str) -> Any:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


jobs: Final = Table(
    "core__jobs",
    core_metadata,
    Column("id", String(40), primary_key=True),
    Column("plugin", String(32), nullable=False),
    Column("action", String(80), nullable=False, info={"data": "internal"}),
    Column("subject", String(120), nullable=False, info={"data": "personal"}),
    Column("organisation", String(40), nullable=False, info={"data": "internal"}),
    Column("actor", String(120), nullable=False, info={"data": "personal"}),
    Column("trigger", String(160), nullable=False, info={"data": "internal"}),
    Column("input", LargeBinary, info={"data": "sensitive"}),
    Column("output", LargeBinary, info={"data": "sensitive"}),
    Column("state", String(12), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("run_at", UTCDateTime(), nullable=False),
    Column("expires_at", UTCDateTime()),
    Column("attempts", Integer, nullable=False),
    Column("attempts_before", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("rule", String(8), nullable=False),
    Column("same", String(200), info={"data": "personal"}),
    Column("once", String(200), info={"data": "internal"}),
    Column("token", String(32)),
    Column("worker", String(40)),
    Column("lease_until", UTCDateTime()),
    Column("told_until", UTCDateTime()),
    Column("wants_cancel", Boolean, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("note", String(200), nullable=False, info={"data": "personal"}),
    Column("error_code", String(80), nullable=False, info={"data": "internal"}),
    Column("error", String(500), nullable=False),
    Column("created_at", UTCDateTime(), nullable=False),
    Column("settled_at", UTCDateTime()),
    Column("trace", String(55), info={"data": "internal"}),
    UniqueConstraint("plugin", "action", "once"),
    Index("core__jobs_ready_idx", "rank", "id", **_partial("state = 'queued'")),
    Index("core__jobs_queues_idx", "plugin", "action", "rank", "id", **_partial("state = 'queued'")),
    Index("core__jobs_told_idx", "told_until", **_partial("state = 'queued' AND told_until IS NOT NULL")),
    Index("core__jobs_later_idx", "run_at", **_partial("state IN ('scheduled', 'retrying')")),
    Index(
        "core__jobs_live_idx",
        "plugin",
        "action",
        "same",
        unique=True,
        **_partial("same IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'parked')"),
    ),
    Index("core__jobs_waiting_idx", "plugin", "action", "same", "id", **_partial("state = 'waiting'")),
    Index("core__jobs_running_idx", "lease_until", **_partial("state = 'running'")),
    Index("core__jobs_parked_idx", "plugin", **_partial("state = 'parked'")),
    Index(None, "subject", "id"),
    Index(None, "settled_at"),
    info={
        "data": "internal",
        "subject": "subject",
        "ownerless": "jobs are put in the unit of whoever causes them, and handed out over all; the routes compare the subject with the caller's",
        "retention": "30 days after the job is settled; dead ones until they are requeued or discarded",
    },
)
"""Jobs. ``input`` and ``output`` are JSON, sealed under the key of ``subject``. ``same`` is the key of the concurrency rule ``rule``, null where
jobs run side by side: the live index holds at most one of a key. ``rank`` is 9 less the
priority, so that an index in one direction serves the most urgent and oldest first. ``token`` is the fence of whoever runs it, until ``lease_until``;
``told_until``: an engine told a worker of it, who is to begin it by then; ``attempts_before`` those before it was requeued. ``trace`` is the
``traceparent`` of whoever put it, null where no trace was kept."""

job_attempts: Final = Table(
    "core__job_attempts",
    core_metadata,
    Column("job", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("version", String(64), nullable=False, info={"data": "internal"}),
    Column("generation", Integer, nullable=False),
    Column("worker", String(40), nullable=False),
    Column("began_at", UTCDateTime(), nullable=False, index=True),
    Column("milliseconds", Integer, nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("error_code", String(80), nullable=False, info={"data": "internal"}),
    Column("error", String(500), nullable=False),
    info={"data": "internal", "retention": "as long as the job"},
)
"""What became of each attempt, by which version of the plugin in which generation."""

job_pauses: Final = Table(
    "core__job_pauses",
    core_metadata,
    Column("target", String(120), primary_key=True),
    Column("reason", String(200), nullable=False),
    Column("by", String(120), nullable=False, info={"data": "personal"}),
    Column("since", UTCDateTime(), nullable=False),
    info={
        "data": "internal",
        "unlinked": "`by` is the id of a key or session, which means nobody once that is gone",
        "retention": "until it is resumed",
    },
)
"""What is not begun for now: ``*`` everything, a plugin's id its jobs, an action's full name its own."""
