"""What a stopped plugin left behind in this process."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path

_GRACE = 2.0
_DESCRIPTORS = Path("/proc/self/fd")


class Held:
    """Threads and open descriptors of now."""

    def __init__(self) -> None:
        self.threads = {thread.ident: thread.name for thread in threading.enumerate()}
        self.descriptors = _descriptors()


def left_since(before: Held) -> list[str]:
    """Return what is there now and was not there before, in words; threads that are ending get a moment."""
    gc.collect()
    for thread in threading.enumerate():
        if thread.ident not in before.threads and thread is not threading.current_thread():
            thread.join(_GRACE)
    found = [f"thread {thread.name}" for thread in threading.enumerate() if thread.ident not in before.threads]
    now = _descriptors()
    found += [f"descriptor of {name}" for number, name in now.items() if before.descriptors.get(number) != name]
    return sorted(found)


def tasks_left() -> list[str]:
    """Return the tasks of this loop beside the caller's; those that are ending get a few turns."""
    return sorted(f"task {task.get_name()}: {task.get_coro()!r:.120}" for task in asyncio.all_tasks() if task is not asyncio.current_task())


async def settle() -> None:
    """Let callbacks that are due run."""
    for _ in range(10):
        await asyncio.sleep(0)


def _descriptors() -> dict[str, str]:
    if not _DESCRIPTORS.is_dir():
        return {}
    found: dict[str, str] = {}
    for number in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - the descriptor of the listing itself must not count
        try:
            found[number] = os.readlink(_DESCRIPTORS / number)  # noqa: PTH115 - not a path: pipe:[1234]
        except OSError:
            continue
    return found
