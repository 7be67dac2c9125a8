"""How many calls run at the same time: so many in all, so many of one person; a bounded number waits, in order."""

from __future__ import annotations

import asyncio
from collections import deque

from luminai import RateLimited, Unavailable
from luminai_ai_gateway.config import GatewayConfig


class Places:
    """Places for calls. ``take`` and ``give`` go in pairs."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._of: dict[str, int] = {}
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    async def take(self, subject: str) -> None:
        """Take a place, and wait for it if need be.

        Raises:
            RateLimited: the person has as many calls as may be (code ``ai-gateway.too-many-calls``).
            Unavailable: too many wait, or it took too long (code ``ai-gateway.busy``).
        """
        mine = self._of.get(subject, 0)
        if mine >= self._config.calls_per_person:
            hint = "Wait until one of them has ended."
            raise RateLimited(f"{mine} calls of yours run already.", code="ai-gateway.too-many-calls", hint=hint, retry_after=1)
        self._of[subject] = mine + 1
        try:
            if self.taken < self._config.calls_at_once:
                self.taken += 1
            else:
                await self._wait()
        except BaseException:
            self._leave(subject)
            raise

    def give(self, subject: str) -> None:
        """Give a place back, to whoever waits the longest."""
        self._leave(subject)
        self._hand_on()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._config.waiting:
            raise _busy("Too many calls wait already.")
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._config.waiting_seconds):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # it came at the last moment: the next one has it
                self._hand_on()
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise _busy(f"No place was free within {self._config.waiting_seconds:g} s.") from error
            raise

    def _hand_on(self) -> None:
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                return
        self.taken -= 1

    def _leave(self, subject: str) -> None:
        left = self._of.pop(subject) - 1
        if left:
            self._of[subject] = left


def _busy(detail: str) -> Unavailable:
    return Unavailable(detail, code="ai-gateway.busy", hint="Try again in a moment.", retry_after=1)
