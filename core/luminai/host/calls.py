"""Calls of a plugin's coroutines in a task of their own: whatever one raises, cancels or waits for stays inside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, Final, TypeVar

from luminai.contracts.errors import DeadlineExceeded

T = TypeVar("T")
_GRACE: Final = 1.0


class PluginRaised(Exception):
    """A plugin's code raised what no code should (``SystemExit`` and its kin), or cancelled itself."""


async def call_within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns.

    Raises:
        DeadlineExceeded: it did not end within ``seconds``; it is cancelled, and given up when it resists.
        PluginRaised: it raised something that is no ``Exception``, or cancelled itself.
        Exception: what it raised.
    """
    task = asyncio.get_running_loop().create_task(contained(work))
    try:
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if not done:
            task.cancel()
            await asyncio.wait((task,), timeout=_GRACE)
            raise DeadlineExceeded(f"did not return within {seconds:g} s")
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():
        raise PluginRaised("it cancelled itself")
    return task.result()


async def contained(work: Awaitable[T]) -> T:
    """Return what ``work`` returns; what would end the process is raised as ``PluginRaised``."""
    try:
        return await work
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise PluginRaised(f"raised {type(error).__name__}: {error}") from error
