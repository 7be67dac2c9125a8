"""A thread for plugin code that may hang: it is given up when a deadline passes, and never holds up the end of the process."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from luminai.contracts.errors import DeadlineExceeded

T = TypeVar("T")


class DeadlineWorker:
    """Runs calls one after the other in a daemon thread. A call that outlives its deadline costs its thread; the next call gets a new one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] | None = None

    async def call(self, function: Callable[..., T], *args: Any, seconds: float) -> T:
        """Return what ``function(*args)`` returns.

        Raises:
            DeadlineExceeded: it did not return within ``seconds``; its thread is abandoned.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - plugin code may raise anything, SystemExit included
                _deliver(loop, future, None, error)
            else:
                _deliver(loop, future, result, None)

        self._queue().put(run)
        done, _ = await asyncio.wait((future,), timeout=seconds)
        if not done:
            self._calls = None
            raise DeadlineExceeded(f"did not return within {seconds:g} s")
        return future.result()

    def close(self) -> None:
        """Let the thread end."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None

    def _queue(self) -> queue.SimpleQueue[Callable[[], None] | None]:
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True).start()
        return self._calls


def _serve(calls: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()


def _deliver(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception):
            future.set_exception(error)
        else:  # SystemExit and its kin end the plugin, not the hub
            failure = RuntimeError(f"raised {type(error).__name__}")
            failure.__cause__ = error
            future.set_exception(failure)

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
