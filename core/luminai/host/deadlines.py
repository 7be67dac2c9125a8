"""Deadlines of many short calls: one timer for all that run. ``asyncio.timeout`` sets and cancels one a call: 4 µs, most of a guarded call."""

from __future__ import annotations

import asyncio
from asyncio import current_task, get_running_loop
from types import TracebackType
from typing import Final, Self

_NEVER: Final = float("inf")


class Deadlines:
    """The deadlines of calls of one kind. The timer looks when the earliest of them may have passed, and not again while nothing runs.

    Attributes:
        running: The deadlines whose block is entered.
    """

    __slots__ = ("_due", "_loop", "_timer", "running")

    def __init__(self) -> None:
        self.running: set[Deadline] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = _NEVER

    def within(self, seconds: float) -> Deadline:
        """Return a context in which the current task may stay for ``seconds``; past them it is cancelled and the block raises ``TimeoutError``."""
        loop = get_running_loop()
        return Deadline(self, loop, loop.time() + seconds)

    def until(self, when: float) -> Deadline:
        """Return the same with a moment of the loop's own clock; it may be entered again, also with another ``when``, for the next step."""
        return Deadline(self, get_running_loop(), when)

    def enter(self, deadline: Deadline) -> None:
        """Watch a deadline."""
        loop = deadline.loop
        if self._loop is not loop:  # tests use one table in several loops; a timer of a closed one never fires
            self._loop, self._timer, self._due = loop, None, _NEVER
        self.running.add(deadline)
        if deadline.when < self._due:
            self._set_timer(loop, deadline.when)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = when, loop.call_at(when, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._due = None, _NEVER
        now = loop.time()
        for deadline in [one for one in self.running if one.when <= now]:
            self.running.discard(deadline)
            deadline.expire()
        if self.running:
            self._set_timer(loop, min(one.when for one in self.running))


class Deadline:
    """One call's deadline; ``late`` tells that it passed, also where the code took the cancellation for itself and went on.

    It keeps its loop: to ask which one runs is a system call, and a stream enters for each of its pieces.
    """

    __slots__ = ("_all", "_asked_before", "_task", "late", "loop", "when")

    def __init__(self, every: Deadlines, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._all = every
        self.loop = loop
        self._task: asyncio.Task[object] | None = None
        self._asked_before = 0
        self.when = when
        self.late = False

    def __enter__(self) -> Self:
        task = current_task(self.loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._task, self._asked_before = task, task.cancelling()
        self._all.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._all.running.discard(self)  # the timer stays: it costs less than setting it anew for the next call
        # whoever else asked for the cancellation must still get it, as with asyncio.timeout
        if self.late and self._task is not None and self._task.uncancel() <= self._asked_before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task that is inside."""
        self.late = True
        if self._task is not None:
            self._task.cancel()
