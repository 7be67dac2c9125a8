"""What clients send and see."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from luminai import Money, PaymentStatus


class OutcomeView(Struct, frozen=True):
    """An outcome: pay by this method, or this amount in minor units (0: any that is not named), and that happens."""

    method: str
    amount: int
    summary: str


class PaymentView(Struct, frozen=True, kw_only=True):
    """A payment, transfer or payout of the sandbox, in minor units; ``moved`` is what was passed on to accounts."""

    ref: str
    kind: str
    status: PaymentStatus
    amount: Money
    captured: int
    refunded: int
    moved: int
    fee: int
    code: str
    outcome: str
    created_at: datetime


class Act(Struct, frozen=True, forbid_unknown_fields=True):
    """What payer or bank do: ``confirm`` or ``refuse`` what needs confirmation, ``dispute`` what was taken, let the dispute be won or lost
    (``win``, ``lose``), or ``return`` a bank payment.
    """

    act: Literal["confirm", "refuse", "dispute", "win", "lose", "return"]


class ClockView(Struct, frozen=True):
    """The sandbox's time, and how many seconds it is ahead of the hub."""

    now: datetime
    ahead: int


class Advance(Struct, frozen=True, forbid_unknown_fields=True):
    """Move the clock on by so many seconds, at most a year."""

    seconds: Annotated[int, Meta(ge=1, le=31_622_400)]
