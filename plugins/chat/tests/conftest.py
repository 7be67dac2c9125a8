"""Fixtures of the chat's tests."""

from engines import _migrated, own_postgres_url

__all__ = ["_migrated", "own_postgres_url"]
