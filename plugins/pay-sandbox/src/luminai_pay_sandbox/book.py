"""The sandbox's book: payments, and the changes that come to them by themselves. Units of work, pure apart from their session."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from luminai import ClientAction, Money, PaymentError, PaymentResult, PaymentStatus
from luminai_pay_sandbox.models import clock, events, parties, payments
from luminai_pay_sandbox.outcomes import Outcome

SETTLE: Final = timedelta(days=2)
HOLD: Final = timedelta(days=7)
_WAITING: Final = (PaymentStatus.PENDING, PaymentStatus.REQUIRES_ACTION)
_TAKEN: Final = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED)


def refuse(code: str, text: str) -> PaymentError:
    """Return a definite no: nothing happened."""
    return PaymentError(text, definite=True, code=code)


def ahead(session: Session) -> timedelta:
    """Return how far the sandbox's clock is ahead of the hub's."""
    return timedelta(seconds=session.execute(select(clock.c.ahead).where(clock.c.id == 1)).scalar() or 0)


def advance(session: Session, seconds: int) -> None:
    """Move the clock on."""
    if not session.execute(update(clock).where(clock.c.id == 1).values(ahead=clock.c.ahead + seconds)).rowcount:  # type: ignore[attr-defined]
        session.execute(insert(clock).values(id=1, ahead=seconds))


class Book:
    """What is done in one unit of work, at the moment ``now`` of the sandbox's clock.

    Args:
        new_id: Makes ids; a unit that is run again makes new ones, and nothing of the first run stays.
        basis_points: Fee of what is captured.
    """

    def __init__(self, session: Session, now: datetime, new_id: Any, basis_points: int) -> None:
        self.session = session
        self.now = now + ahead(session)
        self._new_id = new_id
        self._basis_points = basis_points

    def find(self, ref: str, kind: str = "payment") -> Any:
        """Return a row as it stands now.

        Raises:
            PaymentError: there is none (code ``not-found``).
        """
        self.catch_up(ref)
        row = self.session.execute(select(payments).where(payments.c.ref == ref)).one_or_none()
        if row is None or kind not in ("", row.kind):
            raise refuse("not-found", f"there is no {kind or 'payment'} {ref[:60]!r}")
        return row

    def result(self, ref: str) -> PaymentResult:
        """Return what the contract calls the state of a row."""
        row = self.find(ref, "")
        action = ClientAction("three_d_secure", f"/api/pay-sandbox/payments/{ref}/act") if row.status == PaymentStatus.REQUIRES_ACTION else None
        return PaymentResult(
            ref=ref,
            status=PaymentStatus(row.status),
            amount=Money(row.amount, row.asset),
            captured=row.captured,
            refunded=row.refunded,
            fee=row.fee if row.captured else None,
            available_at=row.available_at,
            action=action,
            code=row.code,
        )

    def open(self, kind: str, amount: Money, status: PaymentStatus, **more: Any) -> str:
        """Write a row and the event of its first state; return its reference."""
        ref = str(self._new_id({"payment": "sbpay", "transfer": "sbtr", "payout": "sbpo"}[kind]))
        row = {"captured": 0, "refunded": 0, "moved": 0, "fee": 0, "code": "", "outcome": "card", "reference": "", "source": "", "capture": True}
        row |= {"ref": ref, "kind": kind, "asset": amount.asset, "amount": amount.minor, "status": status, "created_at": self.now} | more
        self.session.execute(insert(payments).values(**row))
        return ref

    def change(self, row: Any, outcome: Outcome | None = None, **values: Any) -> None:
        """Change a row, and note the event of its new state."""
        if "captured" in values:
            values |= {"fee": -(-values["captured"] * self._basis_points // 10_000), "available_at": self.now + SETTLE}
        self.session.execute(update(payments).where(payments.c.ref == row.ref).values(**values))
        self.note(row.ref, values.get("status", row.status), values.get("code", row.code), copies=outcome.copies if outcome else 1)

    def note(self, ref: str, status: str, code: str, *, copies: int = 1, delay: int = 0) -> None:
        """Note an event of now; its webhook is due ``delay`` seconds later."""
        seq = (self.session.execute(select(func.max(events.c.seq))).scalar() or 0) + 1
        self._event(ref, status, code, seq=seq, at=self.now, deliver_at=self.now + timedelta(seconds=delay), copies=copies)

    def plan(self, ref: str, status: str, code: str, after: timedelta, *, copies: int = 1) -> None:
        """Plan a change that comes by itself."""
        self._event(ref, status, code, seq=None, at=self.now + after, deliver_at=self.now + after, copies=copies)

    def catch_up(self, ref: str = "") -> None:
        """Let what was planned and is due happen, in its order; what no longer fits does not."""
        due = select(events).where(events.c.seq.is_(None), events.c.at <= self.now).order_by(events.c.at, events.c.id)
        for event in self.session.execute(due.where(events.c.ref == ref) if ref else due).all():
            row = self.session.execute(select(payments).where(payments.c.ref == event.ref)).one()
            values = self._becomes(row, event)
            if values is None:
                self.session.execute(events.delete().where(events.c.id == event.id))
                continue
            if values.get("captured"):
                fee = -(-values["captured"] * self._basis_points // 10_000)
                values |= {"fee": fee, "available_at": event.at + SETTLE}
            self.session.execute(update(payments).where(payments.c.ref == row.ref).values(**values))
            seq = (self.session.execute(select(func.max(events.c.seq))).scalar() or 0) + 1
            self.session.execute(update(events).where(events.c.id == event.id).values(seq=seq, status=values["status"]))

    def party(self, ref: str, kind: str) -> Any:
        """Return a customer, account or stored method.

        Raises:
            PaymentError: there is none (code ``not-found``).
        """
        row = self.session.execute(select(parties).where(parties.c.ref == ref, parties.c.kind == kind)).one_or_none()
        if row is None:
            raise refuse("not-found", f"there is no {kind} {ref[:60]!r}")
        return row

    def balance(self, account: str, asset: str) -> int:
        """Return what an account holds: transfers to it, without what was reversed and paid out."""
        mine = (payments.c.reference == account) & (payments.c.asset == asset)
        came = select(func.sum(payments.c.captured - payments.c.refunded)).where(mine, payments.c.kind == "transfer")
        went = select(func.sum(payments.c.captured)).where(mine, payments.c.kind == "payout")
        return int((self.session.execute(came).scalar() or 0) - (self.session.execute(went).scalar() or 0))

    def _event(self, ref: str, status: str, code: str, **more: Any) -> None:
        self.session.execute(insert(events).values(id=str(self._new_id("sbevt")), ref=ref, status=status, code=code, queued=False, **more))

    def _becomes(self, row: Any, event: Any) -> dict[str, Any] | None:
        """Return the columns that a planned change sets, None when the payment has gone another way."""
        status: str = event.status
        if event.code == "dispute_won":
            return {"status": totals_status(row.captured, row.refunded), "code": "dispute_won"} if row.status == PaymentStatus.DISPUTED else None
        if status == PaymentStatus.DISPUTE_LOST:
            return {"status": status, "code": event.code} if row.status == PaymentStatus.DISPUTED else None
        if status == PaymentStatus.DISPUTED or event.code == "returned":
            return {"status": status, "code": event.code} if row.status in _TAKEN and row.refunded < row.captured else None
        if status == PaymentStatus.VOIDED:
            return {"status": status, "code": event.code} if row.status == PaymentStatus.AUTHORIZED and not row.captured else None
        if row.status not in _WAITING:
            return None
        return settled(row) if status == PaymentStatus.CAPTURED else {"status": status, "code": event.code}


def settled(row: Any) -> dict[str, Any]:
    """Return the columns of a payment that its payer or bank agreed to."""
    if not row.capture:
        return {"status": PaymentStatus.AUTHORIZED, "code": ""}
    return {"status": PaymentStatus.CAPTURED, "captured": row.amount, "code": ""}


def totals_status(captured: int, refunded: int) -> PaymentStatus:
    """Return the state that follows from the totals."""
    if not refunded:
        return PaymentStatus.CAPTURED
    return PaymentStatus.REFUNDED if refunded == captured else PaymentStatus.PARTIALLY_REFUNDED
