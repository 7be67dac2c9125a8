"""Payments, ledger and provider agree, whatever happens in whatever order."""

import os

from payments_machine import run


def test_payments__ledger_and_provider__agree_after_anything() -> None:
    """2,000 steps, on PostgreSQL, where a step takes longer, a quarter of them; `make fuzz` takes a hundred times as many."""
    run(examples=5 if os.environ.get("LUMINAI_TEST_POSTGRES") else 20, steps=100, shrink=False)
