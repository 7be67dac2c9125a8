"""The ledger against a plain model, at random."""

from ledger_machine import run


def test_ledger__does_what_a_plain_model_does() -> None:
    """2,000 steps; `make fuzz` takes a hundred times as many."""
    run(examples=20, steps=100)
