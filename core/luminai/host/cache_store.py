"""The cache of a hub, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luminai.contracts.cache import CacheStore
from luminai.data.cache_memory import MemoryCache
from luminai.host.redis_names import name_in_redis
from luminai.work.cache import HubCache

if TYPE_CHECKING:
    from luminai.host.hub import Hub


async def cache_of(hub: Hub) -> HubCache:
    """Return the cache: in Redis where the settings say so, with a level before it if they say that too, else in this process.

    Processes on one PostgreSQL without Redis do not hear what the others drop, so there nothing lives longer than ``cache.alone-seconds``.
    """
    settings = hub.settings.cache
    store: CacheStore
    if settings.redis_url:
        from luminai.data.cache_redis import RedisCache

        store = RedisCache(settings.redis_url, prefix=f"luminai:cache:{await name_in_redis(hub)}:")
        if settings.near_seconds:
            from luminai.data.cache_near import NearCache

            store = NearCache(store, hub.clock.monotonic, seconds=settings.near_seconds, max_bytes=settings.megabytes * 1024 * 1024)
    else:
        longest = settings.alone_seconds if hub.database.dialect == "postgresql" else float("inf")
        store = MemoryCache(hub.clock.monotonic, max_bytes=settings.megabytes * 1024 * 1024, longest=longest)
    return HubCache(store, hub.clock, settings.classes, hub.tracer.figures.cache)
