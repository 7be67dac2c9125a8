"""A wallet against a plain model, at random."""

from pathlib import Path

from credits_machine import run


def test_wallet__does_what_a_plain_model_does(tmp_path: Path) -> None:
    """2,000 steps; `make fuzz` takes a hundred times as many."""
    run(tmp_path, examples=20, steps=100)
