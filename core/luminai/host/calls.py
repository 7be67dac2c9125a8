"""Calls of a plugin's coroutines: whatever one raises, cancels or waits for stays inside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Final, TypeVar

from luminai.contracts.errors import DeadlineExceeded
from luminai.telemetry.stalls import plugin_place

T = TypeVar("T")
_log = logging.getLogger("luminai.host")
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


def contain_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Have every task that ``loop`` makes from now on keep inside what would end the loop.

    asyncio hands ``SystemExit`` and ``KeyboardInterrupt`` of any task on to the loop, which ends with it. A plugin's code runs in tasks that the
    hub did not make: bodies that Litestar streams, task groups, ``asyncio.create_task``.
    """
    before = loop.get_task_factory()
    if not isinstance(before, _TaskFactory):
        loop.set_task_factory(_TaskFactory(before))


class _TaskFactory:
    def __init__(self, before: Any) -> None:
        self._make = before or _make

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Any, **given: Any) -> Any:
        return self._make(loop, _Contained(work), **given)


def _make(loop: asyncio.AbstractEventLoop, work: Any, **given: Any) -> asyncio.Task[Any]:
    return asyncio.Task(work, loop=loop, **given)


class _Contained(Coroutine[Any, Any, Any]):
    """Steps the coroutine ``work``; to whoever looks at it, it is that coroutine.

    Not a coroutine around it: one that is cancelled before its first step would leave ``work`` never awaited, and the frame of each step costs more.
    """

    __slots__ = ("_work",)

    def __init__(self, work: Any) -> None:
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        raise TypeError("a task's own coroutine is not awaited twice")

    def send(self, value: Any, /) -> Any:
        try:
            return self._work.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _told(error) from error

    def throw(self, *error: Any) -> Any:
        try:
            return self._work.throw(*error)
        except (SystemExit, KeyboardInterrupt) as raised:
            raise _told(raised) from raised

    def close(self) -> None:
        self._work.close()


def _told(error: BaseException) -> PluginRaised:
    plugin, place = plugin_place(error.__traceback__)
    _log.error("exit.contained", extra={"plugin": plugin, "place": place, "raised": type(error).__name__})
    return PluginRaised(f"raised {type(error).__name__}: {error}")
