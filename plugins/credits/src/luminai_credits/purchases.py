"""What payments buy: offers at their price, units for a captured payment, and units taken back when the money goes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from luminai import Delivery, Event, Money, NotFound, PluginContext, Unprocessable
from luminai_credits.catalogue import Catalogue
from luminai_credits.events import Payment
from luminai_credits.models import buckets, grants, payments
from luminai_credits.products import Cash, Pack, Product
from luminai_credits.purse import Purse, side_of
from luminai_credits.subscriptions import Subscriptions
from luminai_credits.wallets import Gift, Wallets

PACK, PLAN = "pack", "plan"


class Purchases:
    """Answers and hears a plugin that takes payments; neither knows the other's code."""

    def __init__(self, ctx: PluginContext, catalogue: Catalogue, purse: Purse, wallets: Wallets, subscriptions: Subscriptions) -> None:
        self._ctx = ctx
        self._catalogue = catalogue
        self._purse = purse
        self._wallets = wallets
        self._subscriptions = subscriptions

    async def offer(self, asked: Any) -> Money | None:
        """Answer ``choose.offer``: what a pack or plan costs this person now; None for everything else."""
        if getattr(asked, "purpose", "") not in (PACK, PLAN):
            return None

        def unit(session: Session) -> Cash | None:
            product, item = self._item(session, asked.product)
            if asked.purpose == PACK:
                pack = product.pack(item)
                return pack.price if pack is not None else None
            return self._subscriptions.offer(self._wallets.find(session, asked.subject, product.product), product, item)

        try:
            price = await self._ctx.db.as_subject(asked.subject).read(unit)
        except NotFound:
            return None
        return Money(price.minor, price.asset) if price is not None and price.minor else None

    def hears(self, take: Callable[[Session, Payment, Event], None]) -> Callable[[Event, Delivery], Awaitable[None]]:
        """Return a handler of a durable subscription: ``take`` and the delivery's mark are one unit, in the name of the person who paid."""

        async def handle(event: Event, delivery: Delivery) -> None:
            def unit(session: Session) -> None:
                if event.payload.get("purpose") in (PACK, PLAN):
                    take(session, msgspec.convert(event.payload, Payment), event)
                delivery.finish(session)

            await self._ctx.db.as_subject(str(event.payload.get("subject", ""))).write(unit)

        return handle

    def captured(self, session: Session, payment: Payment, _: Event) -> None:
        """Give what was paid for, once by the payment's key.

        Raises:
            NotFound: there is no such pack or plan (code ``credits.unknown-item``).
            Unprocessable: another amount or asset was paid than it costs (code ``credits.amount-differs``). The delivery then waits for an operator.
        """
        if self._find(session, payment) is not None:
            return
        now = self._ctx.clock.now()
        product, item = self._item(session, payment.product)
        wallet = self._wallets.open(session, payment.subject, product, now)
        if payment.purpose == PACK:
            pack = product.pack(item)
            _check(payment, pack.price if pack is not None else None)
            grant_id = self._give_pack(session, wallet, pack, payment) if pack is not None else ""
        else:
            _check(payment, self._subscriptions.offer(wallet, product, item))
            self._subscriptions.paid(session, wallet, product, item, now)
            grant_id = ""
        row = {"id": self._ctx.new_id("cpy"), "subject": payment.subject, "key": payment.key, "wallet_id": wallet.id, "item": payment.product}
        amounts = {"minor": payment.amount, "asset": payment.asset, "refunded": 0, "taken_back": 0, "written_off": 0}
        session.execute(insert(payments).values(**row, **amounts, grant_id=grant_id, at=now))

    def refunded(self, session: Session, payment: Payment, event: Event) -> None:
        """Take back the units of the part of a payment that was refunded: what is unspent of them; what is spent is written off."""
        self._take_back(session, payment, event.id)

    def disputed(self, session: Session, payment: Payment, event: Event) -> None:
        """Take units back while a payment is disputed, and give them again when it is won."""
        state = event.payload.get("state", "open")
        if state == "open":
            self._take_back(session, payment, event.id)
        elif state == "won":
            self._give_again(session, payment, event.id)

    def _give_pack(self, session: Session, wallet: Any, pack: Pack, payment: Payment) -> str:
        now = self._ctx.clock.now()
        earlier = select(func.count()).select_from(grants).where(grants.c.subject == payment.subject, grants.c.wallet_id == wallet.id)
        is_first = not session.execute(earlier.where(grants.c.source == "purchase")).scalar_one()
        amount = pack.amount + (pack.first_bonus if is_first else 0)
        wallet = self._wallets.change(session, wallet, now, raised=wallet.raised + amount)
        ends = now + timedelta(days=pack.days) if pack.days else None
        gift = Gift(source="purchase", amount=amount, key=payment.key, expires_at=ends, note=pack.title)
        grant_id: str = self._wallets.give(session, wallet, gift, now).id
        return grant_id

    def _take_back(self, session: Session, payment: Payment, event_id: str) -> None:
        row = self._find(session, payment)
        if row is None:
            raise NotFound("This payment bought nothing here.", code="credits.unknown-payment", hint="It is told again; its capture may come first.")
        now = self._ctx.clock.now()
        product, item = self._item(session, row.item)
        wallet = self._wallets.open(session, payment.subject, product, now)
        refunded = min(row.minor, row.refunded + payment.amount)
        values: dict[str, Any] = {"refunded": refunded}
        if row.grant_id:
            granted = session.execute(select(grants).where(grants.c.id == row.grant_id, grants.c.subject == row.subject)).one()
            bucket = session.execute(select(buckets).where(buckets.c.id == granted.bucket_id, buckets.c.subject == row.subject)).one()
            due = granted.amount * refunded // row.minor - row.taken_back - row.written_off
            there = self._purse.balances(session, [bucket.account])[bucket.account].available
            taken = max(0, min(due, there))
            if taken:
                moves = [(bucket.account, side_of(wallet.id, "returned", wallet.unit), taken)]
                self._purse.move(session, f"back:{event_id}", moves, wallet.unit, code="credits.take-back", reference=row.id)
            values |= {"taken_back": row.taken_back + taken, "written_off": row.written_off + max(0, due - taken)}
            self._wallets.tell(session, wallet, now)
        elif refunded == row.minor and wallet.plan == item:
            self._subscriptions.end(session, wallet, product, now)
        session.execute(update(payments).where(payments.c.id == row.id, payments.c.subject == row.subject).values(**values))

    def _give_again(self, session: Session, payment: Payment, event_id: str) -> None:
        row = self._find(session, payment)
        if row is None or not row.taken_back:
            return
        now = self._ctx.clock.now()
        product, _ = self._item(session, row.item)
        wallet = self._wallets.open(session, payment.subject, product, now)
        gift = Gift(source="purchase", amount=row.taken_back, key=f"again:{event_id}", note="A dispute was won")
        self._wallets.give(session, wallet, gift, now)
        mine = (payments.c.id == row.id) & (payments.c.subject == row.subject)
        session.execute(update(payments).where(mine).values(refunded=max(0, row.refunded - payment.amount), taken_back=0))

    def _find(self, session: Session, payment: Payment) -> Any | None:
        query = select(payments).where(payments.c.key == payment.key, payments.c.subject == payment.subject)
        return session.execute(query.with_for_update()).first()

    def _item(self, session: Session, name: str) -> tuple[Product, str]:
        """Return the product and the pack's or plan's id of ``<product>/<id>``. Raises as ``Catalogue.product``."""
        product, _, item = name.partition("/")
        return self._catalogue.product(session, product), item


def _check(payment: Payment, price: Cash | None) -> None:
    if price is None:
        raise NotFound("Nothing of that name is sold to this person.", code="credits.unknown-item", hint="Refund the payment.")
    if (payment.amount, payment.asset) != (price.minor, price.asset):
        paid, costs = f"{payment.amount} {payment.asset}", f"{price.minor} {price.asset}"
        raise Unprocessable(f"{paid} was paid for what costs {costs}.", code="credits.amount-differs", hint="Refund the payment, or give a grant.")
