"""What can become of a payment, chosen by the method's name or by the amount. The README shows the table; a test compares them."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from luminai import PaymentStatus

MINUTE: Final = 60
DAY: Final = 86_400


class Later(Struct, frozen=True):
    """A change that comes by itself, ``after`` seconds of the sandbox's clock."""

    after: int
    status: PaymentStatus
    code: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """One fate of a payment.

    Attributes:
        name: The method that brings it about; so does ``amount``, in minor units of any asset.
        first: What an authorization with capture answers; "authorized" and "captured" follow the request.
        answer: ``lost``: it happened and nobody is told; ``never``: it did not arrive, and nobody is told; ``late``: as ``lost``, and found
            only after ten minutes.
        later: What follows by itself.
        copies: How often each webhook comes.
        reordered: The webhook of the first change comes behind that of the next one.
        refund: What becomes of a refund.
    """

    name: str
    amount: int
    summary: str
    first: PaymentStatus = PaymentStatus.CAPTURED
    code: str = ""
    answer: Literal["given", "lost", "never", "late"] = "given"
    later: tuple[Later, ...] = ()
    copies: int = 1
    reordered: bool = False
    refund: Literal["done", "refused", "lost"] = "done"


def _declined(number: int, code: str, summary: str) -> Outcome:
    return Outcome(name=f"card_{code}", amount=400_000 + number, summary=summary, first=PaymentStatus.FAILED, code=code)


_PENDING, _CAPTURED, _FAILED = PaymentStatus.PENDING, PaymentStatus.CAPTURED, PaymentStatus.FAILED
_DISPUTED: Final = Later(DAY, PaymentStatus.DISPUTED, "fraudulent")

OUTCOMES: Final[tuple[Outcome, ...]] = (
    Outcome(name="card", amount=0, summary="succeeds, as every amount that is not named here"),
    _declined(1, "declined", "the bank declines, without a reason"),
    _declined(2, "insufficient_funds", "the bank declines: not enough money"),
    _declined(3, "expired", "the bank declines: the card is expired"),
    _declined(4, "lost_or_stolen", "the bank declines: the card was reported"),
    _declined(5, "processing_error", "the provider could not process it"),
    Outcome(name="card_requires_action", amount=400_010, summary="the payer has to confirm", first=PaymentStatus.REQUIRES_ACTION),
    Outcome(name="card_answer_lost", amount=400_011, summary="is taken, but the answer is lost", answer="lost"),
    Outcome(name="card_never_arrived", amount=400_012, summary="never arrives, and nobody is told", answer="never"),
    Outcome(name="card_answer_late", amount=400_013, summary="is taken, and found only after ten minutes", answer="late"),
    Outcome(
        name="card_delayed", amount=400_020, summary="is pending, and succeeds after a minute", first=_PENDING, later=(Later(MINUTE, _CAPTURED),)
    ),
    Outcome(
        name="card_delayed_failure",
        amount=400_021,
        summary="is pending, and fails after a minute",
        first=_PENDING,
        later=(Later(MINUTE, _FAILED, "declined"),),
    ),
    Outcome(name="card_duplicated", amount=400_022, summary="succeeds; each webhook comes three times", copies=3),
    Outcome(
        name="card_reordered",
        amount=400_023,
        summary="is pending, and succeeds after a minute; the webhooks come in the wrong order",
        first=_PENDING,
        later=(Later(MINUTE, _CAPTURED),),
        reordered=True,
    ),
    Outcome(name="card_disputed", amount=400_030, summary="succeeds, and is disputed after a day", later=(_DISPUTED,)),
    Outcome(
        name="card_dispute_won",
        amount=400_031,
        summary="is disputed after a day, and the dispute is won after another",
        later=(_DISPUTED, Later(2 * DAY, _CAPTURED, "dispute_won")),
    ),
    Outcome(
        name="card_dispute_lost",
        amount=400_032,
        summary="is disputed after a day, and the dispute is lost after another",
        later=(_DISPUTED, Later(2 * DAY, PaymentStatus.DISPUTE_LOST, "dispute_lost")),
    ),
    Outcome(name="card_refund_refused", amount=400_040, summary="succeeds, but refunds are refused", refund="refused"),
    Outcome(name="card_refund_lost", amount=400_041, summary="succeeds, and refunds are done, but their answer is lost", refund="lost"),
    Outcome(
        name="bank_returned",
        amount=400_050,
        summary="succeeds, and the bank takes it back after four days",
        later=(Later(4 * DAY, _FAILED, "returned"),),
    ),
)
_BY_NAME: Final = {one.name: one for one in OUTCOMES}
_BY_AMOUNT: Final = {one.amount: one for one in OUTCOMES}


def named(name: str) -> Outcome | None:
    """Return the outcome of that name."""
    return _BY_NAME.get(name)


def outcome_of(method: str, amount: int) -> Outcome:
    """Return what becomes of ``amount`` minor units paid by ``method``: a magic name decides before a magic amount."""
    found = _BY_NAME.get(method, OUTCOMES[0])
    return _BY_AMOUNT.get(amount, found) if found is OUTCOMES[0] else found
