"""Exact rate limits by GCRA (ITU-T I.371, the virtual scheduling form): one number a caller, one atomic step a request.

``free_at`` is the moment at which the caller has its whole allowance back. A request costs ``seconds / requests``; it passes if the new ``free_at``
lies no further ahead than ``seconds``. Where one process owns the database the numbers are in its memory; processes that share a PostgreSQL server
count there, or in Redis.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct
from sqlalchemy import text

from luminai.config.settings import Rate
from luminai.data.database import HubDatabase
from luminai.data.redis import connect

_log = logging.getLogger("luminai.limits")
MAX_REMEMBERED: Final = 100_000
_STEP: Final = text(
    """
    INSERT INTO core__rates AS known (key, free_at) VALUES (:key, extract(epoch FROM clock_timestamp()) + :cost)
    ON CONFLICT (key) DO UPDATE SET free_at = greatest(known.free_at, extract(epoch FROM clock_timestamp())) + :cost
    WHERE greatest(known.free_at, extract(epoch FROM clock_timestamp())) + :cost <= extract(epoch FROM clock_timestamp()) + :seconds + 1e-6
    RETURNING free_at - extract(epoch FROM clock_timestamp())
    """
)
_AHEAD: Final = text("SELECT free_at - extract(epoch FROM clock_timestamp()) FROM core__rates WHERE key = :key")
_FREE: Final = text("DELETE FROM core__rates WHERE free_at < extract(epoch FROM clock_timestamp())")
_SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local free_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local next = free_at + tonumber(ARGV[1])
if next - now > tonumber(ARGV[2]) + 0.000001 then return {0, tostring(free_at - now)} end
redis.call('SET', KEYS[1], string.format('%.6f', next), 'PX', math.ceil((next - now) * 1000))
return {1, tostring(next - now)}
"""


class Taken(Struct, frozen=True):
    """What became of a request.

    Attributes:
        passed: Whether it may go on.
        left: How many more may follow at once.
        reset: Seconds until the whole allowance is back.
        retry: Seconds until one more may come; 0 when one may.
    """

    passed: bool
    left: int
    reset: float
    retry: float


class RateStore(Protocol):
    """Keeps the numbers."""

    async def take(self, key: str, rate: Rate) -> Taken:
        """Count one request of ``key``, at most 300 characters."""
        ...

    async def prune(self) -> None:
        """Forget callers who have their whole allowance back."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class MemoryRates:
    """For one process. A flood of callers forgets those that are long free; it never forgets one that is used up.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._free_at: dict[str, float] = {}
        self._pruned_at = 0.0

    async def take(self, key: str, rate: Rate) -> Taken:
        """Count one request."""
        now = self._monotonic()
        cost = rate.seconds / rate.requests
        before = max(self._free_at.get(key, now), now)
        ahead = before + cost - now
        if ahead > rate.seconds + 1e-6:
            return taken(rate, before - now, passed=False)
        if len(self._free_at) >= MAX_REMEMBERED and now - self._pruned_at > 1:  # a flood must not make each request look through all callers
            await self.prune()
        self._free_at[key] = before + cost
        return taken(rate, ahead, passed=True)

    async def prune(self) -> None:
        """Forget who is free."""
        now = self._pruned_at = self._monotonic()
        self._free_at = {name: free_at for name, free_at in self._free_at.items() if free_at > now}

    async def close(self) -> None:
        """Nothing to close."""


class ServerRates:
    """In PostgreSQL, by its own clock: exact over all processes."""

    def __init__(self, database: HubDatabase) -> None:
        self._database = database

    async def take(self, key: str, rate: Rate) -> Taken:
        """Count one request."""
        given = {"key": key, "cost": rate.seconds / rate.requests, "seconds": rate.seconds}
        ahead = await self._database.alone(_STEP, given)
        if ahead is not None:
            return taken(rate, float(ahead), passed=True)
        return taken(rate, float(await self._database.alone(_AHEAD, given) or 0), passed=False)

    async def prune(self) -> None:
        """Forget who is free."""
        await self._database.alone(_FREE, {})

    async def close(self) -> None:
        """The database closes itself."""


class RedisRates:
    """In Redis, by its own clock. While it does not answer, this process counts alone: limits grow with the number of processes, they do not end.

    Args:
        hub: The part of its keys that no other hub in that Redis has.
    """

    def __init__(self, url: str, hub: str) -> None:
        self._prefix = f"luminai:rate:{hub}:"
        self._redis: Any = connect(url)
        self._step = self._redis.register_script(_SCRIPT)
        self._alone = MemoryRates()
        self._is_away = False

    async def take(self, key: str, rate: Rate) -> Taken:
        """Count one request."""
        try:
            passed, ahead = await self._step(keys=[self._prefix + key], args=[rate.seconds / rate.requests, rate.seconds])
        except Exception as error:  # noqa: BLE001 - whatever Redis has, requests go on
            if not self._is_away:
                _log.warning("limits.redis.away", extra={"reason": str(error)[:200]})
            self._is_away = True
            return await self._alone.take(key, rate)
        self._is_away = False
        return taken(rate, float(ahead), passed=bool(passed))

    async def prune(self) -> None:
        """Redis forgets by itself."""
        await self._alone.prune()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def taken(rate: Rate, ahead: float, *, passed: bool) -> Taken:
    """Return what became of a request whose caller is ``ahead`` seconds ahead of being free."""
    cost = rate.seconds / rate.requests
    left = int((rate.seconds - ahead) / cost + 1e-6)
    return Taken(
        passed=passed, left=max(0, left) if passed else 0, reset=ahead, retry=0.0 if passed and left > 0 else max(0.0, ahead + cost - rate.seconds)
    )


def rates_for(database: HubDatabase, monotonic: Callable[[], float] = time.monotonic) -> RateStore:
    """Return where this hub counts without Redis; ``monotonic`` is its clock where it counts alone."""
    return ServerRates(database) if database.dialect == "postgresql" else MemoryRates(monotonic)
