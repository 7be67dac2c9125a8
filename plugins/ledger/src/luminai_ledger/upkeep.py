"""What runs by the clock: holds whose lease ended are voided, history is sealed, the books are reconciled with themselves."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from luminai import Action, AuditEntry, Event, Job, PluginContext, Schedule
from luminai_ledger.apply import apply
from luminai_ledger.config import LedgerConfig
from luminai_ledger.journal import Journal, Void
from luminai_ledger.models import reports
from luminai_ledger.moments import micros, moment
from luminai_ledger.reading import open_holds
from luminai_ledger.schemas import Report, ReportView
from luminai_ledger.sealing import ACTOR, seal
from luminai_ledger.verify import verify

PAGE: Final = 200


class Reconciled(Struct, frozen=True, kw_only=True):
    """The report that was kept, its SHA-256 in hex, and how many differences it tells."""

    report: Annotated[str, Meta(max_length=40)]
    digest: Annotated[str, Meta(max_length=64)]
    differences: int


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of an action that takes none."""


class Swept(Struct, frozen=True):
    """How many holds were voided because their lease had ended."""

    voided: int


class Sealed(Struct, frozen=True):
    """How many seals were made."""

    seals: int


class Incident(Struct, frozen=True, kw_only=True):
    """Payload of ``ledger.Incident``: a reconciliation found differences."""

    report: Annotated[str, Meta(max_length=40)]
    differences: int


def actions(ctx: PluginContext) -> list[Action]:
    """Return the three."""

    async def run_sweep(_: Job, __: Nothing) -> Swept:
        return Swept(await sweep(ctx))

    async def run_seal(_: Job, __: Nothing) -> Sealed:
        return Sealed(await seal(ctx))

    async def run_reconcile(job: Job, _: Nothing) -> Reconciled:
        return told(await reconcile(ctx, job))

    more: dict[str, Any] = {"input": Nothing, "scope": "ledger:audit", "concurrency": "skip"}
    return [
        Action(name="sweep", summary="Void holds whose lease ended.", output=Swept, run=run_sweep, timeout=120, **more),
        Action(name="seal", summary="Seal the history that is not sealed yet.", output=Sealed, run=run_seal, timeout=600, **more),
        Action(
            name="reconcile",
            summary="Make the books anew from their history and compare.",
            output=Reconciled,
            run=run_reconcile,
            timeout=3600,
            **more,
        ),
    ]


def schedules(config: LedgerConfig) -> list[Schedule]:
    """Return when they run."""
    return [
        Schedule(name="sweep", action="sweep", trigger=f"every: {config.sweep_seconds}s", misfire="once"),
        Schedule(name="seal", action="seal", trigger=f"every: {config.seal_seconds}s", misfire="once"),
        Schedule(name="daily-reconciliation", action="reconcile", trigger="cron: 0 3 * * *", jitter=1800),
    ]


async def sweep(ctx: PluginContext) -> int:
    """Void holds whose lease ended; return how many. The key is the hold's, so that two sweepers do it once."""

    def unit(session: Session) -> tuple[int, int]:
        now = ctx.clock.now()
        due = open_holds(session, limit=PAGE, due=now)
        legs = [(Void(hold=one.id, code="ledger.expire"), one.id) for one in due]
        done = apply(session, [Journal(scope="ledger", key=f"{hold}:expire", legs=(leg,)) for leg, hold in legs], now)
        return len(due), sum(outcome.done for outcome in done)

    voided = 0
    while True:
        looked, done = await ctx.db.as_system().write(unit)
        voided += done
        if looked < PAGE or not done:
            if voided:
                ctx.metrics.count("holds_expired", voided)
            return voided


def told(kept: ReportView) -> Reconciled:
    """Return what a job says of a report."""
    return Reconciled(report=kept.report.id, digest=kept.digest, differences=kept.report.verification.count)


async def reconcile(ctx: PluginContext, job: Job | None = None) -> ReportView:
    """Verify the books, keep the report, tell the audit tree its digest, and raise an incident for any difference. A ``job`` leaves one report."""
    await seal(ctx)
    found = await verify(ctx)
    at = ctx.clock.now()
    identity = ctx.new_id("rec")
    report = Report(id=identity, at=at, verification=found)
    encoded = msgspec.json.encode(report)
    digest = sha256(encoded).hexdigest()

    def unit(session: Session) -> ReportView:
        outcome: Any = "failed" if found.count else "ok"
        detail = {"differences": found.count, "transfers": found.transfers, "through": found.through_seq}
        entry = AuditEntry(action="ledger.reconcile", object=f"{identity}:{digest}", outcome=outcome, detail=detail, retention="7y")
        audit_entry = ctx.audit(session, ACTOR, entry)
        values = {"id": identity, "at": micros(at), "through_seq": found.through_seq, "differences": found.count, "report": encoded.decode()}
        session.execute(insert(reports).values(**values, audit_entry=audit_entry))
        if found.count:
            payload = {"report": identity, "differences": found.count}
            ctx.db.publish(session, Event(type="ledger.Incident", payload=payload, subject=identity))
        kept = ReportView(report=report, digest=digest, audit_entry=audit_entry)
        if job is not None:
            job.finish(session, told(kept))
        return kept

    kept = await ctx.db.as_system().write(unit)
    ctx.metrics.put("differences", float(found.count))
    if found.count:
        ctx.log.error("ledger.differs", extra={"report": identity, "differences": found.count})
    return kept


def reports_page(session: Session, *, limit: int, before: str | None = None) -> list[ReportView]:
    """Return reports, newest first, those before the id ``before``."""
    query = select(reports).order_by(reports.c.id.desc()).limit(limit)
    query = query if before is None else query.where(reports.c.id < before)
    return [
        ReportView(report=msgspec.json.decode(row.report, type=Report), digest=sha256(row.report.encode()).hexdigest(), audit_entry=row.audit_entry)
        for row in session.execute(query)
    ]


def newest_report(session: Session) -> tuple[int, Any] | None:
    """Return the number of differences of the newest report and its moment, None before the first."""
    row = session.execute(select(reports.c.differences, reports.c.at).order_by(reports.c.id.desc()).limit(1)).first()
    return None if row is None else (row.differences, moment(row.at))
