"""A database of each test's own, so that the tables of a plugin that a test made are left nowhere."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_database(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of an empty database of PostgreSQL."""
    url: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return url
