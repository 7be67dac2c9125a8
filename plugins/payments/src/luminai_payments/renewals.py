"""What becomes due: who sells by the month says so, and the method that its owner gave for that is charged, once for each time it is said."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from luminai import Conflict, Delivery, Event, Forbidden, Money, NotFound, PaymentStatus, PluginContext, Unprocessable
from luminai_payments.config import Asset, Product, Purpose
from luminai_payments.models import payments
from luminai_payments.schemas import Amount, Checkout
from luminai_payments.service import Payments

DUE: Final = "credits.PaymentDue"
"""The event of the plugin that sells plans; neither knows the other's code."""
_UNDER_WAY: Final = (PaymentStatus.UNKNOWN, PaymentStatus.PENDING)
"""What may still succeed without the payer; what they left unconfirmed must not hinder months to come."""


class Due(Struct, frozen=True):
    """What is understood of the event."""

    purpose: Purpose
    product: Product
    amount: Amount
    asset: Asset
    attempt: Annotated[int, Meta(ge=1)] = 1


class Renewals:
    """Hears that something is due."""

    def __init__(self, ctx: PluginContext, payments_: Payments) -> None:
        self._ctx = ctx
        self._payments = payments_
        self._db = ctx.db.as_system()

    async def take(self, event: Event, delivery: Delivery) -> None:
        """Charge what is due, or do nothing: where no method was given for it, where it costs something else by now or nothing any more, and where
        an earlier payment for it may still succeed. The seller says it again, or ends what it sold.

        Raises:
            Unavailable: the provider does not run; the event comes again.
        """
        subject = event.subject
        try:
            due = msgspec.convert(event.payload, Due)
        except msgspec.ValidationError:
            await self._pass_over(event, delivery, "not-for-sale")
            return
        method = await self._payments.methods.for_renewals(subject) if subject else None
        if method is None:
            await self._pass_over(event, delivery, "no-method")
            return
        ask = Checkout(purpose=due.purpose, product=due.product, asset=due.asset, method=method.id, kind=method.kind)

        def admit(session: Session) -> None:
            same = (payments.c.subject == subject, payments.c.purpose == due.purpose, payments.c.product == due.product)
            if session.execute(select(payments.c.id).where(*same, payments.c.status.in_(_UNDER_WAY)).limit(1)).first() is not None:
                raise Conflict("An earlier payment may still succeed.", code="payments.under-way")
            delivery.finish(session)

        try:
            await self._payments.renew(subject, ask, Money(due.amount, due.asset), admit)
        except (Conflict, Forbidden, NotFound, Unprocessable) as refused:
            await self._pass_over(event, delivery, refused.code)

    async def _pass_over(self, event: Event, delivery: Delivery, why: str) -> None:
        self._ctx.log.info("payment.due.passed-over", extra={"event": event.id, "why": why})
        await self._db.write(delivery.finish)
