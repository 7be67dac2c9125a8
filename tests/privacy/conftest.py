"""A database of each test's own: a hub's master key lies in its folder, so two hubs with folders of their own cannot share one."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_database(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of an empty database of PostgreSQL."""
    url: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return url
