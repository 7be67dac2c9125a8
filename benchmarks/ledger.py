"""The ledger beside what else could be done, in one run: its group commit, one row with one commit each, and a balance with a version column.

Usage: python benchmarks/ledger.py [--postgres URL] [--folder DIR] [--seconds 3] [--growth 10000000]

Every way is equally durable (SQLite: WAL, synchronous=FULL) and keeps a balance from falling below zero. "uniform": everybody pays somebody of 1,000;
"hot": everybody pays one account. "one commit each" is a single connection behind a lock, for SQLite has one writer, and 16 connections on PostgreSQL.
--growth puts so many transfers into the ledger first (50,000 a unit, by its own rules) and measures before and after.
For orientation (notes, other machines and shapes): TigerBeetle from async Python, one transfer a request, 3,663/s at 32 callers and 13,200/s at 256;
Formance says that it is optimised for 1,000 writes/s.
"""

import argparse
import asyncio
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from ledger_bank import Bank, bank
from sqlalchemy import text

from luminai import Money
from luminai.data.ids import new_id
from luminai_ledger import Guard, Journal, Transfer

ACCOUNTS = 1000
RICH = 10**12
Spend = Callable[[int, int], Awaitable[Any]]


async def measure(spend: Spend, callers: int, seconds: float, load: str) -> tuple[float, float, int]:
    """Return transfers a second, p99 in milliseconds, and how many it did."""
    draw = random.Random(7)
    pairs = [(draw.randrange(1, ACCOUNTS), 0) for _ in range(50_000)]
    if load == "uniform":
        pairs = [(one, (one + draw.randrange(1, ACCOUNTS - 1)) % ACCOUNTS) for one, _ in pairs]
    times: list[float] = []
    end = time.perf_counter() + seconds
    ways = iter(pairs * 20)

    async def caller() -> None:
        while (began := time.perf_counter()) < end:
            await spend(*next(ways))
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    took = time.perf_counter() - began
    return len(times) / took, sorted(times)[int(len(times) * 0.99)] * 1000, len(times)


async def ledger(made: Bank, accounts: list[str]) -> Spend:
    async def spend(debit: int, credit: int) -> None:
        leg = Transfer(debit=accounts[debit], credit=accounts[credit], amount=Money(1, "EUR"), code="bench.move")
        (outcome,) = await made.ledger.submit(Journal(scope="bench", key=new_id("job"), legs=(leg,)))
        assert outcome.done, outcome

    return spend


PLAIN = (
    "CREATE TABLE IF NOT EXISTS plain_account (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0), version BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS plain_transfer (id {serial}, debit INTEGER, credit INTEGER, amount BIGINT)",
    "DELETE FROM plain_account",
    *(f"INSERT INTO plain_account VALUES ({number}, {RICH}, 0)" for number in range(ACCOUNTS)),
)
TAKE = "UPDATE plain_account SET balance = balance - 1 WHERE id = {0}"
GIVE = "UPDATE plain_account SET balance = balance + 1 WHERE id = {0}"
ROW = "INSERT INTO plain_transfer (debit, credit, amount) VALUES ({0}, {1}, 1)"
READ = "SELECT version FROM plain_account WHERE id = {0}"
CHECKED = "UPDATE plain_account SET balance = balance {1} 1, version = version + 1 WHERE id = {0} AND version = {2}"


def on_sqlite(folder: Path, *, versioned: bool) -> Spend:
    raw = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        raw.execute(f"PRAGMA {pragma}")
    for statement in PLAIN:
        raw.execute(statement.format(serial="INTEGER PRIMARY KEY"))
    lock = asyncio.Lock()

    def transfer(debit: int, credit: int) -> None:
        raw.execute("BEGIN IMMEDIATE")
        if versioned:
            for account, sign in ((debit, "-"), (credit, "+")):
                (version,) = raw.execute(READ.format(account)).fetchone()
                raw.execute(CHECKED.format(account, sign, version))
        else:
            raw.execute(TAKE.format(debit))
            raw.execute(GIVE.format(credit))
        raw.execute(ROW.format(debit, credit))
        raw.execute("COMMIT")

    async def spend(debit: int, credit: int) -> None:
        async with lock:
            await asyncio.to_thread(transfer, debit, credit)

    return spend


async def on_postgres(url: str, *, versioned: bool) -> Spend:
    import asyncpg

    pool = await asyncpg.create_pool(url, min_size=16, max_size=16)
    async with pool.acquire() as one:
        for statement in PLAIN:
            await one.execute(statement.format(serial="BIGSERIAL PRIMARY KEY"))

    async def locked(debit: int, credit: int) -> None:
        async with pool.acquire() as one, one.transaction():
            for account in sorted((debit, credit)):
                await one.execute(TAKE.format(account) if account == debit else GIVE.format(account))
            await one.execute(ROW.format(debit, credit))

    async def retried(debit: int, credit: int) -> None:
        while True:
            async with pool.acquire() as one:
                versions = {account: await one.fetchval(READ.format(account)) for account in (debit, credit)}
                running = one.transaction()
                await running.start()
                done = [
                    await one.execute(CHECKED.format(account, "-" if account == debit else "+", versions[account]))
                    for account in sorted((debit, credit))
                ]
                if done == ["UPDATE 1", "UPDATE 1"]:
                    await one.execute(ROW.format(debit, credit))
                    await running.commit()
                    return
                await running.rollback()

    return retried if versioned else locked


async def grow(made: Bank, accounts: list[str], count: int) -> None:
    """Put transfers in, many at once, with the balances that they lead to."""
    began, legs, done = time.perf_counter(), 50_000, 0
    draw = random.Random(3)
    while done < count:
        journals = [
            Journal(scope="grow", key=new_id("job"), legs=(Transfer(debit=one, credit=two, amount=Money(1, "EUR"), code="bench.move"),))
            for _ in range(min(legs, count - done))
            for one, two in (draw.sample(accounts, 2),)
        ]
        await made.db.write(lambda session, some=journals: len(made.ledger.apply(session, *some)), timeout=600)
        done += len(journals)
        print(f"  {done:,} of {count:,} stored, {done / (time.perf_counter() - began):,.0f}/s", file=sys.stderr, flush=True)


async def run(engine: str, url: str, folder: Path, asked: argparse.Namespace) -> None:
    async def show(name: str, spend: Spend, *, callers: tuple[int, ...] = (32, 256)) -> None:
        for load in ("uniform", "hot"):
            for number in callers:
                cpu = time.process_time()
                rate, p99, done = await measure(spend, number, asked.seconds, load)
                each = (time.process_time() - cpu) / done * 1e6
                print(
                    f"{engine:<11}{name:<26}{load:<9}{number:>4} callers {rate:>9,.0f}/s   p99 {p99:>8.1f} ms   {each:>5.0f} µs CPU of the hub each",
                    flush=True,
                )

    async with bank(folder=folder, database_url=url) as made:
        accounts = [await made.open(f"account {number}", guard=Guard.DEBITS) for number in range(ACCOUNTS)]
        await made.apply(*(made.journal(f"fill {one}", made.transfer(made.clearing, one, RICH)) for one in accounts))
        spend = await ledger(made, accounts)
        await measure(spend, 32, 0.5, "uniform")
        await show("ledger", spend)
        if asked.growth:
            await grow(made, accounts, asked.growth)
            if url:
                await made.unit(lambda session: session.execute(text("ANALYZE")) and None)
            await show(f"ledger, {asked.growth:,} stored", spend)
        for versioned in (False, True):
            name = "version column, retried" if versioned else "one row, one commit"
            await show(name, await on_postgres(url, versioned=versioned) if url else on_sqlite(folder, versioned=versioned), callers=(32,))
        if not asked.growth:
            found = await made.verify()
            print(f"{engine:<11}books rebuilt: {found.transfers:,} transfers, {found.count} differences")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", default="", help="URL of an empty database")
    parser.add_argument("--folder", default="", help="on the disk that counts")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--growth", type=int, default=0)
    parser.add_argument("--only", choices=["sqlite", "postgresql"], default="")
    asked = parser.parse_args()
    os.environ.pop("LUMINAI_TEST_POSTGRES", None)
    if asked.only != "postgresql":
        with tempfile.TemporaryDirectory(dir=asked.folder or None) as folder:
            asyncio.run(run("sqlite", "", Path(folder), asked))
    if asked.postgres and asked.only != "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(run("postgresql", asked.postgres, Path(folder), asked))


if __name__ == "__main__":
    main()
