"""The tables, in units of work."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session

from luminai import ClientAction, Conflict, Money, NotFound, PaymentStatus
from luminai_payments.merging import NEVER_ARRIVED, Incident, Standing
from luminai_payments.models import incidents, operations, payments
from luminai_payments.schemas import ActionView, IncidentView, OperationView, OwnedPaymentView, PaymentView

LEASE: Final = timedelta(seconds=90)
"""How long an effect may be under way before somebody else asks about it; longer than the deadline of a call."""
FIRST_POLL: Final = timedelta(minutes=5)
LAST_POLL: Final = timedelta(hours=6)
WAITING: Final = (PaymentStatus.PENDING, PaymentStatus.REQUIRES_ACTION, PaymentStatus.AUTHORIZED)
STILL_OPEN: Final = ("started", "unknown")


def find(session: Session, payment_id: str, subject: str = "") -> Any:
    """Return a payment's row.

    Raises:
        NotFound: there is none, or it is not the subject's (code ``payments.not-found``).
    """
    query = select(payments).where(payments.c.id == payment_id)
    row = session.execute(query.where(payments.c.subject == subject) if subject else query).one_or_none()
    if row is None:
        raise NotFound("There is no such payment.", code="payments.not-found", hint="GET /api/payments/history lists yours.")
    return row


def by_ref(session: Session, provider: str, ref: str) -> Any:
    """Return the payment that a provider knows as ``ref``, None if there is none."""
    return session.execute(select(payments).where(payments.c.provider == provider, payments.c.ref == ref)).one_or_none()


def begin(session: Session, payment: Any, operation: dict[str, Any], now: datetime, **more: Any) -> None:
    """Write down what is going to be asked of the provider, before it is asked; ``more`` are columns of the payment that change with it.

    Raises:
        Conflict: the outcome of something else is still open (code ``payments.busy``).
    """
    if payment.doing:
        hint = "Try again in a minute; what is unknown is asked about until it is known."
        raise Conflict(f"A {payment.doing} of this payment is under way.", code="payments.busy", hint=hint, retry_after=30)
    row = {"payment": payment.id, "subject": payment.subject, "attempt": payment.attempt, "state": "started", "code": "", "ref": "", "tries": 0}
    session.execute(insert(operations).values(**(row | operation), created_at=now, due_at=now + LEASE))
    changes = {"doing": operation["kind"], "version": payment.version + 1, "updated_at": now} | more
    session.execute(update(payments).where(payments.c.id == payment.id).values(**changes))


def end(session: Session, operation: Any, state: str, code: str, ref: str = "") -> None:
    """Close an operation: its outcome is known."""
    changes = {"state": state, "code": code[:60], "ref": ref or operation.ref, "due_at": None}
    session.execute(update(operations).where(operations.c.id == operation.id).values(**changes))


def open_operation(session: Session, operation_id: str) -> Any:
    """Return an operation whose outcome is not known, or was only concluded by the hub; None for any other."""
    row = session.execute(select(operations).where(operations.c.id == operation_id)).one()
    return row if row.state in STILL_OPEN or row.code == NEVER_ARRIVED else None


def put_off(session: Session, operation: Any, code: str, now: datetime) -> None:
    """Ask again later: after half a minute, then twice as long each time, up to an hour."""
    pause = timedelta(seconds=min(3600, 30 * 2 ** min(operation.tries, 10)))
    values = {"state": "unknown", "code": code[:60], "tries": operation.tries + 1, "due_at": now + pause}
    session.execute(update(operations).where(operations.c.id == operation.id).values(**values))


def write(session: Session, payment: Any, after: Standing, now: datetime, **more: Any) -> None:
    """Write where a payment stands now; what still waits is asked about again, the later the older it is."""
    values = {name: getattr(after, name) for name in ("captured", "refunded", "returned", "disputed", "fee", "status", "dispute", "code")}
    pause = min(max(now - payment.created_at, FIRST_POLL), LAST_POLL)
    values |= {"version": payment.version + 1, "updated_at": now, "due_at": now + pause if after.status in WAITING else None} | more
    session.execute(update(payments).where(payments.c.id == payment.id).values(**values))


def note(session: Session, incident_id: str, incident: Incident, *, provider: str, payment: str, about: str, now: datetime) -> bool:
    """Write an incident down; return False when the same is known."""
    same = (incidents.c.provider == provider) & (incidents.c.kind == incident.kind) & (incidents.c.about == about[:200])
    if session.execute(select(incidents.c.id).where(same)).first() is not None:
        return False
    row = {"id": incident_id, "provider": provider, "payment": payment, "kind": incident.kind, "about": about[:200], "detail": incident.detail[:500]}
    session.execute(insert(incidents).values(**row, created_at=now))
    return True


def page(query: Select[Any], column: Any, limit: int, before: str | None) -> Select[Any]:
    """Return a query for a page, newest first."""
    return (query.where(column < before) if before else query).order_by(column.desc()).limit(limit)


def view(row: Any) -> PaymentView:
    """Return a payment as its owner sees it."""
    return PaymentView(**_fields(row))


def owned_view(row: Any) -> OwnedPaymentView:
    """Return a payment as operators see it."""
    return OwnedPaymentView(subject=row.subject, ref=row.ref or "", **_fields(row))


def shown(action: ClientAction) -> ActionView:
    """Return what the payer must do next as clients see it."""
    return ActionView(action.kind, action.url, dict(action.data))


def operation_view(row: Any) -> OperationView:
    """Return an operation as operators see it."""
    return OperationView(**{name: getattr(row, name) for name in OperationView.__struct_fields__})


def incident_view(row: Any) -> IncidentView:
    """Return an incident as operators see it."""
    return IncidentView(**{name: getattr(row, name) for name in IncidentView.__struct_fields__})


def _fields(row: Any) -> dict[str, Any]:
    same = ("id", "purpose", "product", "provider", "captured", "refunded", "returned", "disputed", "fee", "dispute", "code", "doing", "attempt")
    kind, _, url = row.action.partition(" ")
    action = ActionView(kind, url) if kind and row.status == PaymentStatus.REQUIRES_ACTION else None
    more = {"amount": Money(row.amount, row.asset), "status": PaymentStatus(row.status), "action": action}
    return {name: getattr(row, name) for name in (*same, "created_at", "updated_at")} | more
