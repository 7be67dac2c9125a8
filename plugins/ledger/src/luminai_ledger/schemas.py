"""What goes over the wire besides the values of the face."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from luminai import Money
from luminai_ledger.accounts import Balance
from luminai_ledger.assets import MAX_MINOR, format_amount
from luminai_ledger.journal import Code, Hold, Key, Post, Reference, Transfer, Void
from luminai_ledger.moments import moment
from luminai_ledger.reading import wire
from luminai_ledger.verify import Verification

MAX_POSTED_LEGS = 100
"""Legs of a journal that comes over HTTP."""


class Report(Struct, frozen=True, kw_only=True):
    """A reconciliation of the ledger with itself."""

    id: str
    at: datetime
    verification: Verification


class ReportView(Struct, frozen=True, kw_only=True):
    """A report as it is kept. ``digest`` is its SHA-256; the entry in the audit log that has the same is under the log's signed checkpoints."""

    report: Report
    digest: str
    audit_entry: str


class AmountView(Struct, frozen=True, kw_only=True):
    """An amount for reading: ``text`` is ``minor`` with the decimals of its asset, and is never read back."""

    minor: int
    asset: str
    text: str


class AccountView(Struct, frozen=True, kw_only=True):
    """An account for operators."""

    id: str
    tenant: str
    owner: str
    purpose: str
    asset: str
    guard: int
    overdraft: int
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    last_seq: int
    opened_at: datetime
    closed_at: datetime | None = None


class OwnBalance(Struct, frozen=True, kw_only=True):
    """What somebody has in one account.

    Attributes:
        posted: What is settled.
        pending: What of it is held for work that goes on.
        available: What can be spent now.
    """

    account: str
    purpose: str
    posted: AmountView
    pending: AmountView
    available: AmountView


class Amount(Money, frozen=True, forbid_unknown_fields=True):
    """What is to be moved, in whole minor units."""

    minor: Annotated[int, Meta(ge=1, le=MAX_MINOR)]


class TransferLeg(Transfer, frozen=True, kw_only=True, tag="transfer", tag_field="type", forbid_unknown_fields=True):
    """Moves ``amount`` from ``debit`` to ``credit`` for good."""

    amount: Amount


class HoldLeg(Hold, frozen=True, kw_only=True, tag="hold", tag_field="type", forbid_unknown_fields=True):
    """Sets ``amount`` aside until it is posted or voided; with ``seconds`` until nobody renewed it for so long."""

    amount: Amount


class PostLeg(Post, frozen=True, kw_only=True, tag="post", tag_field="type", forbid_unknown_fields=True):
    """Moves what was held, all of it or ``amount``; the rest is free again."""

    amount: Amount | None = None


class PostJournal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A journal by an operator's hand: all legs or none. The same ``key`` with the same legs is the same journal."""

    key: Key
    legs: Annotated[tuple[TransferLeg | HoldLeg | PostLeg | Void, ...], Meta(min_length=1, max_length=MAX_POSTED_LEGS)]
    reason: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+\Z")]


class ReverseJournal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Takes a journal back, once."""

    reason: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
    code: Code = "ledger.reverse"
    reference: Reference = ""


def account_view(row: Any) -> AccountView:
    """Return an account's row for operators."""
    same = ("tenant", "owner", "purpose", "asset", "guard", "overdraft", "debits_posted", "credits_posted", "debits_pending", "credits_pending")
    closed_at = None if row.closed_at is None else moment(row.closed_at)
    values = {name: getattr(row, name) for name in (*same, "last_seq")}
    return AccountView(id=wire("acc", row.id), opened_at=moment(row.opened_at), closed_at=closed_at, **values)


def own_balance(purpose: str, balance: Balance, exponent: int) -> OwnBalance:
    """Return a balance with its texts."""

    def amount(minor: int) -> AmountView:
        return AmountView(minor=minor, asset=balance.asset, text=format_amount(minor, exponent))

    return OwnBalance(
        account=balance.account,
        purpose=purpose,
        posted=amount(balance.posted),
        pending=amount(balance.pending),
        available=amount(balance.available),
    )
