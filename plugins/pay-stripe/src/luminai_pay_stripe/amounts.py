"""Amounts on Stripe's wire. Source: https://docs.stripe.com/currencies (zero-decimal, special and three-decimal currencies).

The hub counts in the minor units of ISO 4217. Stripe mostly does too; the exceptions stand here and nowhere else.
"""

from __future__ import annotations

from typing import Final

from luminai import Money, PaymentError

TIMES_100: Final = frozenset({"ISK", "UGX"})
"""Without decimals in ISO 4217, sent with two zeros."""
OVER_100: Final = frozenset({"MGA"})
"""With decimals in ISO 4217, sent without."""
TENS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Three decimals, of which the last must be 0."""


def to_wire(money: Money) -> tuple[int, str]:
    """Return amount and currency as Stripe counts them.

    Raises:
        PaymentError: the amount cannot be said there, or is not above zero (code ``bad-amount``).
    """
    minor, asset = money.minor, money.asset
    if minor <= 0 or len(asset) != 3 or (asset in TENS and minor % 10) or (asset in OVER_100 and minor % 100):
        raise PaymentError(f"{minor} {asset} cannot be taken", definite=True, code="bad-amount")
    return minor * 100 if asset in TIMES_100 else minor // 100 if asset in OVER_100 else minor, asset.lower()


def from_wire(amount: int, currency: str) -> Money:
    """Return what Stripe's amount means."""
    asset = currency.upper()
    return Money(amount // 100 if asset in TIMES_100 else amount * 100 if asset in OVER_100 else amount, asset)
