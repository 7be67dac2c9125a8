"""The decision: journals, one after the other, against the balances that they meet. In memory; nothing here reads or writes."""

from __future__ import annotations

from typing import Any, Final

from luminai_ledger.assets import MAX_MINOR
from luminai_ledger.journal import Result
from luminai_ledger.prepared import PENDING, POST, SINGLE, VOID, Leg, Prepared, Refusal

COLUMNS: Final = (
    *("id", "kind", "debit", "credit", "amount", "released", "hold", "code", "reference", "journal", "legs", "reverses", "at", "expires_at"),
    *("dr_debits_posted", "dr_credits_posted", "dr_debits_pending", "dr_credits_pending"),
    *("cr_debits_posted", "cr_credits_posted", "cr_debits_pending", "cr_credits_pending"),
)
"""Of the tuples in ``Books.rows``."""
Stored = tuple[int, bytes, bytes, int, int, bytes | None, str, str, int, bytes | None]
"""What the books know of a transfer: kind, debit, credit, amount, released, hold, code, reference, number of legs of the journal that it begins, and
the journal that it takes back."""

Balances = tuple[int, int, int, int]
"""Debits and credits posted, debits and credits pending."""
Held = tuple[bytes, bytes, int]
"""An open hold: debit, credit, amount."""


class State:
    """An account while journals are decided."""

    __slots__ = ("asset", "credits_pending", "credits_posted", "debits_pending", "debits_posted", "guard", "is_closed", "overdraft")

    def __init__(self, asset: str, guard: int, overdraft: int, is_closed: bool, balances: Balances) -> None:
        self.asset = asset
        self.guard = guard
        self.overdraft = overdraft
        self.is_closed = is_closed
        self.put(balances)

    def balances(self) -> Balances:
        """Return the four balances, in the order of the columns."""
        return (self.debits_posted, self.credits_posted, self.debits_pending, self.credits_pending)

    def put(self, balances: Balances) -> None:
        """Set the four balances."""
        self.debits_posted, self.credits_posted, self.debits_pending, self.credits_pending = balances


class Books:
    """What was loaded for a batch, and what it adds.

    Attributes:
        accounts: By id.
        stored: Transfers of the same ids that are there.
        holds: Open holds: debit, credit, amount.
        reversed: Journals that were taken back.
        rows: New transfers in the order of ``COLUMNS``.
    """

    __slots__ = ("accounts", "at", "holds", "reversed", "rows", "stored")

    def __init__(self, at: int) -> None:
        self.at = at
        self.accounts: dict[bytes, State] = {}
        self.stored: dict[bytes, Stored] = {}
        self.holds: dict[bytes, Held] = {}
        self.reversed: set[bytes] = set()
        self.rows: list[tuple[Any, ...]] = []

    def decide(self, journal: Prepared) -> Result:
        """Add the journal's rows and return ``ok``, or ``exists`` when it is there.

        Raises:
            Refusal: it cannot be; nothing of it was added.
        """
        if journal.id in self.stored:
            if self._is_same(journal):
                return Result.EXISTS
            raise Refusal(Result.EXISTS_WITH_DIFFERENT_CONTENT, "content")
        if journal.reverses is not None and journal.reverses in self.reversed:
            raise Refusal(Result.INVALID, "already-reversed")
        before = len(self.rows)
        touched: dict[bytes, Balances] = {}
        resolved: dict[bytes, Held] = {}
        try:
            for number, leg in enumerate(journal.legs):
                self._add(journal, number, leg, touched, resolved)
        except Refusal:
            for identity, balances in touched.items():
                self.accounts[identity].put(balances)
            for row in self.rows[before:]:
                self.holds.pop(row[0], None)
                del self.stored[row[0]]
            own = {row[0] for row in self.rows[before:]}
            self.holds.update({identity: hold for identity, hold in resolved.items() if identity not in own})
            del self.rows[before:]
            raise
        if journal.reverses is not None:
            self.reversed.add(journal.reverses)
        return Result.OK

    def _add(self, journal: Prepared, number: int, leg: Leg, touched: dict[bytes, Balances], resolved: dict[bytes, Held]) -> None:
        kind, hold = leg.kind, leg.hold
        debit, credit, amount, released = self._resolve(leg, number)
        dr, cr = self._open(debit, number), self._open(credit, number)
        if dr.asset != cr.asset or (leg.asset is not None and leg.asset != dr.asset):
            raise Refusal(Result.INVALID, "asset", leg=number)
        touched.setdefault(debit, dr.balances())
        touched.setdefault(credit, cr.balances())
        if kind in (SINGLE, POST):
            dr.debits_posted += amount
            cr.credits_posted += amount
        pending = amount if kind == PENDING else -released
        dr.debits_pending += pending
        cr.credits_pending += pending
        self._guard(debit, credit, touched, number)
        if hold is not None:
            resolved[hold] = self.holds.pop(hold)
        elif kind == PENDING:
            self.holds[leg.id] = (debit, credit, amount)
        legs, reverses = (len(journal.legs), journal.reverses) if number == 0 else (0, None)
        self.stored[leg.id] = (kind, debit, credit, amount, released, hold, leg.code, leg.reference, legs, reverses)
        expires = self.at + leg.seconds * 1_000_000 if leg.seconds else None
        row = (leg.id, kind, debit, credit, amount, released, hold, leg.code, leg.reference, journal.id, legs, reverses, self.at, expires)
        self.rows.append((*row, *dr.balances(), *cr.balances()))

    def _resolve(self, leg: Leg, number: int) -> tuple[bytes, bytes, int, int]:
        """Return both accounts, the amount, and what a hold had set aside."""
        if leg.hold is None:
            return leg.debit, leg.credit, leg.amount or 0, 0
        held = self.holds.get(leg.hold)
        if held is None:
            raise Refusal(Result.BAD_OR_RESOLVED_PENDING, "no-open-hold", leg=number)
        amount = held[2] if leg.amount is None else leg.amount
        if amount > held[2]:
            raise Refusal(Result.INVALID, "above-hold", leg=number, available=held[2])
        return held[0], held[1], amount, held[2]

    def _guard(self, debit: bytes, credit: bytes, touched: dict[bytes, Balances], number: int) -> None:
        dr, cr = self.accounts[debit], self.accounts[credit]
        if dr.guard == 1 and dr.debits_posted + dr.debits_pending > dr.credits_posted + dr.overdraft:
            raise self._insufficient(debit, touched, number)
        if cr.guard == 2 and cr.credits_posted + cr.credits_pending > cr.debits_posted + cr.overdraft:
            raise self._insufficient(credit, touched, number)
        if max(dr.debits_posted, dr.debits_pending, cr.credits_posted, cr.credits_pending) > MAX_MINOR:
            raise Refusal(Result.INVALID, "too-large", leg=number)

    def _open(self, identity: bytes, number: int) -> State:
        state = self.accounts.get(identity)
        if state is None:
            raise Refusal(Result.INVALID, "unknown-account", leg=number, account=identity)
        if state.is_closed:
            raise Refusal(Result.INVALID, "closed-account", leg=number, account=identity)
        return state

    def _insufficient(self, identity: bytes, touched: dict[bytes, Balances], number: int) -> Refusal:
        state = self.accounts[identity]
        debits, credits_, debits_held, credits_held = touched[identity]  # before the journal
        free = debits - credits_ - credits_held if state.guard == 2 else credits_ - debits - debits_held
        return Refusal(Result.INSUFFICIENT, "insufficient", leg=number, account=identity, available=max(0, free + state.overdraft))

    def _is_same(self, journal: Prepared) -> bool:
        *_, legs, reverses = self.stored[journal.id]
        if (legs, reverses) != (len(journal.legs), journal.reverses):
            return False
        return all(self._is_same_leg(leg, self.stored.get(leg.id)) for leg in journal.legs)

    def _is_same_leg(self, leg: Leg, stored: Stored | None) -> bool:
        if stored is None:
            return False
        kind, debit, credit, amount, released, hold, code, reference, *_ = stored
        if (leg.kind, leg.hold, leg.code, leg.reference) != (kind, hold, code, reference):
            return False
        if leg.asset is not None and leg.asset != self.accounts[debit].asset:
            return False
        if kind >= POST:
            return kind == VOID or amount == (released if leg.amount is None else leg.amount)
        return (leg.debit, leg.credit, leg.amount) == (debit, credit, amount)
