"""Services for the tests of the whole repository, used here."""

from engines import _migrated, own_postgres_url
from plugin_factory import plugins

__all__ = ["_migrated", "own_postgres_url", "plugins"]
