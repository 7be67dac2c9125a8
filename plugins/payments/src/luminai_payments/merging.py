"""What a provider's word changes: ranks decide about the state, totals only grow, and what contradicts is an incident.

Pure. The rank is that of ``PaymentStatus``; a lower rank never overwrites a higher one, with two exceptions that a provider must say in so many
words: a dispute that was won (code ``dispute_won``) and a bank payment that was returned (code ``returned``).
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from luminai import PaymentResult, PaymentStatus

RANK: Final[dict[str, int]] = {
    PaymentStatus.UNKNOWN: -1,
    PaymentStatus.REQUIRES_ACTION: 0,
    PaymentStatus.PENDING: 1,
    PaymentStatus.AUTHORIZED: 2,
    PaymentStatus.CAPTURED: 3,
    PaymentStatus.VOIDED: 3,
    PaymentStatus.FAILED: 3,
    PaymentStatus.PARTIALLY_REFUNDED: 4,
    PaymentStatus.REFUNDED: 5,
    PaymentStatus.DISPUTED: 6,
    PaymentStatus.DISPUTE_LOST: 7,
}
OPEN: Final = (PaymentStatus.UNKNOWN, PaymentStatus.REQUIRES_ACTION, PaymentStatus.PENDING, PaymentStatus.AUTHORIZED)
TAKEN: Final = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED)
NEVER_ARRIVED: Final = "never-arrived"
"""Code of a failure that the hub concluded by itself: the provider's word overrules it."""


class Standing(Struct, frozen=True, kw_only=True):
    """Where a payment stands. Amounts are totals in minor units of its asset; ``disputed`` is what a dispute holds or took."""

    asset: str
    amount: int
    status: PaymentStatus
    captured: int = 0
    refunded: int = 0
    returned: int = 0
    disputed: int = 0
    fee: int = 0
    dispute: str = ""
    code: str = ""

    @property
    def rest(self) -> int:
        """What can still be given back."""
        return self.captured - self.refunded - self.returned


class Incident(Struct, frozen=True):
    """What does not add up."""

    kind: str
    detail: str


def standing_of(row: Any) -> Standing:
    """Return where the payment of a row stands."""
    return Standing(**{name: getattr(row, name) for name in Standing.__struct_fields__ if name != "status"}, status=PaymentStatus(row.status))


def merge(before: Standing, result: PaymentResult, *, is_current: bool) -> tuple[Standing, Incident | None]:
    """Return where a payment stands after a provider's word, and what does not add up; with an incident nothing has changed.

    Args:
        is_current: The word is newer than all that is known, so that totals which fell are an incident. Otherwise they are an older word.
    """
    wrong = _wrong(before, result, is_current=is_current)
    if wrong is not None:
        return before, wrong
    captured, refunded = max(before.captured, result.captured), max(before.refunded, result.refunded)
    if refunded + before.returned > captured:
        return before, Incident("refunded-too-much", f"{refunded} and {before.returned} went back of {captured}")
    after = replace(before, captured=captured, refunded=refunded, fee=before.fee if result.fee is None else result.fee)
    if result.status is PaymentStatus.FAILED and result.code == "returned" and before.captured:
        return replace(after, status=PaymentStatus.FAILED, code="returned", returned=before.returned + before.rest), None
    if result.code == "dispute_won" and result.status in TAKEN and before.dispute in ("", "open"):
        status = result.status if RANK[before.status] < RANK[result.status] or before.dispute == "open" else before.status
        return replace(after, status=status, code=result.code, dispute="won" if before.dispute else "", disputed=0), None
    if _rank(before) > RANK[result.status] or before.status == PaymentStatus(result.status):
        return after, None
    if result.status is PaymentStatus.DISPUTED:
        return replace(after, status=result.status, code=result.code, dispute="open", disputed=after.rest), None
    if result.status is PaymentStatus.DISPUTE_LOST:
        disputed = before.disputed if before.dispute == "open" else after.rest
        return replace(after, status=result.status, code=result.code, dispute="lost", disputed=disputed), None
    return replace(after, status=result.status, code=result.code), None


def _wrong(before: Standing, result: PaymentResult, *, is_current: bool) -> Incident | None:
    if (result.amount.asset, result.amount.minor) != (before.asset, before.amount):
        return Incident("amount-mismatch", f"{result.amount.minor} {result.amount.asset} instead of {before.amount} {before.asset}")
    if not 0 <= result.captured <= before.amount or not 0 <= result.refunded <= result.captured:
        return Incident("impossible-totals", f"captured {result.captured}, refunded {result.refunded} of {before.amount}")
    if is_current and (result.captured < before.captured or result.refunded < before.refunded):
        said = f"captured {before.captured} to {result.captured}, refunded {before.refunded} to {result.refunded}"
        return Incident("totals-fell", said)
    same_rank = _rank(before) == RANK[result.status] and before.status != result.status
    if same_rank and not (result.code == "returned" and before.captured):
        return Incident("conflicting-outcome", f"{before.status} before, {result.status} now")
    if result.status in TAKEN and not result.captured:
        return Incident("impossible-totals", f"{result.status}, but nothing is captured")
    return None


def _rank(before: Standing) -> int:
    return -1 if before.code == NEVER_ARRIVED else RANK[before.status]
