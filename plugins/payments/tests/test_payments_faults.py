"""A kill or a client that leaves, anywhere in a payment, leaves nothing or an open question that is answered; money and books stay in step."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from luminai.testing import FrozenClock, running_hub
from luminai.testing.stepping import cancel_at

PLUGINS = ("ledger", "payments", "pay-sandbox")
STEPS = ("before the call", "after the call", "in the unit", "after the unit")
SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from luminai.testing import FrozenClock, running_hub
from luminai_payments import Charge, Payments, Refund
from luminai_payments.effects import Effects
from luminai import Actor

folder, step, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

async def main():
    async with running_hub("ledger", "payments", "pay-sandbox", folder=folder, clock=FrozenClock()) as hub:
        service = hub.hub.generation.loaded("payments").context.service(Payments)
        if kind == "refund":
            paid = await service.charge("user_ada", Charge(amount=1000, asset="EUR", method="card"))
        ask, settle, absorb = Effects._ask, Effects.settle, Effects.absorb
        async def dying_ask(self, *args):
            os._exit(7) if step == "before the call" else None
            return await ask(self, *args)
        async def dying_settle(self, *args):
            os._exit(7) if step == "after the call" else None
            await settle(self, *args)
            os._exit(7)
        def dying_absorb(self, *args, **named):
            found = absorb(self, *args, **named)
            os._exit(7) if step == "in the unit" else None
            return found
        Effects._ask, Effects.settle, Effects.absorb = dying_ask, dying_settle, dying_absorb
        if kind == "refund":
            await service.refund(Refund(payment=paid.id, amount=400), Actor(id="k", subject="user_op", scopes=frozenset({"*"})))
        await service.charge("user_ada", Charge(amount=1000, asset="EUR", method="card"))

asyncio.run(main())
"""


async def standing(hub: Any) -> tuple[list[Any], int, int, list[Any]]:
    """Return the person's payments, what the ledger says that the person paid, what the provider says, and incidents."""
    from sqlalchemy import text

    def unit(session: Any) -> tuple[int, int]:
        bucket = session.execute(text("SELECT sum(credits_posted - debits_posted) FROM ledger__accounts WHERE owner = 'user_ada'")).scalar()
        there = session.execute(text("SELECT sum(captured - refunded) FROM pay_sandbox__payments")).scalar()
        return int(bucket or 0), int(there or 0)

    bucket, there = await hub.hub.database.read(unit)
    paid = (await hub.client("payments:read", subject="user_ada").request("GET", "/api/payments/history?limit=100")).json()["items"]
    return paid, bucket, there, (await hub.client("payments:manage").request("GET", "/api/payments/admin/incidents")).json()["items"]


@pytest.mark.parametrize(("kind", "step"), [("charge", "after the call"), ("refund", "in the unit")])
def test_process__killed_in_the_middle__leaves_nothing_or_an_unknown_that_is_repaired(tmp_path: Path, kind: str, step: str) -> None:
    _kill_and_repair(tmp_path, kind, step)


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["charge", "refund"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("time", range(5))
def test_process__killed_at_each_step__is_repaired(tmp_path: Path, kind: str, step: str, time: int) -> None:
    _kill_and_repair(tmp_path, kind, step)


def _kill_and_repair(folder: Path, kind: str, step: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(folder), step, kind], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 7, done.stderr[-2000:]

    async def main() -> None:
        clock = FrozenClock()
        clock.advance(timedelta(hours=2).total_seconds())
        async with running_hub(*PLUGINS, folder=folder, clock=clock) as hub:
            await hub.advance(timedelta(minutes=3).total_seconds())
            (paid,), bucket, there, incidents = await standing(hub)
            assert (bucket, paid["doing"], incidents) == (there, "", [])
            expected = {"charge": {"before the call": 0}, "refund": {"before the call": 1000}}[kind].get(step, 1000 if kind == "charge" else 600)
            assert bucket == expected
            assert paid["status"] == {0: "failed", 600: "partially_refunded", 1000: "captured"}[expected]

    asyncio.run(main())


def test_client__leaving_at_any_await__changes_nothing_about_the_outcome(tmp_path: Path) -> None:
    from luminai_payments import Charge, Payments

    async def main() -> None:
        clock = FrozenClock()
        async with running_hub(*PLUGINS, clock=clock) as hub:
            context = hub.hub.generation.loaded("payments").context
            assert context is not None
            service = context.service(Payments)
            pay: Callable[[], Any] = lambda: service.charge("user_ada", Charge(amount=1000, asset="EUR", method="card"))  # noqa: E731
            for n in range(1, 60):
                outcome = await cancel_at(pay, n)
                if not outcome.reached:
                    break
                assert isinstance(outcome.error, asyncio.CancelledError)
            assert not outcome.reached, "it awaits without end"
            await hub.advance(7200)
            paid, bucket, there, incidents = await standing(hub)
            assert (bucket, incidents) == (there, [])
            assert {one["status"] for one in paid} <= {"captured", "failed"}
            assert bucket == 1000 * sum(one["status"] == "captured" for one in paid)

    asyncio.run(main())


def test_provider__that_hangs__is_unknown_after_its_deadline() -> None:
    from luminai.testing import MemoryPayments

    class Hanging(MemoryPayments):
        async def authorize(self, request: Any, *, key: str) -> Any:
            await super().authorize(request, key=key)
            await asyncio.Event().wait()

    async def main() -> None:
        settings = {"payments": {"providers": ["hanging"], "call-seconds": 1}}
        async with running_hub(*PLUGINS, config=settings, clock=FrozenClock()) as hub:
            hub.provide("payment_providers", Hanging("hanging"))
            body = {"amount": 1000, "asset": "EUR"}
            paid = (await hub.client("payments:pay", subject="user_ada").request("POST", "/api/payments/charge", json=body)).json()
            assert (paid["status"], paid["doing"]) == ("unknown", "authorize")
            await hub.advance(120)
            assert (await standing(hub))[0][0]["status"] == "captured"

    asyncio.run(main())


def test_event__of_a_payment_that_nobody_asked_about_for_days__finds_it() -> None:
    """As after a week in which the hub did not run: the list is read before what is open is asked again."""

    async def work() -> None:
        from luminai_payments import Charge, Payments

        async with running_hub(*PLUGINS, clock=FrozenClock()) as hub:
            operator = hub.client("payments:manage", subject="user_op")
            service = hub.hub.generation.loaded("payments").context.service(Payments)
            paid = await service.charge("user_ada", Charge(amount=1000, asset="EUR", method="card_answer_lost"))
            hub.hub.clock.advance(8 * 86_400)
            assert (await operator.request("POST", "/api/payments/admin/reconcile")).json()["incidents"] == 0
            found = (await operator.request("GET", f"/api/payments/admin/payments/{paid.id}")).json()
            assert (found["status"], (await operator.request("GET", "/api/payments/admin/incidents")).json()["items"]) == ("captured", [])

    asyncio.run(work())
