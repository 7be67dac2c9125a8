"""Fixtures of the whole."""

from engines import data_dir, database_url, own_postgres_url, postgres_url
from home import alone, served
from plugin_factory import plugins
from small_disk import small_disk

__all__ = ["alone", "data_dir", "database_url", "own_postgres_url", "plugins", "postgres_url", "served", "small_disk"]
