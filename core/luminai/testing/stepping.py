"""A coroutine stepped by hand, to cancel it at a chosen await."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Reached(Struct, Generic[T], frozen=True):
    """What came of a coroutine that was cancelled at an await: ``reached`` False means that it ended before, with ``result`` or ``error``."""

    reached: bool
    result: T | None = None
    error: BaseException | None = None


async def cancel_at(factory: Callable[[], Coroutine[Any, Any, T]], n: int) -> Reached[T]:
    """Run a coroutine step by step and cancel it at its ``n``-th suspension, as a task's ``cancel`` does.

    Child tasks, time-outs and task groups inside it meet the cancellation like any other. A coroutine that swallows it shows as ``reached``
    without an ``error``.
    """
    stepper = _Stepper(factory(), n)
    task = asyncio.get_running_loop().create_task(stepper.run())
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,))
        raise
    if task.cancelled():
        return Reached(stepper.reached, error=asyncio.CancelledError())
    error = task.exception()
    return Reached(stepper.reached, error=error) if error else Reached(stepper.reached, result=task.result())


async def cancel_everywhere(
    factory: Callable[[], Coroutine[Any, Any, Any]], check: Callable[[int, Reached[Any]], Awaitable[None] | None], *, most: int = 500
) -> int:
    """Cancel a coroutine at each of its awaits in turn; ``check(n, outcome)`` asserts that the state is clean after each.

    Returns the number of awaits.

    Raises:
        AssertionError: there are more than ``most``, or ``check`` found something.
    """
    for n in range(1, most + 1):
        outcome = await cancel_at(factory, n)
        answer = check(n, outcome)
        if inspect.isawaitable(answer):
            await answer
        if not outcome.reached:
            return n - 1
    raise AssertionError(f"it awaits more than {most} times")


async def hang_at(factory: Callable[[], Coroutine[Any, Any, T]], n: int) -> T:
    """Run a coroutine and let it wait without end at its ``n``-th suspension: only a cancellation of the caller goes through to it."""
    result: T = await _Stepper(factory(), n, hang=True)
    return result


class _Stepper:
    """Awaits a coroutine by hand, counts its suspensions, and at the ``n``-th cancels its own task, or never goes on."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], n: int, *, hang: bool = False) -> None:
        self._coroutine = coroutine
        self._n = n
        self._hang = hang
        self._count = 0
        self.reached = False

    async def run(self) -> Any:
        return await self

    def __await__(self) -> Any:
        step, argument = self._coroutine.send, None
        while True:
            try:
                waited_for = step(argument)
            except StopIteration as done:
                return done.value
            self._count += 1
            is_here = self._count == self._n
            self.reached = self.reached or is_here
            try:
                if is_here and self._hang:
                    yield from asyncio.Event().wait().__await__()
                elif is_here:
                    task = asyncio.current_task()
                    if task is not None:  # once this step is over the task waits, and can be cancelled where it waits
                        asyncio.get_running_loop().call_soon(task.cancel)
                    argument = yield waited_for
                else:
                    argument = yield waited_for
            except BaseException as thrown:  # noqa: BLE001 - handed on as it came, the cancellation above all
                step, argument = self._coroutine.throw, thrown
            else:
                step = self._coroutine.send
