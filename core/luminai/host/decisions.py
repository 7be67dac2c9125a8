"""Decision chains: ordered async steps with a declared combination rule and a declared meaning of failure."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from luminai.contracts.errors import Conflict, Forbidden, HubError, Unavailable
from luminai.contracts.runtime import Decision, DecisionRule, Denied
from luminai.host.calls import contained
from luminai.host.deadlines import Deadlines
from luminai.host.order import start_order
from luminai.telemetry.breaker import Breaker
from luminai.telemetry.trace import Tracer

_log = logging.getLogger("luminai.decisions")


class Step:
    """One plugin's part in a chain, with its counts."""

    __slots__ = ("_deadlines", "_tracer", "breaker", "calls", "decision", "failures", "owner", "seconds")

    def __init__(self, owner: str, decision: Decision, breaker: Breaker, tracer: Tracer, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._tracer = tracer
        self.owner = owner
        self.breaker = breaker
        self.decision = decision
        self.calls = 0
        self.failures = 0
        self.seconds = 0.0

    async def run(self, subject: Any) -> Any:
        """Await the step within its deadline; time and failures are counted under its owner.

        Raises:
            Unavailable: it failed too often and rests (code ``breaker-open``).
            Exception: whatever the step raised.
        """
        if self.breaker.is_open and not self.breaker.allows():
            raise Unavailable(f"{self.owner} failed too often at {self.decision.point}", code="breaker-open", retry_after=self.breaker.retry_after)
        began = time.perf_counter()
        self.calls += 1
        try:
            with self._deadlines.within(self.decision.timeout):
                answer = await contained(self.decision.decide(subject))
        except HubError as error:
            if error.status < 500:  # an answer, not a fault
                self._went_well()
                raise
            self._failed(error)
            raise
        except Exception as error:
            self._failed(error)
            raise
        else:
            self._went_well()
            return answer
        finally:
            took = time.perf_counter() - began
            self.seconds += took
            if self._tracer.is_on:
                self._tracer.note(self.owner, f"decision {self.decision.point}", took, sys.exception())

    def _went_well(self) -> None:
        if self.breaker.watching:
            self.breaker.succeeded()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.breaker.failed()
        _log.warning("decision.step.failed", extra={"plugin": self.owner, "point": self.decision.point, "error": repr(error)})


class DecisionTable:
    """The chains of one generation, by point.

    Args:
        make_breaker: ``(plugin, channel)`` to a breaker.
        tracer: Told each step while somebody listens.
    """

    def __init__(self, make_breaker: Callable[[str, str], Breaker], tracer: Tracer) -> None:
        self._tracer = tracer
        self._make_breaker = make_breaker
        self._deadlines = Deadlines()
        self._chains: dict[str, tuple[Step, ...]] = {}

    def add(self, owner: str, decisions: Iterable[Decision]) -> None:
        """Put a plugin's steps into their chains, ordered by ``before`` and ``after`` with the order of arrival as tie-break.

        Raises:
            Conflict: unknown rule, two steps of one plugin in one chain, or a circle of before and after.
        """
        for decision in decisions:
            rule = decision.point.partition(".")[0]
            if rule not in set(DecisionRule):
                raise Conflict(
                    f"decision point {decision.point!r} has no rule",
                    code="bad-decision",
                    hint="Start it with guard, filter, choose or price.",
                )
            breaker = self._make_breaker(owner, f"decision {decision.point}")
            self._insert(Step(owner, decision, breaker, self._tracer, self._deadlines))

    def take_over(self, owner: str, before: DecisionTable) -> None:
        """Put a plugin's steps of another table into this one, with their counts and breakers."""
        for point in before.points:
            for step in before.chain(point):
                if step.owner == owner:
                    self._insert(step)

    def _insert(self, step: Step) -> None:
        point = step.decision.point
        chain = self._chains.get(point, ())
        if any(other.owner == step.owner for other in chain):
            raise Conflict(f"{step.owner} has two steps in {point}", code="bad-decision", hint="Make them one.")
        self._chains[point] = _ordered((*chain, step))

    def remove(self, owner: str) -> None:
        """Take a plugin's steps out."""
        for point, chain in list(self._chains.items()):
            self._chains[point] = tuple(step for step in chain if step.owner != owner)

    @property
    def points(self) -> tuple[str, ...]:
        """Every point that has a step."""
        return tuple(sorted(point for point, chain in self._chains.items() if chain))

    def chain(self, point: str) -> tuple[Step, ...]:
        """Return the steps of a point in order."""
        return self._chains.get(point, ())

    async def guard(self, point: str, subject: Any) -> None:
        """Raise unless every step allows; a failing or late step denies (fail closed)."""
        for step in self.chain(point):
            try:
                answer = await step.run(subject)
            except HubError:
                raise
            except Exception as error:
                raise Forbidden(f"{step.owner} could not decide", code="guard-failed", plugin=step.owner, hint="Try again later.") from error
            if isinstance(answer, Denied):
                raise Forbidden(answer.reason, code=answer.code, hint=answer.hint, plugin=step.owner)
            if answer is not None:
                raise Forbidden(f"{step.owner} gave no valid answer", code="guard-failed", plugin=step.owner)

    async def choose(self, point: str, subject: Any) -> Any | None:
        """Return the first answer that is not None; a failing step is skipped."""
        for step in self.chain(point):
            try:
                answer = await step.run(subject)
            except Exception:  # noqa: BLE001, S112 - counted and logged by the step; the rule is to go on
                continue
            if answer is not None:
                return answer
        return None

    async def filter(self, point: str, value: Any) -> Any:
        """Fold ``value`` through the steps; a failing step is skipped."""
        for step in self.chain(point):
            try:
                value = await step.run(value)
            except Exception:  # noqa: BLE001, S112 - as above
                continue
        return value

    async def price(self, point: str, subject: Any) -> int:
        """Return the sum of the steps' amounts; a failing step or one that is no whole number denies."""
        total = 0
        for step in self.chain(point):
            try:
                amount = await step.run(subject)
            except Exception as error:
                raise Unavailable(f"{step.owner} could not name a price", code="price-failed", plugin=step.owner) from error
            if not isinstance(amount, int) or isinstance(amount, bool):
                raise Unavailable(f"{step.owner} gave no whole amount", code="price-failed", plugin=step.owner)
            total += amount
        return total


def _ordered(chain: tuple[Step, ...]) -> tuple[Step, ...]:
    """Sort by before/after; positions are the tie-break, so that the plugins' start order holds where nothing is said."""
    names = {step.owner: f"{position:04d}" for position, step in enumerate(chain)}
    edges: dict[str, list[str]] = {name: [] for name in names.values()}
    for step in chain:
        edges[names[step.owner]] += [names[other] for other in step.decision.after if other in names]
        for other in step.decision.before:
            if other in names:
                edges[names[other]].append(names[step.owner])
    order, cycles = start_order(edges)
    if cycles:
        owners = " → ".join(chain[int(position)].owner for position in cycles[0])
        raise Conflict(f"{chain[0].decision.point}: before and after go round: {owners}", code="bad-decision")
    return tuple(chain[int(position)] for position in order)
