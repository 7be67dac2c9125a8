"""The way to Redis, the same for all that uses it."""

from __future__ import annotations

from typing import Any

from luminai.contracts.errors import ConfigRejected


def connect(url: str) -> Any:
    """Return a client of the server at ``url``; it connects when it is first asked, and gives up after a second.

    Raises:
        ConfigRejected: the package redis is not installed.
    """
    try:
        from redis.asyncio import Redis
    except ModuleNotFoundError as error:
        raise ConfigRejected("Redis needs the package redis, which is not installed.", hint="Install luminai[redis].") from error
    return Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
