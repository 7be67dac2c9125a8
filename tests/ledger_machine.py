"""A state machine of the ledger: what it does with any mixture of journals is what a plain model of dicts says. The suite runs it, and `make fuzz` at
length.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from ledger_bank import Bank, bank

from luminai import Money
from luminai_ledger import Guard, Hold, Journal, Post, Result, Transfer, Void, transfer_id

GUARDS = (Guard.NONE, Guard.DEBITS, Guard.DEBITS, Guard.CREDITS)
ACCOUNTS = st.integers(0, len(GUARDS) - 1)
AMOUNTS = st.one_of(st.integers(1, 60), st.sampled_from([0, -1, 2**53 - 1, 2**53]))
STEP = st.tuples(st.sampled_from(["move", "hold", "post", "void"]), ACCOUNTS, ACCOUNTS, AMOUNTS, st.integers(0, 40))


class Model:
    """What the ledger should hold, kept in the plainest way."""

    def __init__(self) -> None:
        self.accounts = [[0, 0, 0, 0] for _ in GUARDS]
        self.holds: dict[str, tuple[int, int, int]] = {}
        self.done: dict[str, Any] = {}
        self.scope = ""

    def journal(self, key: str, steps: Any) -> bool:
        """Do all steps or none; tell whether they were done."""
        accounts, holds = [list(one) for one in self.accounts], dict(self.holds)
        for place, step in enumerate(steps):
            if not self._step(accounts, holds, step, transfer_id(self.scope, key, place)):
                return False
        self.accounts, self.holds, self.done[key] = accounts, holds, steps
        return True

    @staticmethod
    def _step(accounts: list[list[int]], holds: dict[str, tuple[int, int, int]], step: Any, identity: str) -> bool:
        kind, debit, credit, amount, hold = step
        if kind in ("post", "void"):
            if hold not in holds:
                return False
            debit, credit, held = holds.pop(hold)
            amount = held if kind == "void" else amount
            accounts[debit][2] -= held
            accounts[credit][3] -= held
            if not 1 <= amount <= held:
                return False
        elif debit == credit or not 1 <= amount < 2**53:
            return False
        if kind == "hold":
            holds[identity] = (debit, credit, amount)
            accounts[debit][2] += amount
            accounts[credit][3] += amount
        elif kind != "void":
            accounts[debit][0] += amount
            accounts[credit][1] += amount
        for number in (debit, credit):
            debits, credits_, debits_held, credits_held = accounts[number]
            if GUARDS[number] is Guard.DEBITS and number == debit and debits + debits_held > credits_:
                return False
            if GUARDS[number] is Guard.CREDITS and number == credit and credits_ + credits_held > debits:
                return False
        return max(map(max, accounts)) < 2**53


class LedgerMachine(RuleBasedStateMachine):
    """Uses the hub of ``run``; every example has accounts of its own."""

    runner: asyncio.Runner
    bank: Bank
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.keys: list[str] = []
        self.number = 0

    @initialize()
    def begin(self) -> None:
        """Open the accounts."""
        type(self).examples += 1
        self.scope = f"machine.{self.examples}"

        async def start() -> list[str]:
            return [await self.bank.open(f"{self.scope}.{number}", guard=guard) for number, guard in enumerate(GUARDS)]

        self.model.scope = self.scope
        self.accounts = self.runner.run(start())

    @rule(
        journals=st.lists(st.lists(STEP, min_size=1, max_size=4), min_size=1, max_size=6),
        together=st.booleans(),
    )
    def post(self, journals: Any, together: bool) -> None:
        """Send some journals at once; each does what the model says."""
        expected, sent = [], []
        for steps in journals:
            self.number += 1
            key = f"j{self.number}"
            real = [self._real(step) for step in steps]
            sent.append(self._journal(key, real))
            expected.append(self.model.journal(key, tuple(real)))
            if expected[-1]:
                self.keys.append(key)
        outcomes = self.runner.run(self.bank.ledger.submit(*sent) if together else self.bank.apply(*sent))
        assert [outcome.result is Result.OK for outcome in outcomes] == expected, (outcomes, expected)

    @precondition(lambda self: self.keys)
    @rule(which=st.integers(0, 10**6), other=STEP)
    def again(self, which: int, other: Any) -> None:
        """A key that was used answers the same for the same content, and nothing else for another."""
        key = self.keys[which % len(self.keys)]
        steps = self.model.done[key]
        changed = (*steps, self._real(other))
        same, different = self.runner.run(self.bank.ledger.submit(self._journal(key, steps), self._journal(key, changed)))
        # a step that is malformed in itself is refused before its key is looked at
        assert same.result is Result.EXISTS
        assert different.result in (Result.EXISTS_WITH_DIFFERENT_CONTENT, Result.INVALID)

    @invariant()
    def balances(self) -> None:
        """Every account holds what the model says."""
        if not hasattr(self, "accounts"):
            return
        found = self.runner.run(self.bank.db.read(lambda session: self.bank.ledger.balances(session, self.accounts)))
        shown = [[one.debits_posted, one.credits_posted, one.debits_pending, one.credits_pending] for one in (found[key] for key in self.accounts)]
        assert shown == self.model.accounts

    def _real(self, step: Any) -> Any:
        """Point a step that ends a hold to one: mostly an open one."""
        kind, debit, credit, amount, pick = step
        known = [*self.model.holds, transfer_id(self.scope, "never")]
        return (kind, debit, credit, amount, known[pick % len(known)] if kind in ("post", "void") else "")

    def _journal(self, key: str, steps: Any) -> Journal:
        return Journal(scope=self.scope, key=key, legs=tuple(self._leg(step) for step in steps))

    def _leg(self, step: Any) -> Any:
        kind, debit, credit, amount, hold = step
        if kind == "void":
            return Void(hold=hold, code="machine.void")
        if kind == "post":
            return Post(hold=hold, amount=Money(amount, "EUR"), code="machine.post")
        made = Transfer if kind == "move" else Hold
        return made(debit=self.accounts[debit], credit=self.accounts[credit], amount=Money(amount, "EUR"), code=f"machine.{kind}")


def run(examples: int, steps: int, *, seed: int = 0) -> None:
    """Run so many examples of so many steps in one hub, and rebuild the books at the end; a ``seed`` other than 0 draws the same again."""

    async def start() -> Bank:
        return await context.__aenter__()

    context = bank()
    with asyncio.Runner() as runner:
        LedgerMachine.runner, LedgerMachine.bank = runner, runner.run(start())
        try:
            phases = [Phase.explicit, Phase.generate, Phase.shrink]
            more: dict[str, Any] = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
            chosen = settings(max_examples=examples, stateful_step_count=steps, phases=phases, **more)
            run_state_machine_as_test(hypothesis_seed(seed)(LedgerMachine) if seed else LedgerMachine, settings=chosen)
            found = runner.run(LedgerMachine.bank.verify())
            assert found.count == 0, found.differences
        finally:
            runner.run(context.__aexit__(None, None, None))
