"""Payments, ledger and provider agree, whatever happens in whatever order."""

from payments_machine import run


def test_payments__ledger_and_provider__agree_after_anything() -> None:
    """800 steps, beside 2,000 each of ledger and wallet; `make fuzz` takes 200,000."""
    run(examples=8, steps=100, shrink=False)
