"""What providers tell by themselves. An event is only a hint: the payment is asked for as it stands, and the event is kept with the effect."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from luminai import (
    Conflict,
    Delivery,
    NotSignedIn,
    PaymentError,
    PaymentEvent,
    PaymentResult,
    PaymentStatus,
    PluginContext,
    Unavailable,
    Verified,
    Webhook,
)
from luminai_payments import store
from luminai_payments.config import PaymentsConfig
from luminai_payments.effects import Effects
from luminai_payments.merging import NEVER_ARRIVED, Incident
from luminai_payments.models import inbox, operations, payments
from luminai_payments.routing import provider_named

TRIES: Final = 3
ADOPTABLE: Final = timedelta(days=7)
"""For how long a payment that was given up may still turn up; one whose answer is open may at any time."""
MAX_ADOPTABLE: Final = 20
_ELSEWHERE: Final = ("transfer.", "payout.")


class Told(Struct, frozen=True, kw_only=True):
    """What is kept of an event."""

    provider: str
    id: str
    kind: str
    ref: str
    at: datetime


class Inbox:
    """Takes events in, from webhooks and from lists."""

    def __init__(self, ctx: PluginContext, effects: Effects) -> None:
        self._ctx = ctx
        self._config: PaymentsConfig = ctx.config
        self._effects = effects
        self._db = ctx.db.as_system()

    def webhook(self, name: str) -> Webhook:
        """Return the webhook of a provider."""

        def verify(body: bytes, headers: Mapping[str, str], now: datetime) -> Verified:
            try:
                event = provider_named(self._ctx, name).verify(body, headers, now)
            except PaymentError as error:
                raise NotSignedIn("The delivery is not genuine.", code=error.code or "bad-signature", hint="Check secret and clock.") from None
            told = told_of(event) if concerns_us(event) else None
            return Verified(id=event.id, event=told, summary=event.kind[:200], id_is_signed=True)

        async def receive(told: Told, delivery: Delivery) -> None:
            await self.take(told, delivery)

        return Webhook(name=name, event=Told, verify=verify, receive=receive)

    async def take(self, told: Told, delivery: Delivery | None = None) -> bool:
        """Take an event in, once; return False when it was known.

        Raises:
            PaymentError: the provider cannot be asked, or does not know; nothing is marked.
        """
        while True:
            row = await self._db.read(lambda session: _find(session, told))
            if row.is_known:
                await self._db.write(lambda session: _finish(session, delivery))
                return False
            payment_id = row.payment or await self._adopt(told)
            if row.is_older:
                await self._older(told, payment_id, delivery)
            elif payment_id:
                await self.look(payment_id, told, delivery)
            elif not await self._unknown(told, delivery):
                continue
            return True

    async def look(self, payment_id: str, told: Told | None = None, delivery: Delivery | None = None) -> None:
        """Ask the provider how a payment stands, and take that over together with the event that hinted at it.

        Raises:
            Conflict: it changed each time while the provider was asked (code ``payments.moved``); try again later.
            PaymentError: the provider does not tell.
        """
        for _ in range(TRIES):
            before = await self._db.read(lambda session: store.find(session, payment_id))
            result = await self._query(before.provider, before.ref)
            if await self._absorb(before, result, told, delivery):
                return
        raise Conflict("The payment keeps changing.", code="payments.moved", hint="Look again.")

    async def _absorb(self, before: Any, result: PaymentResult, told: Told | None, delivery: Delivery | None) -> bool:
        incident_id = self._ctx.new_id("pinc")

        def unit(session: Session) -> bool:
            payment = store.find(session, before.id)
            if payment.version != before.version:
                return False
            if told is not None and not _write(session, told, payment.id, delivery, self._ctx.clock.now()):
                _finish(session, delivery)
                return True
            self._effects.absorb(session, payment, result, incident_id, is_current=not payment.doing)
            _finish(session, delivery)
            return True

        return await self._db.write(unit)

    async def _adopt(self, told: Told) -> str:
        """Return the payment whose answer is still on its way, or was given up, and that the provider knows as the event's; "" for none.

        Raises:
            Unavailable: it may be one of which the provider cannot say yet what became (code ``payments.not-yet``).
        """
        since = self._ctx.clock.now() - ADOPTABLE
        given_up = (operations.c.code == NEVER_ARRIVED) & (operations.c.created_at > since)
        may_be_it = operations.c.state.in_(store.STILL_OPEN) | given_up
        query = select(operations.c.id, operations.c.payment, operations.c.state).join(payments, payments.c.id == operations.c.payment)
        query = query.where(payments.c.provider == told.provider, operations.c.kind == "authorize", may_be_it)
        query = query.order_by((operations.c.code == NEVER_ARRIVED), operations.c.id.desc()).limit(MAX_ADOPTABLE + 1)
        found = await self._db.read(lambda session: session.execute(query).all())
        is_open_to_doubt = len(found) > MAX_ADOPTABLE and found[MAX_ADOPTABLE].state in store.STILL_OPEN
        for operation in found[:MAX_ADOPTABLE]:
            try:
                result = await self._query(told.provider, key=operation.id)
            except PaymentError as error:
                is_open_to_doubt |= not error.definite and operation.state in store.STILL_OPEN
                continue
            if result.ref == told.ref:
                await self._effects.settle(operation.id, result)
                adopted: str = operation.payment
                return adopted
        if is_open_to_doubt:
            raise Unavailable("It may belong to a payment whose outcome is unknown.", code="payments.not-yet", retry_after=60)
        return ""

    async def _older(self, told: Told, payment_id: str, delivery: Delivery | None) -> None:
        """Note the event of an attempt that was given up for a newer one; money that it took after all is an incident."""
        result = await self._query(told.provider, told.ref)
        wrong = Incident("older-attempt", f"{told.ref} is {result.status}, captured {result.captured}")
        is_wrong = result.status not in (PaymentStatus.FAILED, PaymentStatus.VOIDED, PaymentStatus.REQUIRES_ACTION)
        await self._note(told, payment_id, wrong if is_wrong else None, delivery)

    async def _unknown(self, told: Told, delivery: Delivery | None) -> bool:
        """Note an event of a payment that was not made here; return False when its payment turned up while its answer was looked for."""
        return await self._note(told, "", Incident("unknown-payment", f"{told.kind} of {told.ref}"), delivery)

    async def _note(self, told: Told, payment_id: str, incident: Incident | None, delivery: Delivery | None) -> bool:
        incident_id, now = self._ctx.new_id("pinc"), self._ctx.clock.now()

        def unit(session: Session) -> bool:
            if not payment_id and _find(session, told).payment:
                return False
            if _write(session, told, payment_id, delivery, now) and incident is not None:
                store.note(session, incident_id, incident, provider=told.provider, payment=payment_id, about=told.ref, now=now)
            _finish(session, delivery)
            return True

        return await self._db.write(unit)

    async def _query(self, provider: str, ref: str | None = None, *, key: str | None = None) -> PaymentResult:
        found = provider_named(self._ctx, provider)
        async with asyncio.timeout(self._config.call_seconds):
            return await (found.query(ref) if key is None else found.query(key=key))


class _Known(Struct):
    is_known: bool
    payment: str
    is_older: bool


def told_of(event: PaymentEvent) -> Told:
    """Return what is kept of an event."""
    return Told(provider=event.provider, id=event.id[:200], kind=event.kind[:80], ref=event.ref[:120], at=event.at)


def concerns_us(event: PaymentEvent) -> bool:
    """Tell whether an event is about a payment; transfers and payouts belong to those who make them."""
    return bool(event.ref) and not event.kind.startswith(_ELSEWHERE)


def _find(session: Session, told: Told) -> _Known:
    known = session.execute(select(inbox.c.event).where(inbox.c.provider == told.provider, inbox.c.event == told.id)).first()
    payment = store.by_ref(session, told.provider, told.ref)
    if payment is not None:
        return _Known(known is not None, payment.id, is_older=False)
    older = select(operations.c.payment).join(payments, payments.c.id == operations.c.payment)
    found = session.execute(older.where(payments.c.provider == told.provider, operations.c.ref == told.ref)).scalar()
    return _Known(known is not None, found or "", is_older=bool(found))


def _write(session: Session, told: Told, payment_id: str, delivery: Delivery | None, now: datetime) -> bool:
    """Write the event down; return False when it is known."""
    same = (inbox.c.provider == told.provider) & (inbox.c.event == told.id)
    if session.execute(select(inbox.c.event).where(same)).first() is not None:
        return False
    row = {"provider": told.provider, "event": told.id, "ref": told.ref, "kind": told.kind, "payment": payment_id, "at": told.at}
    session.execute(insert(inbox).values(**row, via="webhook" if delivery else "list", taken_at=now))
    return True


def _finish(session: Session, delivery: Delivery | None) -> None:
    if delivery is not None:
        delivery.finish(session)
