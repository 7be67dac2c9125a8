"""How many bytes of unfinished requests a server holds in memory, over all its connections.

The bounds of one connection do not bound many: 200 clients that send 0.9 MB each and stall took 173 MiB.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from luminai.http.server.limits import MAX_HELD

if TYPE_CHECKING:
    from luminai.http.server.connection import Connection

MUCH: Final = 8 * 1024 * 1024
SETTLE_SECONDS: Final = 1.0


class Bodies:
    """Knows the connections whose body did not come at once, oldest first. Once they hold too much, the one that has taken longest is let go of."""

    def __init__(self) -> None:
        self._held: dict[Connection, int] = {}
        self.total = 0
        self._peak = 0

    def note(self, connection: Connection, size: int) -> None:
        """Take down how many bytes of a body have come so far."""
        self.total += size - self._held.get(connection, 0)
        self._held[connection] = size
        self._peak = max(self._peak, self.total)
        while self.total > MAX_HELD:
            slowest = next((one for one in self._held if one.is_reading_body), connection)
            self.drop(slowest)
            slowest.refuse(503, "overloaded", "Too many bodies are on their way.")

    def drop(self, connection: Connection) -> None:
        """Forget a connection's body: it was answered, or its client is gone."""
        self.total -= self._held.pop(connection, 0)
        if self._peak > MUCH and not self.total:
            self._peak = 0
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, _give_back)


def _give_back() -> None:
    """Return freed memory to the system: glibc keeps what lies below anything still in use, for good. Elsewhere there is nothing to do."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
