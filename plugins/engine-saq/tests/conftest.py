"""Services for the tests of the whole repository, used here."""

from engines import _migrated, redis_url

__all__ = ["_migrated", "redis_url"]
