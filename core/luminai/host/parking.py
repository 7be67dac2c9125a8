"""Breakers of the running plugins: one a plugin and channel; a plugin that opens them again and again is parked."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from luminai.contracts.context import Clock
from luminai.telemetry.breaker import Breaker, BreakerSettings

_log = logging.getLogger("luminai.breaker")
PARK_AFTER: Final = 3
WITHIN_SECONDS: Final = 3600.0


class Parking:
    """Makes the breakers, and counts their openings by plugin.

    Args:
        park: Awaited with plugin and reason at the third opening within an hour.
    """

    def __init__(self, settings: BreakerSettings, clock: Clock, park: Callable[[str, str], Awaitable[None]]) -> None:
        self._settings = settings
        self._clock = clock
        self._park = park
        self._openings: dict[str, deque[float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def breaker(self, plugin: str, channel: str) -> Breaker:
        """Return a new breaker for one channel of a plugin."""
        return Breaker(self._settings, self._clock.monotonic, lambda: self._opened(plugin, channel))

    def _opened(self, plugin: str, channel: str) -> None:
        now = self._clock.monotonic()
        openings = self._openings.setdefault(plugin, deque(maxlen=PARK_AFTER))
        openings.append(now)
        _log.error("breaker.opened", extra={"plugin": plugin, "channel": channel, "dry_run": self._settings.dry_run})
        if len(openings) == PARK_AFTER and now - openings[0] <= WITHIN_SECONDS and not self._settings.dry_run:
            openings.clear()
            task = asyncio.get_running_loop().create_task(self._do_park(plugin, channel), name=f"luminai:park-{plugin}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do_park(self, plugin: str, channel: str) -> None:
        try:
            await self._park(plugin, f"its {channel} broke {PARK_AFTER} times within an hour")
        except Exception:  # noqa: BLE001 - whatever goes wrong, the breaker stays open and the log says why
            _log.exception("plugin.park.failed", extra={"plugin": plugin})
