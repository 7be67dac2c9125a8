"""A call that was admitted: it has a place, a row and what is held for it, and gives them back once, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from luminai import AIErrorKind, EndState, Held, HubError, PluginContext, Usage, WorkFailure
from luminai_ai_gateway.account import Account, tokens_of
from luminai_ai_gateway.failures import BAD_ANSWERS, Exhausted, problem, work_failure
from luminai_ai_gateway.places import Places
from luminai_ai_gateway.pricing import quantities_of
from luminai_ai_gateway.record import COST, Entry, Outcome, Records

_GROWING: Final = frozenset({"output_tokens", COST})
SLICE: Final = 1000
"""Tokens of a reply that are held ahead."""


class Running:
    """For the length of a block. What the block raises is recorded; ``Exhausted`` leaves it as the problem that callers are told.

    Args:
        quantities: What is held at first, by name.
        used: Returns what a usage is by the same names.
    """

    def __init__(
        self,
        ctx: PluginContext,
        places: Places,
        records: Records,
        entry: Entry,
        account: Account,
        *,
        quantities: Mapping[str, int],
        used: Callable[[Usage | None], Mapping[str, int]],
    ) -> None:
        self._ctx = ctx
        self._places = places
        self._records = records
        self._entry = entry
        self._account = account
        self._quantities = dict(quantities)
        self._used = used
        self._held: Held | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        subject, began = self._entry.subject, self._account.now()
        await self._places.take(subject)
        self._account.waited += self._account.now() - began
        self._account.call = self._entry.id
        opening = asyncio.ensure_future(self._records.open(self._entry, self._quantities))
        try:
            self._held = await asyncio.shield(opening)
        except asyncio.CancelledError as error:
            self._ctx.spawn(self._undo(opening, error), name=f"undo {self._entry.id}")
            raise
        except BaseException:
            self._places.give(subject)
            raise
        return self

    async def _undo(self, opening: asyncio.Future[Held | None], left: asyncio.CancelledError) -> None:
        """End a call whose caller left while it was admitted: what is being written is written."""
        try:
            self._held = await opening
        except Exception:  # noqa: BLE001 - then there is nothing to end
            self._places.give(self._entry.subject)
            return
        await self._close(self._outcome(left))

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._is_closed:
            await self._close(self._outcome(error))
        if isinstance(error, Exhausted):
            raise problem(error) from error

    @property
    def grows(self) -> bool:
        """Whether a reply has to be paid for while it grows."""
        return self._held is not None and not self._held.grows_by.isdisjoint(_GROWING)

    async def grow(self, size: int) -> int:
        """See that a reply of ``size`` bytes is held for; return up to how many bytes it is, 0 when it must end."""
        covered = self._quantities.get("output_tokens", 0)
        if self._held is None or not self.grows:
            return 2**62
        if tokens_of(size) < covered:
            return covered * 4
        covered = (tokens_of(size) // SLICE + 1) * SLICE
        if not await self._extend({**self._quantities, "output_tokens": covered}):
            return 0
        return covered * 4

    async def end(self, state: EndState, *, usage: Usage | None, code: str = "", reason: str = "") -> None:
        """End the call as ``state``: its row and its payment are durable when this returns."""
        outcome = Outcome(state=state, code=code, reason=reason, has_content=self._account.first is not None)
        outcome.failure = WorkFailure.INVALID_ANSWER if code in BAD_ANSWERS else None
        await self._close(outcome, usage)

    async def _close(self, outcome: Outcome, usage: Usage | None = None) -> None:
        self._is_closed = True
        usage = usage or self._account.usage
        outcome.model, outcome.used, outcome.trace = self._account.model, self._used(usage), self._account.trace()
        outcome.usage = usage or outcome.usage
        by_tokens = [(leg.model, quantities_of(leg.usage)) for leg in self._account.legs if leg.usage is not None]
        outcome.generated = by_tokens if "output_tokens" in self._quantities else [(outcome.model, outcome.used)] if outcome.has_content else []
        try:
            # a reader that leaves, or a task that is cancelled, must not keep the call from being ended
            await asyncio.shield(self._ctx.spawn(self._written(outcome), name=f"close {self._entry.id}"))
        finally:
            self._places.give(self._entry.subject)

    async def _written(self, outcome: Outcome) -> None:
        most = {name: max(count, outcome.used.get(name, 0)) for name, count in self._quantities.items()}
        if self._held is not None and self._held.grows_by and outcome.unpaid is None and most != self._quantities:
            await self._extend(most)  # what is not granted any more is the operator's
        await self._records.close(self._entry, self._held, outcome)

    async def _extend(self, quantities: Mapping[str, int]) -> bool:
        if self._held is None or not await self._records.extend(self._entry, self._held, quantities):
            return False
        self._quantities = dict(quantities)
        return True

    def _outcome(self, error: BaseException | None) -> Outcome:
        """Return how a call ended that did not say so itself."""
        has_content = self._account.first is not None
        if isinstance(error, Exhausted):
            told = error.told
            state = EndState.STALLED if told.kind is AIErrorKind.TIMEOUT else EndState.FAILED
            return Outcome(state=state, code=told.code, reason=told.reason, failure=work_failure(told))
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            return Outcome(state=EndState.CANCELLED, reason="the reader left", has_content=has_content)
        code = error.code if isinstance(error, HubError) else "crashed"
        return Outcome(state=EndState.FAILED, code=code, failure=WorkFailure.CRASHED)
