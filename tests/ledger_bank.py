"""A ledger in a running hub, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.orm import Session

from luminai import Money
from luminai.testing import HubUnderTest, running_hub
from luminai_ledger import Account, Balance, Guard, Hold, Journal, Ledger, Outcome, Post, Transfer, Void, transfer_id
from luminai_ledger.verify import Verification, verify


class Bank:
    """The ledger's service with short words for what tests do with it; amounts are EUR cents unless said otherwise."""

    def __init__(self, hub: HubUnderTest) -> None:
        self.hub = hub
        self.ledger: Ledger = hub.hub.generation.wiring.services.find("ledger", Ledger)
        self.ctx: Any = self.ledger._ctx
        self.db: Any = self.ctx.db.as_system()
        self.clearing = ""

    async def unit(self, work: Callable[[Session], Any]) -> Any:
        """Return what a unit of work returns; the ledger locks what it decides on."""
        return await self.db.write(work, isolation="read-committed")

    async def open(self, purpose: str, *, owner: str = "", guard: Guard = Guard.DEBITS, asset: str = "EUR", overdraft: int = 0) -> str:
        """Return a new account."""
        account = Account(purpose=purpose, owner=owner, guard=guard, asset=asset, overdraft=overdraft)
        opened: str = await self.unit(lambda session: self.ledger.open(session, account))
        return opened

    async def wallet(self, purpose: str, minor: int, **more: Any) -> str:
        """Return a new wallet with so much in it."""
        account = await self.open(purpose, **more)
        if minor:
            (outcome,) = await self.apply(self.journal(f"fill {account}", self.transfer(self.clearing, account, minor)))
            assert outcome.done, outcome
        return account

    async def apply(self, *journals: Journal) -> list[Outcome]:
        """Return the outcomes of journals in one unit."""
        found: list[Outcome] = await self.unit(lambda session: self.ledger.apply(session, *journals))
        return found

    async def balance(self, account: str, at: int | None = None) -> Balance:
        """Return what an account holds."""
        found: Balance = await self.db.read(lambda session: self.ledger.balance(session, account, at))
        return found

    async def verify(self) -> Verification:
        """Return what is wrong with the books."""
        return await verify(self.ctx)

    @staticmethod
    def journal(key: str, *legs: Any) -> Journal:
        """Return a journal."""
        return Journal(scope="test", key=key, legs=legs)

    @staticmethod
    def transfer(debit: str, credit: str, minor: int, asset: str = "EUR") -> Transfer:
        """Return a leg that moves something."""
        return Transfer(debit=debit, credit=credit, amount=Money(minor, asset), code="test.move")

    @staticmethod
    def hold(debit: str, credit: str, minor: int, seconds: int = 0) -> Hold:
        """Return a leg that holds something."""
        return Hold(debit=debit, credit=credit, amount=Money(minor, "EUR"), code="test.hold", seconds=seconds)

    @staticmethod
    def post(key: str, minor: int | None = None) -> Post:
        """Return a leg that posts the hold which the journal ``key`` begins with."""
        return Post(hold=transfer_id("test", key), amount=None if minor is None else Money(minor, "EUR"), code="test.post")

    @staticmethod
    def void(key: str) -> Void:
        """Return a leg that voids it."""
        return Void(hold=transfer_id("test", key), code="test.void")


@asynccontextmanager
async def bank(**options: Any) -> AsyncIterator[Bank]:
    """Start a hub with a ledger and an unguarded clearing account."""
    async with running_hub("ledger", **options) as hub:
        made = Bank(hub)
        made.clearing = await made.open("clearing", guard=Guard.NONE)
        yield made
