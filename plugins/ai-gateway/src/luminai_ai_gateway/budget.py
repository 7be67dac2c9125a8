"""Which model is tried next, and when: one budget for a whole call, nothing tried behind anyone's back."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from luminai_ai_gateway.failures import Failure

BACKOFF: Final = 0.5
MAX_BACKOFF: Final = 20.0


class Try(Struct, frozen=True):
    """The model to ask, in ``wait`` seconds."""

    model: str
    wait: float


class Budget:
    """Each model of a chain is tried once, best first. After that, ``retries`` more in all: whichever may be asked again soonest.

    A model may be asked again once the provider's ``Retry-After`` is over, or a pause that doubles with each failure, half of it by chance
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); not at all after what another try cannot mend.
    Times are seconds of the event loop.
    """

    __slots__ = ("_again", "_failures", "_fresh", "retries")

    def __init__(self, chain: Sequence[str], retries: int) -> None:
        self._fresh = deque(chain)
        self._again: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self.retries = retries

    def take(self, now: float) -> Try | None:
        """Return what is tried next, None when nothing is left to try."""
        if self._fresh:
            return Try(self._fresh.popleft(), 0.0)
        if not self.retries or not self._again:
            return None
        self.retries -= 1
        model = min(self._again, key=self._again.__getitem__)
        return Try(model, max(0.0, self._again.pop(model) - now))

    @property
    def has_fresh(self) -> bool:
        """Whether a model is left that was not tried yet."""
        return bool(self._fresh)

    def spare(self) -> bool:
        """Take one of the further tries for something else, such as a repair; False when there is none."""
        if not self.retries:
            return False
        self.retries -= 1
        return True

    def failed(self, model: str, failure: Failure, now: float) -> None:
        """Note that a try gave nothing."""
        if not failure.is_passing:
            return
        count = self._failures[model] = self._failures.get(model, 0) + 1
        pause = failure.retry_after
        if pause is None:
            pause = min(MAX_BACKOFF, BACKOFF * 2 ** (count - 1)) * random.uniform(0.5, 1.0)
        self._again[model] = now + pause
