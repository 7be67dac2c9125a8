"""A circuit breaker: what keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct


class BreakerSettings(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """``[breaker]``: when a plugin's channel counts as broken."""

    failures: Annotated[int, Meta(ge=1, le=1000, description="Failures within the window that open it.")] = 5
    share: Annotated[float, Meta(gt=0, le=1, description="Least share of the window's calls that failed.")] = 0.5
    window_seconds: Annotated[float, Meta(ge=1, le=3600, description="Length of the window in seconds.")] = 60.0
    cool_down_seconds: Annotated[float, Meta(ge=0.1, le=3600, description="How long it stays open before one call is tried.")] = 10.0
    dry_run: Annotated[bool, Meta(description="Only report what it would do.")] = False


class Breaker:
    """Closed, open, or half open (one call is being tried).

    Args:
        settings: When it opens.
        clock: Monotonic seconds.
        on_open: Called each time it opens.
    """

    __slots__ = ("_calls", "_clock", "_failures", "_on_open", "_open_until", "_settings", "_trying", "is_open", "openings", "watching")

    def __init__(
        self, settings: BreakerSettings | None = None, clock: Callable[[], float] = time.monotonic, on_open: Callable[[], None] | None = None
    ) -> None:
        self._settings = settings or BreakerSettings()
        self._clock = clock
        self._on_open = on_open
        self._failures: deque[float] = deque(maxlen=1000)
        self._calls = 0
        self._open_until = 0.0
        self._trying = False
        self.is_open = False
        self.watching = False
        """True from a failure until its window has passed: only then need successes be told."""
        self.openings = 0

    def allows(self) -> bool:
        """Tell whether a call may be made now; after the cool-down one caller gets a yes, the others wait for how it ends."""
        if not self.is_open or self._settings.dry_run:
            return True
        if self._trying or self._clock() < self._open_until:
            return False
        self._trying = True
        return True

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """``half-open``: the next call is tried, or one is being tried."""
        if not self.is_open:
            return "closed"
        return "half-open" if self._trying or self._clock() >= self._open_until else "open"

    @property
    def retry_after(self) -> int:
        """Whole seconds until a call is tried."""
        return max(1, round(self._open_until - self._clock()))

    def failed(self) -> None:
        """Note a call that failed."""
        now = self._clock()
        if not self.watching:
            self.watching, self._calls = True, 0
        self._calls += 1
        self._failures.append(now)
        while self._failures and self._failures[0] < now - self._settings.window_seconds:
            self._failures.popleft()
        enough = len(self._failures) >= self._settings.failures and len(self._failures) >= self._settings.share * self._calls
        if self._trying or (enough and not self.is_open):
            self._open(now)

    def succeeded(self) -> None:
        """Note a call that went well; one that was tried closes it."""
        self._calls += 1
        if self._trying:
            self._trying = self.is_open = self.watching = False
            self._failures.clear()
        elif self._failures and self._failures[-1] < self._clock() - self._settings.window_seconds:
            self._failures.clear()
            self.watching = False

    def abandoned(self) -> None:
        """Note a call that ended without telling anything: the next one may be tried."""
        self._trying = False

    def _open(self, now: float) -> None:
        self.is_open, self._trying = True, False
        self._open_until = now + self._settings.cool_down_seconds
        self.openings += 1
        if self._on_open is not None:
            self._on_open()
