"""Payments, ledger and provider agree, whatever happens in whatever order."""

import os

from payments_machine import run


def test_payments__ledger_and_provider__agree_after_anything() -> None:
    """2,000 steps, on PostgreSQL, where a step takes longer, a quarter of them; `make fuzz` takes a hundred times as many.

    In four hubs one after the other: reconciling looks at all that was ever paid, so that the later steps in one would cost most.
    """
    for seed in (1,) if os.environ.get("LUMINAI_TEST_POSTGRES") else (1, 2, 3, 4):
        run(examples=5, steps=100, seed=seed, shrink=False)
