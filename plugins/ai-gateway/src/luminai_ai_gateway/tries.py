"""The tries of one call: who is asked next, until when, and what went wrong so far."""

from __future__ import annotations

from asyncio import get_running_loop, sleep
from collections.abc import Callable
from typing import Final

from luminai import AIErrorKind
from luminai_ai_gateway.account import Account
from luminai_ai_gateway.budget import Budget
from luminai_ai_gateway.catalogue import Catalogue, Plan, Target
from luminai_ai_gateway.failures import Exhausted, Failure, not_there

Suits = Callable[[Target], str]
"""Tells why a model cannot take a request, "" when it can."""
_NO_TIME: Final = Failure(kind=AIErrorKind.TIMEOUT, code="timeout", reason="there was no time left")


class Tries:
    """Of one call.

    Args:
        seconds: The call's deadline, all tries together.

    Attributes:
        failures: Why tries gave nothing, in order.
    """

    def __init__(self, catalogue: Catalogue, plan: Plan, account: Account, seconds: float, suits: Suits) -> None:
        self._catalogue = catalogue
        self._account = account
        self._handling = plan.handling
        self._budget = Budget(plan.chain, plan.handling.retries)
        self._suits = suits
        self.ends = get_running_loop().time() + seconds
        self.failures: list[Failure] = []

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(0.0, self.ends - get_running_loop().time())

    @property
    def share(self) -> float:
        """The seconds that a try of a whole answer has: all that are left for the last model, first and idle ones for one with others behind it."""
        most = self._handling.first_seconds + self._handling.idle_seconds
        return min(self.left, most) if self._budget.has_fresh else self.left

    async def next(self) -> Target | None:
        """Return the model to ask now; waits where a provider said so. None when nothing is left to try, or no time."""
        while (step := self._budget.take(get_running_loop().time())) is not None:
            if step.wait >= self.left:
                self.failures += [] if self.failures else [_NO_TIME]
                return None
            if step.wait:
                await sleep(step.wait)
                self._account.waited += step.wait
            target = self._catalogue.find(step.model)
            why = self._suits(target) if target is not None else "is not there now"
            if target is not None and not why:
                return target
            self.pass_over(step.model, why)
        return None

    def pass_over(self, model: str, why: str) -> None:
        """Note that a model is not asked."""
        self.failures.append(not_there(model, why))
        self._account.end(self._account.attempt(model), None, code=self.failures[-1].code, counts=False)

    def spare(self) -> bool:
        """Take one try out of the budget for something else than another model; False when there is none."""
        return self._budget.spare()

    def failed(self, target: Target, failure: Failure) -> None:
        """Note that a try gave nothing, or broke off."""
        self.failures.append(failure)
        self._budget.failed(target.name, failure, get_running_loop().time())

    def exhausted(self) -> Exhausted:
        """Return the error for a call that got nothing."""
        return Exhausted(self.failures or [_NO_TIME])
