"""Webhooks on their way: one job for each event, written with it, so that a restart loses none."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai import Action, Job, Money, PaymentStatus, PluginContext, Unavailable
from luminai_pay_sandbox.book import Book, ahead
from luminai_pay_sandbox.config import PaySandboxConfig
from luminai_pay_sandbox.models import events, payments
from luminai_pay_sandbox.signing import HEADER, Notice, Signer


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """The event to deliver."""

    event: Annotated[str, Meta(max_length=40)]


class Delivered(Struct, frozen=True):
    """How often it was delivered; 0 when it was not due or had been."""

    copies: int


def put_deliveries(ctx: PluginContext, session: Session) -> None:
    """Put a job for each event that has none, at its moment; nothing where no address is set."""
    config: PaySandboxConfig = ctx.config
    if not config.webhook_url:
        return
    is_ahead = ahead(session)
    for row in session.execute(select(events.c.id, events.c.deliver_at).where(events.c.queued.is_(False))).all():
        ctx.actions.put(session, "pay-sandbox.deliver", {"event": row.id}, at=row.deliver_at - is_ahead)
        session.execute(update(events).where(events.c.id == row.id).values(queued=True))


def put_again(session: Session, now: Any) -> None:
    """Have what became due by a moved clock queued anew."""
    due = (events.c.delivered_at.is_(None)) & (events.c.deliver_at <= now)
    session.execute(update(events).where(due).values(queued=False))


def deliver_action(ctx: PluginContext, signer: Signer) -> Action:
    """Return the action that delivers one event to ``webhook-url``."""
    config: PaySandboxConfig = ctx.config
    database = ctx.db.as_system()

    def find(session: Session, event: str) -> tuple[Any, bytes] | None:
        book = Book(session, ctx.clock.now(), ctx.new_id, config.fee_basis_points)
        book.catch_up()
        put_deliveries(ctx, session)
        query = select(events, payments.c.amount, payments.c.asset).join(payments, payments.c.ref == events.c.ref)
        is_due = (events.c.delivered_at.is_(None)) & (events.c.deliver_at <= book.now) & (events.c.seq.is_not(None))
        row = session.execute(query.where(events.c.id == event, is_due)).one_or_none()
        if row is None:
            return None
        status = PaymentStatus(row.status)
        notice = Notice(id=row.id, kind=f"payment.{status}", ref=row.ref, status=status, at=row.at, amount=Money(row.amount, row.asset))
        return row, msgspec.json.encode(notice)

    async def deliver(job: Job, which: Which) -> Delivered:
        found = await database.write(lambda session: find(session, which.event))
        if found is None or not config.webhook_url:
            return Delivered(0)
        row, body = found
        for _ in range(row.copies):
            headers = {HEADER: signer.sign(body, ctx.clock.now()), "content-type": "application/json"}
            reply = await ctx.http.request("POST", config.webhook_url, headers=headers, body=body)
            if reply.status not in (200, 202):
                raise Unavailable(
                    f"The webhook was answered with {reply.status}.", code="pay-sandbox.not-taken", hint="Check webhook-url and secrets."
                )

        def unit(session: Session) -> Delivered:
            done = Delivered(row.copies)
            session.execute(update(events).where(events.c.id == row.id).values(delivered_at=ctx.clock.now()))
            job.finish(session, done)
            return done

        return await database.write(unit)

    kinds: dict[str, Any] = {"input": Which, "output": Delivered, "scope": "pay-sandbox:manage"}
    summary = "Deliver the webhook of one event."
    return Action(name="deliver", summary=summary, run=deliver, retries=8, **kinds)
