"""Payments through HTTP: what people and operators see, and what the books say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luminai import Money
from luminai.testing import FrozenClock, running_hub

DAY = 86_400
PLUGINS = ("ledger", "payments", "pay-sandbox")
PERSON = ("payments:read", "payments:pay")
OPERATOR = ("payments:manage", "pay-sandbox:read", "pay-sandbox:manage")
OFFERS = [{"purpose": "pack", "product": "small", "amount": 500, "asset": "EUR"}, {"purpose": "pack", "product": "yen", "amount": 500, "asset": "JPY"}]


class Shop:
    """A hub with the sandbox: what a person and an operator do there."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.person = hub.client(*PERSON, subject="user_ada")
        self.operator = hub.client(*OPERATOR, subject="user_op")

    async def charge(self, minor: int = 1000, method: str = "card", **more: Any) -> Any:
        answer = await self.person.request("POST", "/api/payments/charge", json={"amount": minor, "asset": "EUR", "method": method} | more)
        assert answer.status == 201, answer.json()
        return answer.json()

    async def show(self, payment: Any) -> Any:
        return (await self.person.request("GET", f"/api/payments/checkouts/{payment['id']}")).json()

    async def refund(self, payment: Any, amount: int | None = None) -> Any:
        return await self.operator.request("POST", "/api/payments/refund", json={"payment": payment["id"], "amount": amount})

    async def advance(self, seconds: int) -> None:
        """Move both clocks on, and let what is due run."""
        await self.hub.advance(seconds)

    async def repair(self) -> Any:
        return (await self.operator.request("POST", "/api/payments/admin/repair")).json()

    async def reconcile(self) -> Any:
        return (await self.operator.request("POST", "/api/payments/admin/reconcile")).json()

    async def incidents(self) -> list[str]:
        return [one["kind"] for one in (await self.operator.request("GET", "/api/payments/admin/incidents")).json()["items"]]

    async def books(self, asset: str = "EUR") -> dict[str, int]:
        """Return the balance of each account of payments, debits positive for providers, credits for persons."""
        from sqlalchemy import text

        query = text("SELECT purpose, owner, credits_posted - debits_posted AS balance FROM ledger__accounts WHERE asset = :asset")
        rows = await self.hub.hub.database.read(lambda session: session.execute(query, {"asset": asset}).all())
        return {row.purpose.removeprefix("payments:"): row.balance if row.owner else -row.balance for row in rows if row.balance}

    async def events(self) -> list[tuple[str, int]]:
        from luminai.data.tables_events import events

        rows = await self.hub.hub.database.read(lambda session: session.execute(events.select().order_by(events.c.id)).all())
        return [(row.type.removeprefix("payments."), row.payload["amount"]) for row in rows if row.type.startswith("payments.")]


def in_shop(work: Any, *, clock: Any = None, folder: Any = None, **config: Any) -> Any:
    async def main() -> Any:
        async with running_hub(*PLUGINS, config={"payments": {"offers": OFFERS} | config}, clock=clock or FrozenClock(), folder=folder) as hub:
            return await work(Shop(hub))

    return asyncio.run(main())


def test_charge__that_succeeds__is_booked_published_and_in_the_history() -> None:
    async def work(shop: Shop) -> None:
        paid = await shop.charge()
        assert (paid["status"], paid["captured"], paid["fee"], paid["doing"]) == ("captured", 1000, 15, "")
        assert await shop.books() == {"clearing:sandbox": 985, "fees:sandbox": 15, "deposit": 1000}
        assert await shop.events() == [("Captured", 1000)]
        found = (await shop.person.request("GET", "/api/payments/history")).json()["items"]
        assert found == [await shop.show(paid)]

    in_shop(work)
