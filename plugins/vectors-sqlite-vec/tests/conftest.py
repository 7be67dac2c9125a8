"""Services and packages for the tests of the whole repository, used here."""

from engines import _migrated, own_postgres_url
from vector_packages import vector_packages

__all__ = ["_migrated", "own_postgres_url", "vector_packages"]
