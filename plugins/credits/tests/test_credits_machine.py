"""A wallet against a plain model, at random."""

import os
from pathlib import Path

from credits_machine import run


def test_wallet__does_what_a_plain_model_does(tmp_path: Path) -> None:
    """2,000 steps, on PostgreSQL, where a step takes longer, a quarter of them; `make fuzz` takes a hundred times as many."""
    run(tmp_path, examples=5 if os.environ.get("LUMINAI_TEST_POSTGRES") else 20, steps=100)
