"""Services for the tests of the whole repository, used here."""

from engines import _migrated

__all__ = ["_migrated"]
