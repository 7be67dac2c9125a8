"""The same ids and the same random numbers in every run of a test."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

_BEGIN: Final = 1_767_225_600_000_000_000
"""2026-01-01 UTC in nanoseconds, where ``FrozenClock`` starts too."""


@contextmanager
def seeded(seed: int = 0) -> Iterator[random.Random]:
    """Make ``new_id`` and ``random`` repeatable while the block runs, and yield the generator that ids come from.

    Ids stay UUIDv7 and keep their order, as their contract says; each is a microsecond after the one before, from 2026-01-01 on.
    What guards something (keys, tokens, ``secrets``) stays random.
    """
    from luminai.data import ids

    source = random.Random(seed)
    ticks = iter(range(_BEGIN, 2**63, 1000))
    module: Any = ids
    kept = {name: getattr(module, name) for name in ("os", "time", "_last")}
    state = random.getstate()
    random.seed(seed)
    module.os = SimpleNamespace(urandom=source.randbytes)
    module.time = SimpleNamespace(time_ns=lambda: next(ticks))
    module._last = 0  # noqa: SLF001 - the stamp before would push every id behind it
    try:
        yield source
    finally:
        module.os, module.time = kept["os"], kept["time"]
        module._last = max(kept["_last"], module._last)  # noqa: SLF001 - later ids sort behind these
        random.setstate(state)
