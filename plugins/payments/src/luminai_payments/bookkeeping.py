"""Journals: the difference between two standings, as transfers between the accounts of provider and person.

Each journal is named after the payment and the total that it leads to, so that the same news twice is one journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy.orm import Session

from luminai import Money, PluginContext, Unprocessable
from luminai_ledger import Account, Guard, Journal, Ledger, Transfer
from luminai_payments.merging import Standing

SCOPE: Final = "payments"


class Bookkeeper:
    """Writes journals in the unit of work of their cause.

    Accounts of a provider: ``payments:clearing:…`` is what it owes the hub, ``payments:fees:…`` what it took, ``payments:disputes:…`` what it
    holds back, ``payments:dispute-loss:…`` what is gone. ``payments:<purpose>`` is what a person paid for it; the ledger itself keeps it from
    going below nothing.
    """

    def __init__(self, ctx: PluginContext) -> None:
        self._ledger = ctx.service(Ledger)

    def check(self, session: Session, subject: str, purpose: str, asset: str) -> None:
        """Make sure that the payment can be booked before it is made.

        Raises:
            Unprocessable: the ledger does not know the asset (code ``ledger.unknown-asset``).
        """
        self._ledger.open(session, _bucket(subject, purpose, asset))

    def book(self, session: Session, payment: Any, before: Standing, after: Standing) -> None:
        """Write what changed.

        Raises:
            Unprocessable: the ledger refuses it (code ``payments.not-booked``); nothing of the unit may stay.
        """
        for what, total, debit, credit, minor in _movements(payment, before, after):
            legs = (
                Transfer(
                    debit=self._ledger.open(session, debit),
                    credit=self._ledger.open(session, credit),
                    amount=Money(minor, before.asset),
                    code=f"payments.{what}",
                    reference=payment.id,
                ),
            )
            (outcome,) = self._ledger.apply(session, Journal(scope=SCOPE, key=f"{payment.id}:{what}:{total}:{payment.version}", legs=legs))
            if not outcome.done:
                detail = f"{what} of {payment.id}: {outcome.result} {outcome.reason}"
                raise Unprocessable(detail, code="payments.not-booked", hint="`luminai ledger verify` checks the books.")

    def cleared(self, session: Session, provider: str, asset: str) -> int:
        """Return what a provider owes by the books, in minor units."""
        identity = _account("clearing", provider, asset).id
        found = self._ledger.balances(session, [identity]).get(identity)
        return -found.posted if found else 0


def _movements(payment: Any, before: Standing, after: Standing) -> Iterator[tuple[str, int, Account, Account, int]]:
    """Yield what happened, the total that it leads to, debit, credit and how much."""
    clearing, fees, disputes, loss = (_account(name, payment.provider, before.asset) for name in ("clearing", "fees", "disputes", "dispute-loss"))
    bucket = _bucket(payment.subject, payment.purpose, before.asset)
    if taken := after.captured - before.captured:
        yield "captured", after.captured, clearing, bucket, taken
    if refunded := after.refunded - before.refunded:
        yield "refunded", after.refunded, bucket, clearing, refunded
    if returned := after.returned - before.returned:
        yield "returned", after.returned, bucket, clearing, returned
    fee = after.fee - before.fee
    if fee > 0:
        yield "fee", after.fee, fees, clearing, fee
    elif fee < 0:
        yield "fee-back", after.fee, clearing, fees, -fee
    disputed = after.disputed - before.disputed
    if disputed > 0:
        yield "disputed", after.disputed, disputes, clearing, disputed
    elif disputed < 0:
        yield "dispute-won", after.disputed, clearing, disputes, -disputed
    if after.dispute == "lost" and before.dispute != "lost" and after.disputed:
        yield "dispute-lost", after.disputed, loss, disputes, after.disputed


def _account(name: str, provider: str, asset: str) -> Account:
    return Account(purpose=f"payments:{name}:{provider}", asset=asset)


def _bucket(subject: str, purpose: str, asset: str) -> Account:
    return Account(purpose=f"payments:{purpose}", asset=asset, owner=subject, guard=Guard.DEBITS)
