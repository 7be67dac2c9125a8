"""Gives back what a settled action cost: in full, once, within the product's days for the person, at any time for an operator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from luminai import Conflict, NotFound, PluginContext, Unprocessable
from luminai_credits.catalogue import Catalogue
from luminai_credits.events import Refunded
from luminai_credits.models import usage
from luminai_credits.purse import Purse, side_of
from luminai_credits.wallets import Gift, Wallets


class Refunds:
    """Refunds usage; a plain function of a session, confined to the person's own rows."""

    def __init__(self, ctx: PluginContext, catalogue: Catalogue, purse: Purse, wallets: Wallets) -> None:
        self._ctx = ctx
        self._catalogue = catalogue
        self._purse = purse
        self._wallets = wallets

    def refund(self, session: Session, subject: str, usage_id: str, reason: str, *, by_operator: bool) -> Any:
        """Refund an action and return its row. What does not fit below the product's maximum is not given back.

        Raises:
            NotFound: the person has no such usage (code ``credits.usage-not-found``).
            Conflict: it was refunded before (code ``credits.refunded-before``).
            Unprocessable: it was not charged, or the rules do not allow it (code ``credits.not-refundable``).
        """
        now = self._ctx.clock.now()
        mine = (usage.c.id == usage_id) & (usage.c.subject == subject)
        row = session.execute(select(usage).where(mine).with_for_update()).first()
        if row is None:
            raise NotFound("There is no such usage.", code="credits.usage-not-found", hint="GET /api/credits/usage lists yours.")
        if row.state == "refunded":
            raise Conflict("This was refunded before.", code="credits.refunded-before", hint="An action is refunded once.")
        product = self._catalogue.product(session, row.product)
        if row.state != "settled" or not row.amount:
            raise _not_refundable("Nothing was charged for it.")
        if not by_operator:
            if not product.refund.days or not self._catalogue.price_of(session, row.price_id).refundable:
                raise _not_refundable("The product does not refund this action.")
            if now > row.closed_at + timedelta(days=product.refund.days):
                raise _not_refundable(f"It is more than {product.refund.days} days ago.")
        wallet = self._wallets.open(session, subject, product, now)
        amount = self._wallets.room(session, wallet, product, row.amount, now)
        if amount:
            gift = Gift(source="refund", amount=amount, key=f"refund:{row.id}", note=reason)
            bucket = self._wallets.bucket(session, wallet, gift, now)
            moves = [(side_of(wallet.id, "spent", wallet.unit), bucket.account, amount)]
            self._purse.move(session, gift.key, moves, wallet.unit, code="credits.refund", reference=row.id)
            self._wallets.note(session, wallet, bucket.id, gift, now)
        session.execute(update(usage).where(mine).values(state="refunded", refunded_at=now))
        self._wallets.publish(session, "Refunded", Refunded(row.id, row.product, row.unit, amount), subject)
        self._wallets.tell(session, wallet, now)
        return session.execute(select(usage).where(mine)).one()


def _not_refundable(detail: str) -> Unprocessable:
    return Unprocessable(detail, code="credits.not-refundable", hint="An operator can refund what the rules do not.")
