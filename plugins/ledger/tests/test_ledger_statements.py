"""Statements and balances of the past over more transfers than stand unlisted in SQLite (``models.UNLISTED``)."""

import asyncio
import random
from itertools import pairwise
from typing import Any

import pytest
from ledger_bank import Bank, bank
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from luminai.testing import postgres
from luminai_ledger import Guard
from luminai_ledger.journal import raw
from luminai_ledger.models import UNLISTED


async def posted(made: Bank, accounts: list[str], count: int, seed: int) -> list[tuple[int, int, int]]:
    """Return place, debit and credit of so many transfers between four accounts."""
    draw = random.Random(seed)
    pairs = [tuple(draw.sample(range(4), 2)) for _ in range(count)]
    journals = [made.journal(f"{seed} {at}", made.transfer(accounts[a], accounts[b], 1)) for at, (a, b) in enumerate(pairs)]
    outcomes = [outcome for at in range(0, count, 2048) for outcome in await made.apply(*journals[at : at + 2048])]
    return [(outcome.seqs[0], a, b) for outcome, (a, b) in zip(outcomes, pairs, strict=True)]


async def filled(made: Bank) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Return four accounts, and transfers between them, of which some are listed in SQLite and some are not."""
    accounts = [await made.open(f"account {number}", guard=Guard.NONE) for number in range(4)]
    return accounts, await posted(made, accounts, UNLISTED * 3 // 2, 1)


def test_statement__pages_through_all_that_an_account_did_and_its_balance_is_known_at_every_place() -> None:
    async def test() -> None:
        async with bank() as made:
            accounts, history = await filled(made)
            own = [(place, a) for place, a, b in history if 0 in (a, b)]

            def pages(limit: int) -> Any:
                def read(session: Any) -> list[Any]:
                    found, before = [], None
                    while page := made.ledger.statement(session, accounts[0], limit=limit, before=before):
                        found += page
                        before = page[-1].seq
                    return found

                return made.db.read(read)

            lines = await pages(500)
            assert [(line.seq, line.side) for line in lines] == [(place, "credit" if a else "debit") for place, a in reversed(own)]
            for newer, older in pairwise(lines):
                assert newer.posted - older.posted == (1 if newer.side == "credit" else -1)
            assert {line.other for line in lines} == set(accounts[1:])
            for line in (lines[0], lines[len(lines) // 2], lines[-1]):
                at = await made.balance(accounts[0], line.seq)
                assert (at.seq, at.posted) == (line.seq, line.posted)
            assert (await made.balance(accounts[0], own[0][0] - 1)).seq == 0
            assert (await made.verify()).count == 0

    asyncio.run(test())


@pytest.mark.skipif(bool(postgres.server()), reason="SQLite only")
def test_lines__written_by_hand__are_refused_or_mean_nothing_and_are_found() -> None:
    async def test() -> None:
        async with bank() as made:
            accounts, history = await filled(made)
            place, debit, credit = history[0]
            last, whose, _ = history[-1]
            stranger = next(number for number in range(4) if number not in (debit, credit))
            values = {"own": raw(accounts[debit]), "stranger": raw(accounts[stranger]), "last": raw(accounts[whose])}

            async def execute(statement: str) -> None:
                some = {name: value for name, value in values.items() if f":{name}" in statement}
                await made.unit(lambda session: session.execute(text(statement), some) and None)

            async def statements() -> list[Any]:
                return [await made.db.read(lambda session, one=one: made.ledger.statement(session, one, limit=100_000)) for one in accounts]

            async def found() -> set[str]:
                return {one.kind for one in (await made.verify()).differences}

            for attack in ("DELETE FROM ledger__lines WHERE account = :own", "UPDATE ledger__lines SET account = :stranger WHERE account = :own"):
                with pytest.raises(DBAPIError):
                    await execute(attack)
            before = await statements()
            await execute(f"INSERT INTO ledger__lines VALUES (:stranger, {place})")  # of others
            await execute(f"INSERT INTO ledger__lines VALUES (:last, {last})")  # before its stretch is over
            assert await statements() == before
            assert await found() == {"line"}
            await posted(made, accounts, UNLISTED // 2, 2)
            await execute("DROP TRIGGER ledger__line_deleted")
            await execute(f"DELETE FROM ledger__lines WHERE account = :stranger AND seq = {place}")
            assert await found() == {"rule-missing"}
            await execute("DELETE FROM ledger__lines WHERE account = :own")
            assert await found() == {"rule-missing", "line"}

    asyncio.run(test())
