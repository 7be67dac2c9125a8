"""How much may be asked: turns at once, and the playground's quota for each address."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from luminai import RateLimited, Unavailable
from luminai_chat.config import ChatConfig


class Quota:
    """Counts in this process."""

    def __init__(self, config: ChatConfig) -> None:
        self._config = config
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._hour = RateLimitItemPerHour(config.playground_per_hour)
        self._running: Counter[str] = Counter()

    def take_playground(self, address: str) -> None:
        """Count a question of an address without a key; those of a minute are counted by the hub's class ``playground``.

        Raises:
            RateLimited: its quota of the hour is spent (code ``chat.playground-quota``).
        """
        if not self._limiter.hit(self._hour, address):
            wait = max(1.0, self._limiter.get_window_stats(self._hour, address).reset_time - time.time())
            hint = "Wait, or use an API key."
            raise RateLimited("The playground's quota is spent.", code="chat.playground-quota", hint=hint, retry_after=wait)

    @contextmanager
    def turn(self, who: str) -> Iterator[None]:
        """Hold a place for a running turn.

        Raises:
            RateLimited: this actor has too many turns running (code ``chat.turns-per-actor``).
            Unavailable: the hub has (code ``chat.busy``).
        """
        if self._running[who] >= self._config.turns_per_actor:
            hint = "Wait for one of them to end, or cancel it."
            raise RateLimited("Too many of your turns are running.", code="chat.turns-per-actor", hint=hint, retry_after=2)
        if self._running.total() >= self._config.turns_at_once:
            raise Unavailable("Too many turns are running.", code="chat.busy", hint="Try again in a moment.", retry_after=2)
        self._running[who] += 1
        try:
            yield
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]
