"""How credits stand in the ledger: buckets of people, and for each wallet the accounts that their units come from and go to.

The other sides are kept for each wallet, and not one for all: units of different people never meet in a row, so that none waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from sqlalchemy.orm import Session

from luminai import Conflict, HubError, Money
from luminai_ledger import Account, Asset, Balance, Guard, Hold, Journal, Ledger, Outcome, Post, Result, Transfer, Void, account_id

SCOPE: Final = "credits"
Side = Literal["issued", "spent", "expired", "returned"]
SIDES: Final[tuple[Side, ...]] = ("issued", "spent", "expired", "returned")


class Part(Struct, frozen=True):
    """A part of what is held for a piece of work: the ledger's hold, its units, and of what."""

    hold: str
    amount: int
    unit: str


class Take(Struct, frozen=True):
    """Units to be held of an account."""

    account: str
    amount: int
    unit: str


class Short(Exception):
    """An account has not what is wanted of it."""


class Purse:
    """Moves units; all methods are plain functions of a session."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def define(self, session: Session, unit: str, title: str) -> None:
        """Make a unit known to the ledger; it is counted whole."""
        self._ledger.define(session, Asset(code=unit, exponent=0, title=title))

    def open_sides(self, session: Session, wallet: str, unit: str, sides: Sequence[Side] = SIDES) -> None:
        """Open the accounts that a wallet's units of one kind come from and go to."""
        for side in sides:
            self._ledger.open(session, Account(purpose=f"{side}:{wallet}", asset=unit))

    def open(self, session: Session, subject: str, purpose: str, unit: str) -> str:
        """Open an account of a person that can never hold less than nothing; return its id."""
        return self._ledger.open(session, Account(purpose=purpose, asset=unit, owner=subject, guard=Guard.DEBITS))

    def balances(self, session: Session, accounts: Iterable[str]) -> dict[str, Balance]:
        """Return what accounts hold, by id."""
        return self._ledger.balances(session, list(accounts))

    def move(self, session: Session, key: str, moves: Sequence[tuple[str, str, int]], unit: str, *, code: str, reference: str) -> bool:
        """Move units between accounts (from, to, how many), all or none, once by the key; return False when that was done before.

        Raises:
            Short: an account has not so many.
            Conflict: the key moved something else (code ``credits.key-reused``).
        """
        legs = tuple(Transfer(debit=source, credit=to, amount=Money(amount, unit), code=code, reference=reference) for source, to, amount in moves)
        return self._apply(session, Journal(scope=SCOPE, key=key, legs=legs)).result is Result.OK

    def hold(self, session: Session, key: str, takes: Sequence[Take], wallet: str, *, reference: str) -> list[Part]:
        """Hold units of several accounts, all or none. Raises as ``move``."""
        legs = tuple(
            Hold(
                debit=take.account,
                credit=side_of(wallet, "spent", take.unit),
                amount=Money(take.amount, take.unit),
                code="credits.hold",
                reference=reference,
            )
            for take in takes
        )
        journal = Journal(scope=SCOPE, key=key, legs=legs)
        if self._apply(session, journal).result is Result.EXISTS:
            raise Conflict("This was held before.", code="credits.key-reused", hint="Name each attempt by a key of its own.")
        return [Part(journal.leg_id(number), take.amount, take.unit) for number, take in enumerate(takes)]

    def finish(self, session: Session, key: str, parts: Sequence[Part], amounts: Mapping[str, int], *, reference: str) -> None:
        """End holds in one journal: post so many units of each kind, the first parts first, and set the rest free."""
        left = dict(amounts)
        legs: list[Post | Void] = []
        for part in parts:
            taken = min(part.amount, left.get(part.unit, 0))
            left[part.unit] = left.get(part.unit, 0) - taken
            if taken:
                legs.append(Post(hold=part.hold, amount=Money(taken, part.unit), code="credits.settle", reference=reference))
            else:
                legs.append(Void(hold=part.hold, code="credits.release", reference=reference))
        if legs:
            self._apply(session, Journal(scope=SCOPE, key=key, legs=tuple(legs)))

    def _apply(self, session: Session, journal: Journal) -> Outcome:
        outcome = self._ledger.apply(session, journal)[0]
        if outcome.done:
            return outcome
        if outcome.result is Result.INSUFFICIENT:
            raise Short
        if outcome.result is Result.EXISTS_WITH_DIFFERENT_CONTENT:
            raise Conflict("This key moved something else before.", code="credits.key-reused", hint="Take another key.")
        raise HubError(f"The ledger refused {journal.key}: {outcome.result} ({outcome.reason}).", code="credits.ledger-refused")


def side_of(wallet: str, side: Side, unit: str) -> str:
    """Return the id of the account on the other side of a wallet."""
    return account_id(purpose=f"{side}:{wallet}", asset=unit)
