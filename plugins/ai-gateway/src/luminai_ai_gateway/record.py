"""Each call's row: written with the hold that admits it, ended with the settlement that pays for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from luminai import Conflict, EndState, Held, HubError, NotFound, PluginContext, Prepared, Trace, Unprocessable, Usage, Work, WorkFailure
from luminai_ai_gateway.account import NOTHING
from luminai_ai_gateway.models import calls
from luminai_ai_gateway.prices import Prices
from luminai_ai_gateway.pricing import Unit

RUNNING: Final = "running"
SPARE_SECONDS: Final = 60.0
"""How much longer than its call a row and its hold stand."""
COST: Final = "cost_micros"
"""The quantity by which a price list may have people pay what a call really costs."""
_UNITS: Final = frozenset(get_args(Unit))
_GIVEN: Final = frozenset({EndState.FINISHED, EndState.LENGTH})
_FAILED: Final = {
    EndState.STALLED: WorkFailure.TIMEOUT,
    EndState.CUT: WorkFailure.PROVIDER,
    EndState.FAILED: WorkFailure.PROVIDER,
    EndState.FILTERED: WorkFailure.REFUSED,
    EndState.CANCELLED: WorkFailure.ABORTED,
}
_INSERT: Final = Prepared(insert(calls))
_TAKEN: Final = Prepared(select(calls.c.id).where(calls.c.subject == bindparam("of"), calls.c.key == bindparam("digest")))
_ENDS: Final = ("model", "state", "code", "reason", "input_tokens", "output_tokens", "usage_origin", "trace", "ended_at", "cost_micros", "cost_basis")
_MINE: Final = (calls.c.subject == bindparam("of"), calls.c.id == bindparam("call"), calls.c.state == RUNNING)
_ENDED: Final = update(calls).where(*_MINE).values({name: bindparam(f"new_{name}") for name in _ENDS})
_END: Final = Prepared(_ENDED)
_END_FREE: Final = Prepared(_ENDED.values(key=None))  # what gave nothing does not use up its key
Quantities = Mapping[str, int]


class Entry(Struct, frozen=True, kw_only=True):
    """A call that begins. ``seconds`` is the longest that it may take; ``chain`` are the models that may be asked, best first."""

    id: str
    subject: str
    kind: str
    name: str
    chain: tuple[str, ...]
    seconds: float
    at: datetime
    key: str = ""
    origin: str = ""
    prompt_version: str = ""


class Outcome(Struct, kw_only=True):
    """How a call ended.

    Attributes:
        used: What is paid for, by quantity.
        generated: What each model generated, also what is not in the answer: this is what the call cost.
        has_content: Whether the caller got anything.
        failure: Why nothing is to be paid, where the state does not say it.
    """

    state: EndState
    model: str = ""
    usage: Usage = NOTHING
    used: Quantities = {}
    generated: Sequence[tuple[str, Quantities]] = ()
    has_content: bool = False
    failure: WorkFailure | None = None
    code: str = ""
    reason: str = ""
    trace: Trace | None = None

    @property
    def unpaid(self) -> WorkFailure | None:
        """Why nothing is to be paid; None for what ended well, and for what was filtered or left after something had come."""
        is_given = self.state in _GIVEN or (self.has_content and self.state in (EndState.FILTERED, EndState.CANCELLED))
        return self.failure or (None if is_given else _FAILED[self.state])


class Records:
    """Rows of calls and what is held for them."""

    def __init__(self, ctx: PluginContext, prices: Prices) -> None:
        self._ctx = ctx
        self._prices = prices

    async def open(self, entry: Entry, quantities: Quantities) -> Held | None:
        """Write a call's row and hold what it may cost at first, in one unit; None when it is free.

        Raises:
            Conflict: its key stands for another call.
            Unprocessable: it is paid for by what it costs, and one of its models has no price at all.
            HubError: as ``Metering.hold``.
        """
        lease = min(entry.seconds + SPARE_SECONDS, 86_400.0)
        key = sha256(entry.key.encode()).hexdigest() if entry.key else None
        row = _row(entry) | {"key": key}

        def unit(session: Session) -> Held | None:
            if key is not None and (other := _TAKEN.first(session, {"of": entry.subject, "digest": key})) is not None:
                hint = "Send another key for another call."
                raise Conflict(f"The key stands for the call {other.id}.", code="ai-gateway.key-used", hint=hint)
            _INSERT.run(session, row)
            if not self._ctx.metering.is_on:
                return None
            whole = self._with_cost(session, entry, quantities)
            work = Work(
                action=f"ai-gateway.{entry.kind}", key=entry.id, subject=entry.subject, model=entry.chain[0][:200], quantities=whole, lease=lease
            )
            held = self._ctx.metering.hold(session, work)
            if held is not None and COST in held.grows_by and COST not in whole:
                hint = "The operator imports prices with `luminai ai prices import`."
                raise Unprocessable("A model of this call has no price.", code="ai-gateway.unpriced", hint=hint)
            return held

        return await self._ctx.db.as_subject(entry.subject).write(unit)

    async def note(self, entry: Entry, outcome: Outcome) -> None:
        """Write the row of a call that is over already and cost nothing."""
        row = _row(entry) | self._ended(entry, outcome) | {"cost_micros": 0, "cost_basis": "priced"}

        def unit(session: Session) -> None:
            _INSERT.run(session, row)

        await self._ctx.db.as_subject(entry.subject).write(unit)

    async def extend(self, entry: Entry, held: Held, quantities: Quantities) -> bool:
        """Hold for what a call grew to, all its quantities told; False when there is not enough, or nothing that could tell."""
        lease = entry.seconds + SPARE_SECONDS

        def unit(session: Session) -> None:
            self._ctx.metering.extend(session, held, self._with_cost(session, entry, quantities), lease=lease)

        try:
            await self._ctx.db.as_subject(entry.subject).write(unit)
        except HubError:
            return False
        return True

    async def close(self, entry: Entry, held: Held | None, outcome: Outcome) -> None:
        """End a call's row, and settle or release what is held for it, in one unit."""
        failure = outcome.unpaid
        ended = {f"new_{name}": value for name, value in self._ended(entry, outcome).items()}
        mine, statement = {"of": entry.subject, "call": entry.id}, _END if failure is None else _END_FREE

        def unit(session: Session) -> None:
            micros, basis = self._cost(session, outcome.generated, entry.at)
            statement.run(session, ended | mine | {"new_cost_micros": micros, "new_cost_basis": basis})
            if held is None:
                return
            if failure is None:
                own = [(outcome.model, outcome.used)]
                paid = micros if own == list(outcome.generated) else self._cost(session, own, entry.at)[0]
                self._ctx.metering.settle(session, held, dict(outcome.used) | ({COST: paid} if paid is not None else {}))
            else:
                self._ctx.metering.release(session, held, failure)

        await self._ctx.db.as_subject(entry.subject).write(unit)

    async def reconcile(self, subject: str, call: str, usage: Usage) -> None:
        """Put a usage that was reported later in the place of an estimate. Raises as ``Gateway.reconcile``."""

        def unit(session: Session) -> None:
            row = session.execute(select(calls).where(calls.c.subject == subject, calls.c.id == call)).first()
            if row is None:
                raise NotFound("There is no such call.", code="ai-gateway.call-not-found", hint="GET /api/ai/calls lists yours.")
            if row.state == RUNNING or row.usage_origin == "reported":
                raise Conflict("The usage of this call is no estimate.", code="ai-gateway.reported", hint="Only estimates are replaced.")
            tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            micros, basis = self._cost(session, [(row.model, tokens)], row.created_at)
            values = {**tokens, "usage_origin": "reported", "cost_micros": micros, "cost_basis": basis}
            session.execute(update(calls).where(calls.c.subject == subject, calls.c.id == call).values(**values))

        await self._ctx.db.as_subject(subject).write(unit)

    def _cost(self, session: Session, generated: Iterable[tuple[str, Quantities]], at: datetime) -> tuple[int | None, str]:
        """Return millionths of a dollar and their basis; None when a part of it has no price at all."""
        total, basis = 0, "priced"
        for model, quantities in generated:
            found = self._prices.cost(session, model, {unit: count for unit, count in quantities.items() if unit in _UNITS}, at)
            if found.micro is None:
                return None, ""
            total, basis = total + found.micro, basis if found.basis == "priced" else found.basis
        return total, basis

    def _with_cost(self, session: Session, entry: Entry, quantities: Quantities) -> Quantities:
        """Return quantities with what they cost at the dearest of the models that may be asked."""
        costs = [self._cost(session, [(model, quantities)], entry.at)[0] for model in entry.chain]
        known = [micros for micros in costs if micros is not None]
        return {**quantities, COST: max(known)} if len(known) == len(costs) else quantities

    def _ended(self, entry: Entry, outcome: Outcome) -> dict[str, Any]:
        usage = outcome.usage
        return {
            "model": (outcome.model or entry.chain[0])[:240],
            "state": str(outcome.state),
            "code": outcome.code[:80],
            "reason": outcome.reason[:500],
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "usage_origin": usage.origin,
            "trace": msgspec.to_builtins(outcome.trace) if outcome.trace is not None else None,
            "ended_at": self._ctx.clock.now(),
        }


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(entry, name) for name in ("id", "subject", "kind", "name", "origin", "prompt_version")}
    row |= {"model": entry.chain[0][:240], "state": RUNNING, "code": "", "reason": ""}
    row |= {"input_tokens": 0, "output_tokens": 0, "usage_origin": "estimated", "cost_basis": ""}
    return row | {"created_at": entry.at, "lease_until": entry.at + timedelta(seconds=entry.seconds + SPARE_SECONDS)}
