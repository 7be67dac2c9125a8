"""Ids: UUIDv7 (RFC 9562) behind a type prefix, in order of making within a process."""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return ``<prefix>_<32 hex>``; a later call in this process sorts behind an earlier one."""
    global _last  # noqa: PLW0603 - the last stamp is what keeps ids in order
    random = int.from_bytes(os.urandom(8))
    with _lock:
        # 48 bits of milliseconds and 12 bits of their fraction; a call within the same tick, or after a clock set back, takes the next one
        _last = stamp = max((time.time_ns() << 12) // 1_000_000, _last + 1)
    value = (stamp >> 12 << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62) | (random >> 2)
    return f"{prefix}_{value:032x}"
