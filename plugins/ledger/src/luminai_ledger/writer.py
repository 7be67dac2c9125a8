"""Group commit: what waits is written in one unit, committed once, answered all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from luminai import DeadlineExceeded, PluginContext, Unavailable
from luminai_ledger.apply import apply_prepared
from luminai_ledger.journal import Outcome
from luminai_ledger.prepared import Prepared

BATCH: Final = 1000
"""Legs in one unit; a larger journal is a unit of its own."""
RETRY_AFTER: Final = 1.0


class _Waiting:
    __slots__ = ("future", "journals", "legs")

    def __init__(self, journals: Sequence[Prepared]) -> None:
        self.journals = journals
        self.legs = sum(len(journal.legs) for journal in journals)
        self.future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()


class Writer:
    """Takes journals of any number of callers; ``run`` writes them, one batch after the other.

    Args:
        bound: Legs that may wait.
        timeout: Seconds for one batch.
    """

    def __init__(self, ctx: PluginContext, bound: int, timeout: float = 10.0) -> None:
        self._ctx = ctx
        self._bound = bound
        self._timeout = timeout
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._is_open = True

    @property
    def waiting(self) -> int:
        """How many legs wait."""
        return self._waiting

    async def submit(self, journals: Sequence[Prepared]) -> list[Outcome]:
        """Wait until the journals are durable, or refused.

        A caller that goes away does not take back what it asked for: asking again with the same keys tells what became of it.

        Raises:
            Unavailable: too much waits already, or the ledger stops (codes ``ledger.busy``, ``ledger.stopped``).
        """
        one = _Waiting(journals)
        if not self._is_open:
            raise _stopped("Try again with the same key.")
        if self._waiting and self._waiting + one.legs > self._bound:
            hint = "Try again in a moment, with the same key."
            raise Unavailable("Too many transfers wait.", code="ledger.busy", hint=hint, retry_after=RETRY_AFTER)
        self._queue.append(one)
        self._waiting += one.legs
        self._arrived.set()
        return await one.future

    async def run(self) -> None:
        """Write what comes, until ``close``; what waits then is still written. Cancelled it leaves nobody without an answer."""
        try:
            while self._queue or self._is_open:
                if not self._queue:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                batch = self._take()
                try:
                    await self._write(batch)
                finally:
                    self._waiting -= sum(one.legs for one in batch)
                    for one in batch:
                        if not one.future.done():  # cancelled in the middle: it may be written
                            _fail(one, _stopped("It may be written or not: ask again with the same key, which tells."))
        finally:
            self.close()
            while self._queue:
                _fail(self._queue.popleft(), _stopped("Nothing was written: try again with the same key."))

    def close(self) -> None:
        """Take nothing more."""
        self._is_open = False
        self._arrived.set()

    def _take(self) -> list[_Waiting]:
        batch = [self._queue.popleft()]
        legs = batch[0].legs
        while self._queue and legs + self._queue[0].legs <= BATCH:
            batch.append(self._queue.popleft())
            legs += batch[-1].legs
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Write a batch. Where the database refuses it all the same, each half is tried by itself, so that one cannot fail its neighbours."""
        now = self._ctx.clock.now()
        journals = [journal for one in batch for journal in one.journals]

        def unit(session: Session) -> list[Outcome]:
            return apply_prepared(session, journals, now)

        try:
            outcomes = await self._ctx.db.as_system().write(unit, timeout=self._timeout, isolation="read-committed")
        except (Unavailable, DeadlineExceeded) as error:  # the database as a whole: trying halves would only take longer
            for one in batch:
                _fail(one, error)
        except Exception as error:  # noqa: BLE001 - handed to the caller whose journals it is
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
        else:
            self._ctx.metrics.observe("batch_legs", float(sum(one.legs for one in batch)))
            done = 0
            for one in batch:
                if not one.future.done():
                    one.future.set_result(outcomes[done : done + len(one.journals)])
                done += len(one.journals)


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.future.done():
        one.future.set_exception(error)


def _stopped(hint: str) -> Unavailable:
    return Unavailable("The ledger is stopping.", code="ledger.stopped", hint=hint, retry_after=RETRY_AFTER)
