"""What plugins put into the hub's own extension points, lent to the hub's own work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from luminai.host.generation import Generation


@contextmanager
def lend(generation: Generation, point: str) -> Iterator[Any]:
    """Give the first extension of a generation's ``point``, None without one; a swap or stop waits for the end of the block as for a request."""
    found = generation.wiring.extensions.get(point, ())
    generation.table.inflight += 1
    try:
        yield found[0] if found else None
    finally:
        generation.table.leave()
