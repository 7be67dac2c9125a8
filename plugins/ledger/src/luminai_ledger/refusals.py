"""Outcomes that are refusals, as problems."""

from __future__ import annotations

from typing import Final

from luminai import Conflict, HubError, ProblemItem, Unprocessable
from luminai_ledger.journal import Outcome, Result

_HINTS: Final = {
    "amount": "A whole number of minor units from 1 to 9007199254740991.",
    "asset": "Both accounts and the amount must have the same asset.",
    "unknown-account": "Open the account first.",
    "closed-account": "The account was closed for good.",
    "same-account": "Debit and credit must be two accounts.",
    "above-hold": "Post at most what was held.",
    "already-reversed": "A journal is taken back once.",
}


def refused(outcome: Outcome) -> HubError:
    """Return the problem of an outcome that is not ``done``, to be raised so that the unit is rolled back."""
    number = next((place for place, result in enumerate(outcome.legs) if result is outcome.result), 0)
    item = ProblemItem(f"Leg {number}: {outcome.reason}.", pointer=f"/legs/{number}", code=outcome.reason, hint=_HINTS.get(outcome.reason, ""))
    if outcome.result is Result.INSUFFICIENT:
        hint = f"{outcome.account} has {outcome.available} minor units to give."
        return Conflict("There is not enough in the account.", code="ledger.insufficient", hint=hint, errors=[item])
    if outcome.result is Result.BAD_OR_RESOLVED_PENDING:
        return Conflict("There is no such open hold.", code="ledger.no-open-hold", hint="It was posted or voided, or never was.", errors=[item])
    if outcome.result is Result.EXISTS_WITH_DIFFERENT_CONTENT:
        hint = "Take a new key for another journal."
        return Conflict("This key was used for another journal.", code="ledger.exists-with-different-content", hint=hint)
    return Unprocessable("The journal cannot be.", code="ledger.invalid", hint=item.hint, errors=[item])
