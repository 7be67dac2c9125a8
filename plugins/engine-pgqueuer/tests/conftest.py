"""Services for the tests of the whole repository, used here."""

from engines import _migrated, empty_postgres_url

__all__ = ["_migrated", "empty_postgres_url"]
