"""Jobs in the hands of workers: taken under a lease with a fence, kept by a heartbeat, ended once. Plain functions of a ``Session``."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Executable, String, bindparam, cast, func, insert, literal_column, select, update
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from luminai.contracts.errors import Conflict, HubError
from luminai.data.among import among
from luminai.data.event_log import Published
from luminai.data.prepared import Prepared
from luminai.data.tables_jobs import job_attempts, jobs
from luminai.data.tables_vault import subject_keys
from luminai.data.vault.sealing import SubjectVault
from luminai.data.vault.subject_keys import HOLDS
from luminai.work.event_jobs import event_of, load
from luminai.work.jobs import let_in, place, settle

MAX_CRASHES: Final = 3
"""A job that ended its process so often is dead: the next one would end too."""
_FREE: Final[dict[str, Any]] = {"token": None, "worker": None, "lease_until": None}
_ASIDE: Final = {
    "state": "parked",
    "told_until": None,
    "error_code": "plugin-off",
    "error": "Nothing that runs here has its action; `luminai plugins list` tells what is off, and why.",
}
_BACK: Final = {"state": "queued", "error_code": "", "error": ""}


class _Tid(UserDefinedType[str]):
    """The place of a row in a table of PostgreSQL."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "tid"


_TAKING: Final = (
    update(jobs)
    .where(among(jobs.c.id, "ids"))
    .values(
        state="running",
        token=bindparam("fence"),
        worker=bindparam("by"),
        lease_until=bindparam("until"),
        told_until=None,
        attempts=jobs.c.attempts + 1,
    )
)
_TAKE: Final = Prepared(_TAKING)
_TAKE_WITH_SPOT: Final = Prepared(
    _TAKING.returning(
        jobs.c.id,
        literal_column("ctid::text").label("spot"),
        select(subject_keys.c.wrapped)
        .where(subject_keys.c.subject == jobs.c.subject, subject_keys.c.state == literal_column("'active'"))
        .scalar_subquery()
        .label("wrapped"),
    )
)
_FINISHING: Final = (
    update(jobs)
    .where(jobs.c.id == bindparam("of"), jobs.c.token == bindparam("fence"))
    .values(
        state=bindparam("to"),
        run_at=bindparam("at"),
        settled_at=bindparam("ended"),
        output=bindparam("answer"),
        error_code=bindparam("code"),
        error=bindparam("words"),
        **_FREE,
    )
)
_FINISH: Final = Prepared(_FINISHING.returning(jobs.c.id))
_FINISH_AT_SPOT: Final = _FINISHING.where(literal_column("ctid") == cast(bindparam("spot", type_=String()), _Tid()))
# in plain words, as a parameter hides from SQLite which partial index serves
_QUEUED: Final = jobs.c.state == literal_column("'queued'")
_RUNNING: Final = jobs.c.state == literal_column("'running'")
_PARKED: Final = jobs.c.state == literal_column("'parked'")
_ATTEMPT: Final = Prepared(insert(job_attempts))
_NOTED: Final = ("attempt", "version", "generation", "worker", "began_at", "milliseconds", "outcome", "error_code", "error")


def _with_attempt(end: Any) -> Prepared:
    """Return the statement that notes the attempt too, and gives a row, if it ended a job; PostgreSQL alone can do both in one."""
    ended = end.returning(jobs.c.id).cte("ended")
    of = [bindparam(f"note_{name}", type_=job_attempts.c[name].type).label(name) for name in _NOTED]
    return Prepared(insert(job_attempts).from_select(["job", *_NOTED], select(ended.c.id, *of)).returning(job_attempts.c.job))


_END_AT_SPOT: Final = _with_attempt(_FINISH_AT_SPOT)
_END_SEALED_AT_SPOT: Final = _with_attempt(_FINISH_AT_SPOT.where(HOLDS))
_RUNNING_OF: Final = select(jobs.c.plugin, jobs.c.action, func.count().label("count")).where(_RUNNING).group_by(jobs.c.plugin, jobs.c.action)
_UNWANTED: Final = Prepared(select(jobs.c.id).where(_RUNNING, jobs.c.worker == bindparam("by"), jobs.c.wants_cancel.is_(True)))
_ONE_AT_A_TIME: Final = select(func.pg_advisory_xact_lock(7_305_118_823))


class Claimed(Struct, frozen=True, kw_only=True):
    """A job in the hands of a worker. ``attempt`` counts all there were, ``tries`` those since it was requeued; ``run_at`` is when it might
    have run; ``spot`` is where its row lay on PostgreSQL when it was taken; ``input`` is opened, None when its key was destroyed. A delivery
    has an ``event`` instead, None when the log no longer holds it. ``trace`` is the ``traceparent`` of whoever put it.
    """

    id: str
    plugin: str
    action: str
    subject: str
    organisation: str
    actor: str
    trigger: str
    attempt: int
    tries: int
    is_keyed: bool
    run_at: datetime
    token: str
    spot: str = ""
    input: bytes | None
    event: Published | None = None
    trace: str | None = None

    @property
    def is_delivery(self) -> bool:
        """Whether it hands an event to a durable subscription."""
        return event_of(self.trigger) is not None


class Ended(Struct, frozen=True, kw_only=True):
    """How an attempt ended. ``pause`` is set where there is to be another one."""

    outcome: str
    output: bytes | None = None
    error_code: str = ""
    error: str = ""
    pause: timedelta | None = None


class Ran(Struct, frozen=True, kw_only=True):
    """By what an attempt was made."""

    version: str
    generation: int
    worker: str
    began_at: datetime


def unwanted(session: Session, worker: str) -> list[str]:
    """Return the ids of a worker's jobs that are to be cancelled."""
    return [row.id for row in _UNWANTED.rows(session, {"by": worker})]


def claim_alone(session: Session) -> None:
    """Have no other claim that asks for this begin any job until this unit has ended."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_ONE_AT_A_TIME)


def running_everywhere(session: Session) -> Counter[str]:
    """Return how many jobs run in all processes, by the full name of their action."""
    return Counter({f"{row.plugin}.{row.action}": row.count for row in session.execute(_RUNNING_OF)})


def claim(
    session: Session,
    vault: SubjectVault,
    *,
    worker: str,
    rows: Sequence[Any],
    admits: Callable[[str, str], bool],
    lease: timedelta,
    now: datetime,
) -> list[Claimed]:
    """Take those of ``rows``, queued and locked in this unit, for which there is room.

    Args:
        admits: ``(plugin, action)``: whether there is room for this one too.
    """
    taken = [row for row in rows if admits(row.plugin, row.action)]
    if not taken:
        return []
    token = secrets.token_hex(16)
    given = {"ids": [row.id for row in taken], "fence": token, "by": worker, "until": now + lease}
    found: dict[str, Any] = {}
    if session.get_bind().dialect.name == "postgresql":
        found = {row.id: row for row in _TAKE_WITH_SPOT.rows(session, given)}
    else:
        _TAKE.run(session, given)
    events = load(session, [event for row in taken if (event := event_of(row.trigger)) is not None])
    return [
        Claimed(
            id=row.id,
            plugin=row.plugin,
            action=row.action,
            subject=row.subject,
            organisation=row.organisation,
            actor=row.actor,
            trigger=row.trigger,
            attempt=row.attempts + 1,
            tries=row.attempts + 1 - row.attempts_before,
            is_keyed=row.same is not None,
            run_at=row.run_at,
            token=token,
            spot=found[row.id].spot if found else "",
            input=_opened(session, vault, row, found[row.id].wrapped if found else None) if row.input is not None else None,
            event=events.get(event_of(row.trigger) or ""),
            trace=row.trace,
        )
        for row in taken
    ]


def expire(session: Session, ids: Sequence[str], now: datetime) -> None:
    """End those of ``ids`` that wait for a worker: their moment has passed."""
    for job_id in session.execute(select(jobs.c.id).where(jobs.c.id.in_(ids), _QUEUED).with_for_update()).scalars().all():
        settle(session, job_id, "expired", now)


def finish(session: Session, vault: SubjectVault, job: Claimed, ended: Ended, ran: Ran, now: datetime) -> None:
    """Note how an attempt ended, and let those in that wait behind the job.

    Raises:
        Conflict: the job is no longer this worker's (code ``lease-lost``).
    """
    again = ended.pause is not None
    given: dict[str, Any] = {
        "of": job.id,
        "fence": job.token,
        "to": "retrying" if again else ended.outcome,
        "at": now + ended.pause if ended.pause is not None else now,
        "ended": None if again else now,
        "answer": None,
        "code": ended.error_code,
        "words": ended.error[:500],
    }
    note = _note(job.id, job.attempt, given["to"], ended, ran, now)
    if not job.spot or not _ended_at_spot(session, vault, job, ended, given, note):
        if ended.output is not None:
            given["answer"] = vault.seal(session, subject=job.subject, place=place(job.id, "output"), value=ended.output)
        if not _FINISH.rows(session, given):
            hint = "Its lease ran out, it was cancelled, or it is done."
            raise Conflict(f"The job {job.id} is no longer this worker's.", code="lease-lost", hint=hint)
        _ATTEMPT.run(session, note)
    if job.is_keyed and not again:
        let_in(session, job.id)


def _ended_at_spot(session: Session, vault: SubjectVault, job: Claimed, ended: Ended, given: dict[str, Any], note: Mapping[str, Any]) -> bool:
    """End a job in one statement, its output sealed with the key at hand; tell whether its row was still there, and the key good.

    Found by its place, a row is the only one that counts as read: by way of the index its neighbours do too, and their ends would meet this one.
    """
    given = given | {"spot": job.spot} | {f"note_{name}": note[name] for name in _NOTED}
    if ended.output is None:
        return bool(_END_AT_SPOT.rows(session, given))
    guess = vault.guess(subject=job.subject, place=place(job.id, "output"), value=ended.output)
    return guess is not None and bool(_END_SEALED_AT_SPOT.rows(session, given | guess.given | {"answer": guess.sealed}))


def give_back(session: Session, job: Claimed, now: datetime) -> None:
    """Let another worker have it at once: this one stops, which is no attempt."""
    values = {"state": "queued", **_FREE, "run_at": now, "attempts": job.attempt - 1}
    session.execute(update(jobs).where(jobs.c.id == job.id, jobs.c.token == job.token).values(**values))


def beat(session: Session, worker: str, ids: Sequence[str], lease: timedelta, now: datetime) -> set[tuple[str, str | None]]:
    """Keep a worker's leases of the jobs that it runs, and return their ids and tokens.

    Not those of all that are its own: one whose claim was committed while the answer got lost would be kept for ever, and run by nobody.
    """
    mine = (jobs.c.worker == worker) & jobs.c.id.in_(ids) & (_RUNNING)
    session.execute(update(jobs).where(mine).values(lease_until=now + lease))
    return {(row.id, row.token) for row in session.execute(select(jobs.c.id, jobs.c.token).where(mine))}


def is_lost(session: Session, now: datetime) -> bool:
    """Tell whether a worker is gone with a job; unlike ``reclaim`` this writes nothing."""
    return session.execute(select(jobs.c.id).where(_RUNNING, jobs.c.lease_until <= now).limit(1)).first() is not None


def reclaim(session: Session, lease: timedelta, now: datetime, *, all_of_them: bool = False) -> list[str]:
    """Take jobs from workers that are gone; one that ended its process three times is dead. Return the ids of those.

    Args:
        all_of_them: Whatever their leases say, for a process that is the only one and has just begun.
    """
    lost = _RUNNING if all_of_them else (_RUNNING) & (jobs.c.lease_until <= now)
    dead = []
    for row in session.execute(select(jobs).where(lost).limit(500).with_for_update(skip_locked=True)).all():
        ended = Ended(outcome="crashed", error_code="worker-gone", error="The process ended, or stood still for too long, while it ran.")
        ran = Ran(version="", generation=0, worker=row.worker or "", began_at=row.lease_until - lease)
        _ATTEMPT.run(session, _note(row.id, row.attempts, "crashed", ended, ran, now))
        values: dict[str, Any] = {**_FREE, "crashes": row.crashes + 1}
        if row.wants_cancel:
            values |= {"state": "cancelled", "settled_at": now}
        elif row.crashes + 1 >= MAX_CRASHES:
            values |= {"state": "dead", "settled_at": now, "error_code": "worker-gone", "error": ended.error}
            dead.append(row.id)
        else:
            values["state"] = "queued"
        session.execute(update(jobs).where(jobs.c.id == row.id).values(**values))
        if "settled_at" in values:
            let_in(session, row.id)
    return dead


def park(session: Session, served: Sequence[str]) -> int:
    """Put aside what belongs to plugins that do not run here, and take back what does; return how many changed."""
    aside = update(jobs).where(_QUEUED, jobs.c.plugin.not_in(served)).values(**_ASIDE)
    back = update(jobs).where(_PARKED, jobs.c.plugin.in_(served)).values(**_BACK)
    return _changed(session, aside) + _changed(session, back)


def put_aside(session: Session, job: Claimed) -> None:
    """Park a claimed job whose action is not there any more."""
    values = {**_ASIDE, **_FREE, "attempts": job.attempt - 1}
    session.execute(update(jobs).where(jobs.c.id == job.id, jobs.c.token == job.token).values(**values))


def _note(job_id: str, attempt: int, outcome: str, ended: Ended, ran: Ran, now: datetime) -> dict[str, Any]:
    took = max(0, round((now - ran.began_at) / timedelta(milliseconds=1)))
    how = {"outcome": outcome, "error_code": ended.error_code, "error": ended.error[:500], "milliseconds": min(took, 2**31 - 1)}
    by = {"version": ran.version, "generation": ran.generation, "worker": ran.worker, "began_at": ran.began_at}
    return {"job": job_id, "attempt": attempt, **how, **by}


def _opened(session: Session, vault: SubjectVault, row: Any, wrapped: bytes | None) -> bytes | None:
    where, sealed = place(row.id, "input"), bytes(row.input)
    try:
        known = vault.open_at_hand(subject=row.subject, place=where, sealed=sealed, wrapped=wrapped)
        return known if known is not None else vault.open(session, subject=row.subject, place=where, sealed=sealed)
    except HubError:
        return None


def _changed(session: Session, statement: Executable) -> int:
    result: Any = session.execute(statement)
    return int(result.rowcount)
