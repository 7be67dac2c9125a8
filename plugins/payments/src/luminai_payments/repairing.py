"""What keeps the books honest while nobody looks: open questions are asked again, and the providers' lists are compared with what was told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from luminai import HubError, PaymentError, PluginContext
from luminai_payments import store
from luminai_payments.bookkeeping import Bookkeeper
from luminai_payments.config import PaymentsConfig
from luminai_payments.effects import Effects
from luminai_payments.inbox import Inbox, concerns_us, told_of
from luminai_payments.merging import NEVER_ARRIVED, Incident
from luminai_payments.models import cursors, incidents, operations, payments
from luminai_payments.routing import provider_named
from luminai_payments.schemas import Reconciled, Repaired

AT_ONCE: Final = 100
MAX_CHANGES: Final = 1000
SAVE_EVERY: Final = 50


class Repairer:
    """Asks about what is unknown, and compares."""

    def __init__(self, ctx: PluginContext, effects: Effects, inbox: Inbox, books: Bookkeeper) -> None:
        self._ctx = ctx
        self._config: PaymentsConfig = ctx.config
        self._effects = effects
        self._inbox = inbox
        self._books = books
        self._db = ctx.db.as_system()

    async def repair(self, *, all_of_them: bool = False) -> Repaired:
        """Ask about operations with an open outcome and payments that wait; those that are due, or all of them."""
        now = self._ctx.clock.now()
        if all_of_them:
            await self._db.write(lambda session: session.execute(update(operations).where(operations.c.state == "unknown").values(due_at=now)))
            waits = payments.c.due_at.is_not(None)
            await self._db.write(lambda session: session.execute(update(payments).where(waits).values(due_at=now)))
        due = select(operations, payments.c.provider).join(payments, payments.c.id == operations.c.payment)
        due = due.where(operations.c.state.in_(store.STILL_OPEN), operations.c.due_at <= now).order_by(operations.c.due_at).limit(AT_ONCE)
        opened = await self._db.read(lambda session: session.execute(due).all())
        settled = 0
        for operation in opened:
            settled += await self._ask_again(operation)
        waiting = select(payments.c.id).where(payments.c.due_at <= now, payments.c.doing == "").order_by(payments.c.due_at).limit(AT_ONCE)
        looked = await self._db.read(lambda session: list(session.execute(waiting).scalars()))
        for payment_id in looked:
            settled += await self._look(payment_id)
        is_open = operations.c.state.in_(store.STILL_OPEN)
        left = await self._db.read(lambda session: session.execute(select(func.count()).select_from(operations).where(is_open)).scalar_one())
        return Repaired(looked=len(opened) + len(looked), settled=settled, open=left)

    async def reconcile(self) -> Reconciled:
        """Compare with every provider's list since the last time, then the payments with the ledger."""
        before = await self._count_incidents()
        looked = missed = 0
        complete = True
        for name in self._config.providers:
            provider = self._ctx.providers.payment_providers.get(name)
            if provider is None or not provider.capabilities().list_since:
                continue
            found = await self._walk(name, provider)
            looked, missed, complete = looked + found.looked, missed + found.missed, complete and found.complete
        await self._compare_books()
        return Reconciled(looked=looked, missed=missed, incidents=await self._count_incidents() - before, complete=complete)

    async def _ask_again(self, operation: Any) -> bool:
        """Settle an operation whose outcome is open if the provider knows it; return whether it is settled."""
        try:
            provider = provider_named(self._ctx, operation.provider)
            if not provider.capabilities().query:
                await self._needs_a_person(operation)
                await self._effects.leave_open(operation.id, "no-query")
                return False
            async with asyncio.timeout(self._config.call_seconds):
                result = await provider.query(key=operation.id)
        except PaymentError as error:
            given_up = self._ctx.clock.now() - operation.created_at > timedelta(minutes=self._config.give_up_minutes)
            if error.definite and error.code == "not-found" and given_up:
                await self._effects.refuse(operation.id, NEVER_ARRIVED)
                return True
            await self._effects.leave_open(operation.id, error.code)
        except Exception as error:  # noqa: BLE001 - one provider's failure must not keep the others waiting
            await self._effects.leave_open(operation.id, _code(error))
        else:
            await self._effects.settle(operation.id, result)
            return True
        return False

    async def _look(self, payment_id: str) -> bool:
        try:
            await self._inbox.look(payment_id)
        except Exception as error:  # noqa: BLE001 - as above
            self._ctx.log.warning("payment.look.failed", extra={"payment": payment_id, "error": _code(error)})
            pause = self._ctx.clock.now() + store.FIRST_POLL
            same = payments.c.id == payment_id
            await self._db.write(lambda session: session.execute(update(payments).where(same).values(due_at=pause)))
            return False
        return True

    async def _walk(self, name: str, provider: Any) -> Reconciled:
        query = select(cursors.c.cursor).where(cursors.c.provider == name)
        cursor = await self._db.read(lambda session: session.execute(query).scalar())
        looked = missed = 0
        try:
            async for cursor, event in provider.changes(cursor):  # noqa: B020 - where the next walk begins
                looked += 1
                if concerns_us(event):
                    missed += await self._inbox.take(told_of(event))
                if looked % SAVE_EVERY == 0:
                    await self._save(name, cursor)
                if looked == MAX_CHANGES:
                    break
        except (PaymentError, HubError, TimeoutError) as error:
            self._ctx.log.warning("payment.reconcile.cut", extra={"provider": name, "error": _code(error)})
            return Reconciled(looked=looked, missed=missed, incidents=0, complete=False)
        if cursor:
            await self._save(name, cursor)
        return Reconciled(looked=looked, missed=missed, incidents=0, complete=looked < MAX_CHANGES)

    async def _save(self, name: str, cursor: str) -> None:
        now = self._ctx.clock.now()

        def unit(session: Session) -> None:
            session.execute(delete(cursors).where(cursors.c.provider == name))
            session.execute(insert(cursors).values(provider=name, cursor=cursor, at=now))

        await self._db.write(unit)

    async def _compare_books(self) -> None:
        """Raise an incident for each provider and asset whose payments do not add up to what the ledger says that it owes."""
        sums = [func.sum(payments.c[name]) for name in ("captured", "refunded", "returned", "disputed", "fee")]
        query = select(payments.c.provider, payments.c.asset, *sums).group_by(payments.c.provider, payments.c.asset)
        now, ids = self._ctx.clock.now(), [self._ctx.new_id("pinc") for _ in range(64)]

        def unit(session: Session) -> None:
            for incident_id, (provider, asset, captured, *gone) in zip(ids, session.execute(query).all(), strict=False):
                owed, booked = int(captured) - int(sum(gone)), self._books.cleared(session, provider, asset)
                if owed != booked:
                    incident = Incident("books-differ", f"{asset}: payments say {owed}, the ledger {booked}")
                    store.note(session, incident_id, incident, provider=provider, payment="", about=f"{asset} {owed} {booked}", now=now)

        await self._db.write(unit, timeout=60)

    async def _needs_a_person(self, operation: Any) -> None:
        incident = Incident("needs-a-person", "the provider cannot be asked what became of it")
        more: Mapping[str, Any] = {"provider": operation.provider, "payment": operation.payment, "about": operation.id}
        incident_id, now = self._ctx.new_id("pinc"), self._ctx.clock.now()
        await self._db.write(lambda session: store.note(session, incident_id, incident, now=now, **more))

    async def _count_incidents(self) -> int:
        return await self._db.read(lambda session: session.execute(select(func.count()).select_from(incidents)).scalar_one())


def _code(error: Exception) -> str:
    return str(getattr(error, "code", "")) or type(error).__name__
