"""Fixtures of the whole."""

from engines import data_dir, database_url, postgres_url
from plugin_factory import plugins

__all__ = ["data_dir", "database_url", "plugins", "postgres_url"]
