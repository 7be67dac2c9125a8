"""What stores of vectors and MiniLM need beside the hub: packages in an environment of their own (`make vector-peers`)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ENVIRONMENT = Path(__file__).parent.parent / ".venv-vectors"


def packages() -> Path | None:
    """Return the folder of the packages, None where it was not made."""
    return next(ENVIRONMENT.glob("lib/python*/site-packages"), None)


@pytest.fixture
def vector_packages(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process import the packages; skip where they are not there."""
    found = packages()
    if found is None:
        pytest.skip("the packages for vectors are not there: make vector-peers")
    monkeypatch.setattr(sys, "path", [*sys.path, str(found)])  # behind the hub's own
    return found
