"""Hands letters to whoever carries mail now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Final

from luminai.contracts.context import Clock
from luminai.contracts.errors import HubError, InvalidInput
from luminai.contracts.mail import MailTransport
from luminai.contracts.runtime import Health, HealthCheck, HealthState
from luminai.work.mail import MailQueue
from luminai.work.outgoing import Lease, Outgoing

_log = logging.getLogger("luminai.mail")
ROUND: Final = 50
"""Letters that one round sends at most."""
IN_A_ROW: Final = 3
"""Failures after which a round ends: the server is down, and the other letters need not lose an attempt each."""
LATE: Final = timedelta(minutes=15)
POLL_SECONDS: Final = 5.0
"""Longest pause between two looks: another process may have put a letter, or died over one."""
TIDY_SECONDS: Final = 600.0
_FIRST_LOOK: Final = 0.05
_PATIENCE: Final = 5.0
"""Seconds that a stop leaves the letter in hand; what was cut off would go out twice."""


class MailWorker:
    """One in a process.

    Args:
        lend: Gives the transport of the serving generation for one letter, None without one: a swap waits for no more than that. Its ``send``
            ends within 30 seconds.
    """

    def __init__(self, queue: MailQueue, clock: Clock, lend: Callable[[], AbstractContextManager[MailTransport | None]]) -> None:
        self.queue = queue
        self._clock = clock
        self._lend = lend
        self._woken = asyncio.Event()
        self._turning = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tidied: float | None = None
        queue.on_put = self.wake

    def wake(self) -> None:
        """Look at the queue now: a letter was put, or another generation serves. May be called in any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left to wake
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled. A letter wakes it a moment before its commit, so it looks again soon, and then at growing distances."""
        self._loop = asyncio.get_running_loop()
        pause = _FIRST_LOOK
        while True:
            self._woken.clear()
            try:
                answered = await self._turn()
            except Exception:  # noqa: BLE001 - one bad turn must not end the work
                _log.exception("mail.turn.failed")
                answered = 0
            pause = _FIRST_LOOK if answered else pause
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
                pause = _FIRST_LOOK
            except TimeoutError:
                pause = min(2 * pause, POLL_SECONDS)

    async def settle(self) -> None:
        """Send what is due now, as far as the transport takes it."""
        while await self._turn():
            pass

    def health_check(self) -> HealthCheck:
        """Return the check that shows letters which nobody carries."""
        return HealthCheck(name="mail", check=self._health)

    async def _turn(self) -> int:
        """Hand out one round; return how many letters were answered."""
        async with self._turning:
            now = self._clock.monotonic()
            if self._tidied is None or now - self._tidied >= TIDY_SECONDS:
                self._tidied = now
                await self.queue.outgoing.tidy()
            if not await self.queue.outgoing.is_due():
                return 0
            answered = failed = 0
            for _ in range(ROUND):
                with self._lend() as transport:
                    is_answered = None if transport is None else await deliver(self.queue.outgoing, transport)
                if is_answered is None:
                    break
                answered, failed = (answered + 1, 0) if is_answered else (answered, failed + 1)
                if failed >= IN_A_ROW:
                    break
            return answered

    async def _health(self) -> Health:
        count, oldest = await self.queue.waiting()
        if not count or oldest is None:
            return Health(HealthState.OK)
        with self._lend() as transport:
            if transport is None:
                return Health(HealthState.DEGRADED, f"letters that wait: {count}; no running plugin carries mail")
        if self._clock.now() - oldest <= LATE:
            return Health(HealthState.OK)
        return Health(HealthState.DEGRADED, f"letters that wait: {count}, the oldest since {oldest:%Y-%m-%d %H:%M} UTC")


async def deliver(outgoing: Outgoing, transport: MailTransport) -> bool | None:
    """Send the letter that is due longest: True when the server answered, False when it did not, None when no letter is due.

    A cancellation leaves the letter in hand five seconds to be settled.
    """
    lease = await outgoing.claim()
    if lease is None:
        return None
    task = asyncio.ensure_future(_send(outgoing, transport, lease))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=_PATIENCE)
        task.cancel()
        await asyncio.wait((task,))
        raise


async def _send(outgoing: Outgoing, transport: MailTransport, lease: Lease) -> bool:
    """Send one letter and settle it; tell whether the server answered, be it that it will never take the letter."""
    letter = lease.mail
    try:
        await transport.send(letter)
    except InvalidInput as error:
        await outgoing.refused(lease, _said(error, letter.to))
        _log.warning("mail.refused", extra={"letter": letter.id, "reason": _said(error, letter.to)})
        return True
    except Exception as error:  # noqa: BLE001 - plugin code may raise anything
        wait = error.retry_after if isinstance(error, HubError) else None
        state = await outgoing.put_back(lease, _said(error, letter.to), wait=wait or 0.0)
        extra = {"letter": letter.id, "attempt": lease.attempt, "state": state, "reason": _said(error, letter.to)}
        _log.warning("mail.failed", exc_info=None if isinstance(error, HubError) else error, extra=extra)
        return False
    await outgoing.sent(lease)
    _log.info("mail.sent", extra={"letter": letter.id, "attempt": lease.attempt, "transport": transport.name})
    return True


def _said(error: Exception, address: str) -> str:
    """Return an error's words without the address, which servers like to repeat; only the hub's own errors are written for people to read."""
    text = f"{error.code}: {error.detail}" if isinstance(error, HubError) else type(error).__name__
    return re.sub(re.escape(address), "<address>", text, flags=re.IGNORECASE)
