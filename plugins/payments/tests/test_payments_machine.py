"""Payments, ledger and provider agree, whatever happens in whatever order."""

from payments_machine import run


def test_payments__ledger_and_provider__agree_after_anything() -> None:
    """2,000 steps; `make fuzz` takes a hundred times as many."""
    run(examples=20, steps=100, shrink=False)
