"""One subscription of one plugin: what waits for it, and the task that hands it over, one event after the other."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import deque
from typing import Final

from luminai.contracts.errors import Unprocessable
from luminai.contracts.runtime import Event, Subscription
from luminai.data.causes import Cause, cause
from luminai.data.event_log import Published
from luminai.host.calls import PluginRaised
from luminai.host.deadlines import Deadlines
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer

QUEUE: Final = 1000
"""Events that may wait for one subscription; what comes on top is dropped and counted."""
_GRACE: Final = 1.0
_log = logging.getLogger("luminai.events")


class Subscriber:
    """Has a queue and a task of its own, so that a slow or failing handler holds up nobody but itself.

    Args:
        owner: Id of the subscribing plugin.
        breaker: Of the plugin's channel ``events``: while it is open, events are skipped and counted.

    Attributes:
        calls: Events handed over; ``failures`` of them raised or were late.
        skipped: Events that came while the breaker was open.
        dropped: Events that found the queue full, or that were left when the plugin was stopped.
    """

    __slots__ = (
        "_deadlines",
        "_ending",
        "_idle",
        "_is_full",
        "_task",
        "_tracer",
        "_waiting",
        "breaker",
        "calls",
        "dropped",
        "failures",
        "owner",
        "seconds",
        "skipped",
        "subscription",
    )

    def __init__(self, owner: str, subscription: Subscription, breaker: Breaker, tracer: Tracer, deadlines: Deadlines) -> None:
        self.owner = owner
        self.subscription = subscription
        self.breaker = breaker
        self.calls = self.failures = self.skipped = self.dropped = 0
        self.seconds = 0.0
        self._tracer = tracer
        self._deadlines = deadlines
        self._waiting: deque[Published] = deque()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._is_full = False
        self._ending = False

    def put(self, event: Published) -> None:
        """Queue an event; never waits, never raises."""
        if self._ending:
            return
        if len(self._waiting) >= QUEUE:
            self.dropped += 1
            if not self._is_full:
                self._is_full = True
                _log.error("event.dropped", extra={"plugin": self.owner, "event": event.type, "waiting": QUEUE})
            return
        self._waiting.append(event)
        self._wake()

    async def drain(self, seconds: float) -> None:
        """Take nothing more, let what waits be handled within ``seconds``, give up the rest."""
        self._ending = True
        if self._idle is not None:
            self._wake()
        if self._task is not None:
            _, late = await asyncio.wait((self._task,), timeout=seconds)
            if late:
                self._task.cancel()
                await asyncio.wait(late, timeout=_GRACE)
        if self._waiting:
            self.dropped += len(self._waiting)
            _log.warning("event.drain.late", extra={"plugin": self.owner, "event": self.subscription.event, "left": len(self._waiting)})
            self._waiting.clear()

    def _wake(self) -> None:
        if self._task is None:
            # an empty context: a handler must not log under the request that happened to publish
            loop, name = asyncio.get_running_loop(), f"{self.owner}:event {self.subscription.event}"
            self._task = loop.create_task(self._work(), name=name, context=contextvars.Context())
            self._task.add_done_callback(self._ended)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _work(self) -> None:
        """Hand over what waits until the plugin is drained. Begun at the first event, so that a quiet subscription has no task."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while True:
            while waiting:
                event = waiting.popleft()
                if self.breaker.is_open and not self.breaker.allows():
                    self.skipped += 1
                    continue
                await self._hand_over(event)
                if waiting:
                    await asyncio.sleep(0)  # a full queue must not keep the loop
            self._is_full = False
            if self._ending:
                return
            self._idle = loop.create_future()
            await self._idle
            self._idle = None

    async def _hand_over(self, event: Published) -> None:
        self.calls += 1
        error: BaseException | None = None
        began = time.perf_counter()
        try:
            told = event.told()
            cause.set(Cause(event.correlation, event.id))
            check_version(self.owner, self.subscription, told)
            with self._deadlines.within(self.subscription.timeout) as deadline:
                await self.subscription.handle(told)
            if deadline.late:
                error = TimeoutError()
        except asyncio.CancelledError:
            if self._task is not None and self._task.cancelling():
                self.breaker.abandoned()
                raise
            error = PluginRaised("it cancelled itself")
        except GeneratorExit:  # of the loop that is being closed: a coroutine must not go on after it
            raise
        except BaseException as caught:  # noqa: BLE001 - plugin code may raise anything, SystemExit too
            error = caught
        took = time.perf_counter() - began
        self.seconds += took
        if self._tracer.is_on:
            self._tracer.note(self.owner, f"event {event.type}", took, error)
        if error is not None:
            self._failed(event.type, error)
        elif self.breaker.watching:
            self.breaker.succeeded()

    def _failed(self, event: str, error: BaseException) -> None:
        self.failures += 1
        self.breaker.failed()
        said = f"it took longer than {self.subscription.timeout:g} s" if isinstance(error, TimeoutError) else repr(error)
        extra = {"plugin": self.owner, "event": event, "subscription": self.subscription.name, "error": said}
        _log.warning("event.handler.failed", extra=extra, exc_info=error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The task ends by draining; a handler that ended it otherwise (it raised ``GeneratorExit``) gets another one for what waits."""
        self._task = self._idle = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(self.subscription.event, error)
            if self._waiting:
                self._wake()


def check_version(owner: str, subscription: Subscription, event: Event) -> None:
    """Refuse an event of a version that its handler does not know: it would read what is not there.

    Raises:
        Unprocessable: it is none of ``versions`` (code ``unknown-event-version``).
    """
    if event.version not in subscription.versions:
        known = ", ".join(map(str, subscription.versions))
        raise Unprocessable(
            f"{event.type} came at version {event.version}, and {owner} knows {known}.",
            code="unknown-event-version",
            hint=f"Upgrade {owner}, then retry the job if there is one.",
            plugin=owner,
        )
