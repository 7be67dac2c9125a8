"""A state machine of payments over the sandbox: whatever people, banks and faults do, payments, ledger and provider agree once all was asked about.
The suite runs it, and `make fuzz` at length.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import select, text

from luminai import Actor, HubError, PaymentError
from luminai.testing import FrozenClock, running_hub

METHODS = (
    *("card", "card", "card_declined", "card_requires_action", "card_answer_lost", "card_never_arrived", "card_answer_late", "card_delayed"),
    *("card_delayed_failure", "card_disputed", "card_dispute_won", "card_dispute_lost", "card_refund_refused", "card_refund_lost", "bank_returned"),
)
OPERATOR = Actor(id="key_op", subject="user_op", scopes=frozenset({"*"}))
DAY = 86_400
REFUSED = (409, 422, 404, 503)
PICK = st.integers(0, 1000)


class World:
    """A hub with payments and the sandbox, and what can happen there."""

    def __init__(self, hub: Any) -> None:
        from luminai_payments import Payments

        self.hub = hub
        context = hub.hub.generation.loaded("payments").context
        self.service = context.service(Payments)
        self.provider = hub.hub.generation.wiring.providers.payment_providers["sandbox"]
        self.operator = hub.client("payments:manage", "pay-sandbox:manage", subject="user_op")
        self.payments: list[Any] = []
        self.number = 0
        self.since = hub.hub.clock.now()

    @property
    def person(self) -> str:
        """Who pays in this example."""
        return f"user_{self.number}"

    async def charge(self, method: str, minor: int, *, capture: bool) -> None:
        from luminai_payments import Checkout

        ask = Checkout(purpose="pack", product=f"p{minor % 3}", method=method, capture=capture)
        self.payments.append(await self.service.checkout(self.person, ask))

    async def change(self, kind: str, pick: int, minor: int) -> None:
        """Try something with a payment; a refusal is an answer."""
        from luminai_payments import Refund
        from luminai_payments.schemas import Retry

        one = self.payments[pick % len(self.payments)]
        calls: dict[str, Any] = {
            "refund": lambda: self.service.refund(Refund(payment=one.id, amount=minor if minor % 4 else None), OPERATOR),
            "capture": lambda: self.service.capture(one.id, minor if minor % 2 else None, OPERATOR),
            "void": lambda: self.service.void(one.id, OPERATOR),
            "retry": lambda: self.service.retry(self.person, one.id, Retry(method="card")),
        }
        try:
            await calls[kind]()
        except HubError as refused:
            if refused.status not in REFUSED:
                raise

    async def act(self, pick: int, what: str) -> None:
        ref = (await self.service.effects._db.read(lambda session: _ref(session, self.payments[pick % len(self.payments)].id))) or ""
        if ref:
            answer = await self.operator.request("POST", f"/api/pay-sandbox/payments/{ref}/act", json={"act": what})
            assert answer.status in (200, 409), answer.json()

    async def pass_time(self, seconds: int) -> None:
        """Move the sandbox's clock and the hub's."""
        await self.operator.request("POST", "/api/pay-sandbox/clock", json={"seconds": seconds})
        self.hub.hub.clock.advance(seconds)

    async def ask_about_everything(self) -> None:
        """Let all that is open be settled: far enough in time that nothing can be on its way any more."""
        for _ in range(3):
            self.hub.hub.clock.advance(3700)
            await self.operator.request("POST", "/api/payments/admin/repair")
            answer = await self.operator.request("POST", "/api/payments/admin/reconcile")
            assert answer.status == 200, answer.json()

    async def check(self) -> None:
        """Compare payments, ledger and provider."""
        from luminai_payments.models import incidents as incidents_

        def unit(session: Any) -> tuple[Any, ...]:
            mine = {"person": self.person}
            rows = session.execute(text("SELECT * FROM payments__payments WHERE subject = :person"), mine).all()
            bucket = session.execute(text("SELECT credits_posted - debits_posted FROM ledger__accounts WHERE owner = :person"), mine).scalar()
            open_ = text("SELECT count(*) FROM payments__operations WHERE subject = :person AND state IN ('started', 'unknown')")
            wrong = select(incidents_.c.kind, incidents_.c.detail).where(incidents_.c.created_at >= self.since)
            incidents = session.execute(wrong).all()
            return rows, bucket or 0, session.execute(open_, mine).scalar_one(), incidents

        rows, bucket, open_, incidents = await self.hub.hub.database.read(unit)
        assert bucket == sum(row.captured - row.refunded - row.returned for row in rows)
        assert open_ == 0
        assert incidents == []
        for row in rows:
            if row.ref:
                try:
                    there = await self.provider.query(row.ref)
                except PaymentError as error:
                    raise AssertionError(f"{row.id} is {row.ref}, which the provider does not know") from error
                assert (row.captured, row.refunded, row.fee) == (there.captured, there.refunded, there.fee or 0), row
                assert row.status == there.status, row


def _ref(session: Any, payment: str) -> str | None:
    found: str | None = session.execute(text("SELECT ref FROM payments__payments WHERE id = :id"), {"id": payment}).scalar()
    return found


class PaymentsMachine(RuleBasedStateMachine):
    """Steps in any order; at the end of each example everything is asked about and compared."""

    runner: asyncio.Runner
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.payments, self.world.since = [], self.world.hub.hub.clock.now()
        self.world.number += 1

    def has_payments(self) -> bool:
        return bool(self.world.payments)

    @rule(method=st.sampled_from(METHODS), minor=st.integers(0, 9), capture=st.booleans())
    def charge(self, method: str, minor: int, capture: bool) -> None:
        self.runner.run(self.world.charge(method, minor, capture=capture))

    @precondition(has_payments)
    @rule(kind=st.sampled_from(["refund", "refund", "capture", "void", "retry"]), pick=PICK, minor=st.integers(1, 1200))
    def change(self, kind: str, pick: int, minor: int) -> None:
        self.runner.run(self.world.change(kind, pick, minor))

    @precondition(has_payments)
    @rule(what=st.sampled_from(["confirm", "refuse", "dispute", "win", "lose", "return"]), pick=PICK)
    def act(self, what: str, pick: int) -> None:
        self.runner.run(self.world.act(pick, what))

    @rule(seconds=st.sampled_from([30, 61, 700, DAY, 2 * DAY]))
    def pass_time(self, seconds: int) -> None:
        self.runner.run(self.world.pass_time(seconds))

    @precondition(has_payments)
    @rule()
    def repair(self) -> None:
        self.runner.run(self.world.operator.request("POST", "/api/payments/admin/repair"))

    def teardown(self) -> None:
        async def end() -> None:
            await self.world.ask_about_everything()
            await self.world.check()

        self.runner.run(end())


def run(examples: int, steps: int, *, seed: int = 0, shrink: bool = True) -> None:
    """Run so many examples of so many steps in one hub; a ``seed`` other than 0 draws the same again."""
    offers = [{"purpose": "pack", "product": f"p{number}", "amount": amount, "asset": "EUR"} for number, amount in enumerate((1, 999, 1000))]
    context = running_hub("ledger", "payments", "pay-sandbox", config={"payments": {"offers": offers}}, clock=FrozenClock())

    async def start() -> World:
        return World(await context.__aenter__())

    with asyncio.Runner() as runner:
        PaymentsMachine.runner, PaymentsMachine.world = runner, runner.run(start())
        try:
            phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])]
            more: dict[str, Any] = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}
            chosen = settings(max_examples=examples, stateful_step_count=steps, phases=phases, **more)
            run_state_machine_as_test(hypothesis_seed(seed)(PaymentsMachine) if seed else PaymentsMachine, settings=chosen)
        finally:
            runner.run(context.__aexit__(None, None, None))
