"""Journals checked by themselves and brought into the form that the books work with: bytes and whole numbers."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from luminai import HubError, Money
from luminai_ledger.assets import MAX_MINOR
from luminai_ledger.journal import MAX_LEGS, Hold, Journal, Outcome, Post, Result, Transfer, Void, raw, raw_transfer_id

SINGLE, PENDING, POST, VOID = range(4)
_MAX_SECONDS: Final = 366 * 86_400
_KINDS: Final[dict[Any, int]] = {Transfer: SINGLE, Hold: PENDING, Post: POST, Void: VOID}


class Leg:
    """A leg of a journal; ``debit`` and ``credit`` of a post or void are those of its hold, ``amount`` None is all of it."""

    __slots__ = ("amount", "asset", "code", "credit", "debit", "hold", "id", "kind", "reference", "seconds")

    def __init__(self, identity: bytes, kind: int, leg: Any) -> None:
        self.id = identity
        self.kind = kind
        self.code: str = leg.code
        self.reference: str = leg.reference
        self.seconds: int = leg.seconds if kind == PENDING else 0
        money: Money | None = None if kind == VOID else leg.amount
        self.amount = None if money is None else money.minor
        self.asset = None if money is None else money.asset
        self.hold = raw(leg.hold) if kind >= POST else None
        self.debit = b"" if kind >= POST else raw(leg.debit)
        self.credit = b"" if kind >= POST else raw(leg.credit)


class Prepared(Struct, frozen=True):
    """A journal that is sound by itself. ``reverses`` is the journal that it takes back."""

    id: bytes
    legs: tuple[Leg, ...]
    reverses: bytes | None = None


class Refusal(Exception):
    """A journal, or one leg of it, cannot be: ``result`` and a ``reason`` as of ``Outcome``."""

    def __init__(self, result: Result, reason: str, *, leg: int = 0, account: bytes = b"", available: int = 0) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.leg = leg
        self.account = account
        self.available = available


def prepare(journal: Journal, reverses: str = "") -> Prepared:
    """Return the journal in the form of the books.

    Raises:
        Refusal: it is malformed in itself, whatever the books say (``invalid``).
    """
    scope, key = journal.scope, journal.key
    if not (_is_text(scope, 1, 60) and _is_text(key, 1, 200)):
        raise Refusal(Result.INVALID, "key")
    if not 1 <= len(journal.legs) <= MAX_LEGS:
        raise Refusal(Result.INVALID, "legs")
    legs = tuple(_leg(raw_transfer_id(scope, key, number), number, leg) for number, leg in enumerate(journal.legs))
    return Prepared(legs[0].id, legs, raw(reverses) if reverses else None)


def _leg(identity: bytes, number: int, leg: Any) -> Leg:
    kind = _KINDS.get(type(leg))
    if kind is None:  # a kind of one of them
        kind = next((number for made, number in _KINDS.items() if isinstance(leg, made)), None)
    if kind is None:
        raise Refusal(Result.INVALID, "kind", leg=number)
    try:
        made = Leg(identity, kind, leg)
    except (HubError, TypeError, AttributeError):
        raise Refusal(Result.INVALID, "id", leg=number) from None
    if not (_is_text(made.code, 1, 80) and _is_text(made.reference, 0, 200)):
        raise Refusal(Result.INVALID, "text", leg=number)
    amount = made.amount
    if amount is None:
        if kind < POST:
            raise Refusal(Result.INVALID, "amount", leg=number)
    elif type(amount) is not int or not 1 <= amount <= MAX_MINOR:  # True is an int too, and no amount
        raise Refusal(Result.INVALID, "amount", leg=number)
    if type(made.seconds) is not int or not 0 <= made.seconds <= _MAX_SECONDS:
        raise Refusal(Result.INVALID, "lease", leg=number)
    if kind < POST and made.debit == made.credit:
        raise Refusal(Result.INVALID, "same-account", leg=number)
    return made


def _is_text(value: Any, least: int, most: int) -> bool:
    return type(value) is str and least <= len(value) <= most and value.isprintable()


def refused(journal: Journal, refusal: Refusal) -> Outcome:
    """Return the outcome of a journal that could not be prepared."""
    results = tuple(refusal.result if number == refusal.leg else Result.LINKED_FAILED for number in range(min(len(journal.legs), MAX_LEGS)))
    return Outcome(result=refusal.result, id=journal.id, legs=results, reason=refusal.reason)
