"""Fixtures of the whole."""

from engines import _migrated, data_dir, database_url, empty_postgres_url, own_postgres_url, postgres_url, redis_url
from home import alone, served
from plugin_factory import plugins
from small_disk import small_disk

__all__ = [
    "_migrated",
    "alone",
    "data_dir",
    "database_url",
    "empty_postgres_url",
    "own_postgres_url",
    "plugins",
    "postgres_url",
    "redis_url",
    "served",
    "small_disk",
]
