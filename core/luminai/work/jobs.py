"""The job ledger: what is to be done, in whose name, and how each attempt ended. What follows is plain functions of a ``Session``, so that a job is
put, and settled, in the same transaction as the rows that it belongs to.

States: ``scheduled`` (for a later moment), ``waiting`` (behind another of the same key), ``queued``, ``running``, ``retrying`` (later again),
``parked`` (nobody here can run it), and the last ones: ``succeeded``, ``dead``, ``cancelled``, ``expired``, ``skipped``, ``discarded``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, bindparam, delete, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from luminai.contracts.vault import Vault
from luminai.data.causes import trace_of
from luminai.data.ids import new_id
from luminai.data.prepared import Prepared
from luminai.data.tables_jobs import job_attempts, jobs
from luminai.data.vault.sealing import SubjectVault

LATER: Final = ("scheduled", "retrying")
LIVE: Final = ("queued", "running", "retrying", "parked")
"""States in which a job holds its key."""
OPEN: Final = ("scheduled", "waiting", *LIVE)
SETTLED: Final = ("succeeded", "dead", "cancelled", "expired", "skipped", "discarded")
LONGEST_PAUSE: Final = timedelta(hours=1)
KEEP: Final = timedelta(days=30)
URGENT: Final = 9
"""The highest priority."""


IS_LATER: Final = jobs.c.state.in_([literal_column(f"'{state}'") for state in LATER])
"""In plain words: by a parameter SQLite cannot tell that the partial index holds them, and reads the whole table."""
_PUT: Final = Prepared(insert(jobs))
_PUT_NEW: Final[dict[str, Any]] = {
    "sqlite": sqlite.insert(jobs).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(jobs).on_conflict_do_nothing(),
}
_ZERO: Final[dict[str, Any]] = {
    "attempts": 0,
    "attempts_before": 0,
    "crashes": 0,
    "wants_cancel": False,
    "done": 0,
    "total": 0,
    "note": "",
    "error_code": "",
    "error": "",
}
# the first of an order, not EXISTS: where most jobs are queued PostgreSQL would read the table from its beginning, past all that are settled
_OUTLOOK: Final = Prepared(
    select(
        select(jobs.c.id).where(jobs.c.state == literal_column("'queued'")).order_by(jobs.c.rank, jobs.c.id).limit(1).scalar_subquery(),
        select(jobs.c.run_at).where(IS_LATER).order_by(jobs.c.run_at).limit(1).scalar_subquery(),
    )
)
_KNOWN: Final = select(jobs.c.id).where(jobs.c.plugin == bindparam("of"), jobs.c.action == bindparam("name"), jobs.c.once == bindparam("text"))


class NewJob(Struct, frozen=True, kw_only=True):
    """What is put. ``same`` is the key of the concurrency rule ``rule``, None where jobs run side by side."""

    plugin: str
    action: str
    subject: str
    organisation: str = ""
    actor: str
    trigger: str
    input: bytes
    priority: int = 5
    run_at: datetime | None = None
    expires_at: datetime | None = None
    rule: str = "allow"
    same: str | None = None
    once: str | None = None


def put(session: Session, vault: Vault, job: NewJob, now: datetime) -> str:
    """Put a job and return its id; of two with the same ``once`` the first one's."""
    if job.once is not None:
        known: str | None = session.execute(_KNOWN, {"of": job.plugin, "name": job.action, "text": job.once}).scalar()
        if known is not None:
            return known
    job_id = new_id("job")
    row = _row(session, job_id, job, now)
    row["input"] = vault.seal(session, subject=job.subject, place=place(job_id, "input"), value=job.input)
    _PUT.run(session, row)
    return job_id


def put_all(session: Session, vault: SubjectVault, batch: Sequence[NewJob], now: datetime) -> list[str]:
    """Put many jobs at once, those that run side by side in one statement; return their ids. Of two with the same ``once`` the first one stays."""
    ids = []
    rows: dict[str, dict[str, Any]] = {}
    inputs: dict[str, dict[str, bytes]] = {}
    for job in batch:
        if job.same is not None:
            ids.append(put(session, vault, job, now))
            continue
        ids.append(new_id("job"))
        rows[ids[-1]] = _row(session, ids[-1], job, now)
        inputs.setdefault(job.subject, {})[place(ids[-1], "input")] = job.input
    for subject, values in inputs.items():
        for where, sealed in vault.seal_all(session, subject=subject, values=values).items():
            rows[where.rpartition(":")[2]]["input"] = sealed
    if rows:
        session.execute(_PUT_NEW[session.get_bind().dialect.name], list(rows.values()))
    return ids


def _row(session: Session, job_id: str, job: NewJob, now: datetime) -> dict[str, Any]:
    """Return a row that lacks its sealed input."""
    is_later = job.run_at is not None and job.run_at > now
    state = "scheduled" if is_later else _enter(session, job_id, job, now)
    row: dict[str, Any] = {
        "id": job_id,
        "plugin": job.plugin,
        "action": job.action,
        "subject": job.subject,
        "organisation": job.organisation,
        "actor": job.actor,
        "trigger": job.trigger,
        "state": state,
        "rank": URGENT - job.priority,
        "run_at": job.run_at or now,
        "expires_at": job.expires_at,
        "rule": job.rule,
        "same": job.same,
        "once": job.once,
        "created_at": now,
        "settled_at": now if state in SETTLED else None,
        "trace": trace_of(session),
    }
    return row | _ZERO


def _enter(session: Session, job_id: str, job: Any, now: datetime) -> str:
    """Return the state in which a job that is due begins, by its concurrency rule; ``replace`` ends those before it."""
    if job.same is None:
        return "queued"
    live = session.execute(select(jobs.c.id, jobs.c.state).where(_of_key(job), jobs.c.state.in_(LIVE), jobs.c.id != job_id)).first()
    if live is None:
        return "queued"
    if job.rule == "skip":
        return "skipped"
    if job.rule == "replace":
        others = _of_key(job) & (jobs.c.id != job_id)
        session.execute(update(jobs).where(others, jobs.c.state == "waiting").values(state="cancelled", settled_at=now, error_code="replaced"))
        if live.state != "running":
            session.execute(update(jobs).where(jobs.c.id == live.id).values(state="cancelled", settled_at=now, error_code="replaced"))
            return "queued"
        session.execute(update(jobs).where(jobs.c.id == live.id).values(wants_cancel=True))
    return "waiting"


def promote(session: Session, now: datetime, *, most: int = 200) -> int:
    """Have jobs run whose moment has come; return how many there were."""
    due = select(jobs).where(IS_LATER, jobs.c.run_at <= now).order_by(jobs.c.run_at).limit(most).with_for_update(skip_locked=True)
    rows = session.execute(due).all()
    for row in rows:
        state = "queued" if row.state == "retrying" else _enter(session, row.id, row, now)
        session.execute(update(jobs).where(jobs.c.id == row.id).values(state=state, settled_at=now if state in SETTLED else None))
    return len(rows)


def next_moment(session: Session) -> datetime | None:
    """Return when the next job for a later moment is due."""
    return outlook(session)[1]


def outlook(session: Session) -> tuple[bool, datetime | None]:
    """Return whether a job waits for a worker, and when the next one for a later moment is due."""
    ((first, moment),) = _OUTLOOK.rows(session)
    return first is not None, moment


def sweep(session: Session, now: datetime) -> None:
    """Delete what was settled 30 days ago, with its history; what is dead stays until somebody looked at it."""
    old = select(jobs.c.id).where(jobs.c.settled_at < now - KEEP, jobs.c.state != "dead").limit(5000)
    ids = list(session.execute(old).scalars())
    for first in range(0, len(ids), 500):
        some = ids[first : first + 500]
        session.execute(delete(job_attempts).where(job_attempts.c.job.in_(some)))
        session.execute(delete(jobs).where(jobs.c.id.in_(some)))


def settle(session: Session, job_id: str, state: str, now: datetime, *, error_code: str = "") -> None:
    """End a job that nobody runs."""
    values = {"state": state, "settled_at": now, "token": None, "worker": None, "lease_until": None}
    session.execute(update(jobs).where(jobs.c.id == job_id).values(**values, **({"error_code": error_code} if error_code else {})))
    let_in(session, job_id)


def place(job_id: str, column: str) -> str:
    """Return what the vault binds a job's input or output to."""
    return f"{jobs.name}.{column}:{job_id}"


def let_in(session: Session, job_id: str) -> None:
    """Queue the oldest job that waits behind this one, if no other is live."""
    gone = session.execute(select(jobs.c.plugin, jobs.c.action, jobs.c.same).where(jobs.c.id == job_id)).one()
    if gone.same is None:
        return
    if session.execute(select(jobs.c.id).where(_of_key(gone), jobs.c.state.in_(LIVE))).first() is not None:
        return
    after = session.execute(select(jobs.c.id).where(_of_key(gone), jobs.c.state == "waiting").order_by(jobs.c.id).limit(1)).scalar()
    if after is not None:
        session.execute(update(jobs).where(jobs.c.id == after).values(state="queued"))


def _of_key(job: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (jobs.c.plugin == job.plugin) & (jobs.c.action == job.action) & (jobs.c.same == job.same)
    return found
