"""What Stripe's objects mean under the contract. Source: https://docs.stripe.com/payments/paymentintents/lifecycle, /api/charges, /api/disputes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from luminai import ClientAction, PaymentResult, PaymentStatus
from luminai_pay_stripe.amounts import from_wire

EXPAND: Final = ["latest_charge.balance_transaction"]
_STATUS: Final = {
    "requires_payment_method": PaymentStatus.REQUIRES_ACTION,
    "requires_confirmation": PaymentStatus.REQUIRES_ACTION,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PENDING,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "canceled": PaymentStatus.VOIDED,
    "succeeded": PaymentStatus.CAPTURED,
}
_PAYOUT: Final = {"paid": PaymentStatus.CAPTURED, "failed": PaymentStatus.FAILED, "canceled": PaymentStatus.VOIDED}
EVENTS: Final[dict[str, PaymentStatus]] = {
    "payment_intent.requires_action": PaymentStatus.REQUIRES_ACTION,
    "payment_intent.processing": PaymentStatus.PENDING,
    "payment_intent.amount_capturable_updated": PaymentStatus.AUTHORIZED,
    "payment_intent.succeeded": PaymentStatus.CAPTURED,
    "payment_intent.payment_failed": PaymentStatus.FAILED,
    "payment_intent.canceled": PaymentStatus.VOIDED,
    "charge.refunded": PaymentStatus.PARTIALLY_REFUNDED,
    "charge.dispute.created": PaymentStatus.DISPUTED,
    "charge.dispute.closed": PaymentStatus.DISPUTED,
    "refund.failed": PaymentStatus.CAPTURED,
}
"""Events that tell of a payment, with the state that they hint at; the payment itself is asked for."""


def payment(intent: Any, dispute: Any = None) -> PaymentResult:
    """Return a payment from its PaymentIntent, with ``EXPAND``, and its latest dispute."""
    charge = intent.get("latest_charge") or {}
    amount = from_wire(intent["amount"], intent["currency"])
    captured = from_wire(intent["amount_received"] or 0, intent["currency"]).minor
    refunded = from_wire(charge.get("amount_refunded") or 0, intent["currency"]).minor
    status, code = _STATUS[intent["status"]], ""
    error = intent.get("last_payment_error")
    if error and status is PaymentStatus.REQUIRES_ACTION and intent["status"] == "requires_payment_method":
        status, code = PaymentStatus.FAILED, error.get("decline_code") or error.get("code") or "failed"
    if status is PaymentStatus.CAPTURED and refunded:
        status = PaymentStatus.REFUNDED if refunded == captured else PaymentStatus.PARTIALLY_REFUNDED
    if dispute and captured and not dispute["status"].startswith("warning"):
        status, code = _disputed(dispute, status)
    balance = charge.get("balance_transaction") or {}
    is_same = balance.get("currency") == intent["currency"]
    return PaymentResult(
        ref=intent["id"],
        status=status,
        amount=amount,
        captured=captured,
        refunded=refunded,
        fee=from_wire(balance["fee"], balance["currency"]).minor if is_same else None,
        available_at=datetime.fromtimestamp(balance["available_on"], UTC) if balance.get("available_on") else None,
        action=_action(intent) if status is PaymentStatus.REQUIRES_ACTION else None,
        code=code[:60],
    )


def transfer(found: Any) -> PaymentResult:
    """Return a transfer to a connected account."""
    amount = from_wire(found["amount"], found["currency"])
    back = from_wire(found.get("amount_reversed") or 0, found["currency"]).minor
    status = PaymentStatus.CAPTURED if not back else PaymentStatus.REFUNDED if back == amount.minor else PaymentStatus.PARTIALLY_REFUNDED
    return PaymentResult(ref=found["id"], status=status, amount=amount, captured=amount.minor, refunded=back)


def payout(found: Any) -> PaymentResult:
    """Return a payout to a bank account."""
    amount = from_wire(found["amount"], found["currency"])
    status = _PAYOUT.get(found["status"], PaymentStatus.PENDING)
    captured = amount.minor if status is PaymentStatus.CAPTURED else 0
    return PaymentResult(ref=found["id"], status=status, amount=amount, captured=captured, code=found.get("failure_code") or "")


def ref_of(kind: str, found: Any) -> str:
    """Return the PaymentIntent that an event's object belongs to, "" for other objects."""
    if kind.startswith("payment_intent."):
        return str(found["id"])
    return str(found.get("payment_intent") or "")


def _disputed(dispute: Any, status: PaymentStatus) -> tuple[PaymentStatus, str]:
    if dispute["status"] == "won":
        return status, "dispute_won"
    if dispute["status"] == "lost":
        return PaymentStatus.DISPUTE_LOST, "dispute_lost"
    return PaymentStatus.DISPUTED, dispute.get("reason") or ""


def _action(intent: Any) -> ClientAction:
    url = ((intent.get("next_action") or {}).get("redirect_to_url") or {}).get("url") or ""
    data = {"client_secret": intent.get("client_secret") or ""}
    return ClientAction("redirect" if url else "three_d_secure", url, data)
