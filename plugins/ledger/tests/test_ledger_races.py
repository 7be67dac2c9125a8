"""Many callers at once, in one process and in several, and processes that are killed in the middle."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ledger_bank import Bank, bank

from luminai_ledger import Journal, Outcome, Result

SPENDER = Path(__file__).parents[3] / "tests" / "ledger_spender.py"


async def each(bank: Bank, journals: list[Journal], *, together: bool) -> Counter[Result]:
    """Ask for all at once: together by group commit, or each in a unit of its own."""

    async def one(journal: Journal) -> Outcome:
        (outcome,) = await (bank.ledger.submit(journal) if together else bank.apply(journal))
        return outcome

    return Counter(outcome.result for outcome in await asyncio.gather(*map(one, journals)))


@pytest.mark.parametrize("together", [True, False], ids=["group", "single"])
def test_races__spend_what_is_there_and_no_more(together: bool) -> None:
    callers = 100

    async def test() -> None:
        async with bank() as made:
            wallet = await made.wallet("wallet", 37)
            spends = [made.journal(f"s{number}", made.transfer(wallet, made.clearing, 1)) for number in range(callers)]
            assert await each(made, spends, together=together) == {Result.OK: 37, Result.INSUFFICIENT: callers - 37}
            assert (await made.balance(wallet)).available == 0
            await made.apply(made.journal("more", made.transfer(made.clearing, wallet, 100)), made.journal("h", made.hold(wallet, made.clearing, 10)))
            one = made.journal("once", made.transfer(wallet, made.clearing, 1))
            assert await each(made, [one] * callers, together=together) == {Result.OK: 1, Result.EXISTS: callers - 1}
            ends = [made.journal(f"e{number}", made.post("h") if number % 2 else made.void("h")) for number in range(callers)]
            assert await each(made, ends, together=together) == {Result.OK: 1, Result.BAD_OR_RESOLVED_PENDING: callers - 1}
            assert (await made.verify()).count == 0

    asyncio.run(test())


@pytest.mark.parametrize("count", [60, pytest.param(400, marks=pytest.mark.crash)])
def test_races__crossing_transfers_do_not_wait_in_a_circle(count: int) -> None:
    async def test() -> None:
        async with bank() as made:
            one, two = await made.wallet("one", count), await made.wallet("two", count)
            ways = [(one, two) if number % 2 else (two, one) for number in range(count)]
            crossing = [made.journal(f"c{number}", made.transfer(*way, 1)) for number, way in enumerate(ways)]
            assert await each(made, crossing[::2], together=False) == {Result.OK: count // 2}
            assert await each(made, crossing[1::2], together=True) == {Result.OK: count // 2}
            assert (await made.verify()).count == 0

    asyncio.run(test())


@pytest.mark.parametrize("together", [True, False], ids=["group", "single"])
def test_races__a_limit_and_a_wallet_in_one_journal__neither_is_overstepped_nor_waited_for_in_a_circle(together: bool) -> None:
    """A limit is an account that was filled with what may be used. Half of the callers name it first, half of them last."""
    callers = 80

    async def test() -> None:
        async with bank() as made:
            limit, ann, bob = await made.wallet("limit", 40), await made.wallet("ann", 15), await made.wallet("bob", 100)

            def spend(number: int) -> Journal:
                wallet = ann if number % 2 else bob
                legs = (made.hold(limit, made.clearing, 1), made.transfer(wallet, made.clearing, 1))
                return made.journal(f"s{number}", *(legs if number % 4 < 2 else legs[::-1]))

            assert await each(made, [spend(number) for number in range(callers)], together=together) == {Result.OK: 40, Result.INSUFFICIENT: 40}
            left = [(await made.balance(account)).available for account in (limit, ann, bob)]
            assert (left[0], sum(left)) == (0, 75)
            assert left[1] >= 0
            (refused,) = await made.apply(made.journal("one more", made.transfer(ann, made.clearing, 1), made.hold(limit, made.clearing, 1)))
            assert (refused.result, refused.account) == (Result.INSUFFICIENT, limit if left[1] else ann)
            assert (await made.verify()).count == 0

    asyncio.run(test())


def test_submit__a_caller_that_leaves_hinders_nobody() -> None:
    async def test() -> None:
        async with bank() as made:
            wallet = await made.wallet("wallet", 100)
            journals = [made.journal(f"l{number}", made.transfer(wallet, made.clearing, 1)) for number in range(20)]
            tasks = [asyncio.ensure_future(made.ledger.submit(journal)) for journal in journals]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
            assert [one[0].result for one in found[1::2] if not isinstance(one, BaseException)] == [Result.OK] * 10
            again = await made.ledger.submit(*journals)
            assert {one.result for one in again} <= {Result.OK, Result.EXISTS}
            assert (await made.balance(wallet)).available == 80

    asyncio.run(test())


def spenders(url: str, folder: Path, processes: int, callers: int, tries: int, *, kill: int | None = None) -> list[dict[str, int]]:
    """Run processes that spend from one wallet; return what each counted. Those that are killed, once ``kill`` were asked for, count nothing."""
    arguments = [sys.executable, str(SPENDER), url, str(callers), str(tries)]
    rest = [] if kill is None else [str(kill)]
    running = [
        subprocess.Popen([*arguments, f"p{number}", str(folder / f"p{number}"), *rest], stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        for number in range(processes)
    ]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert {process.returncode for process in running} == {0 if kill is None else -signal.SIGKILL}
    return [json.loads(line) for each in said for line in each.splitlines()[-1:]]


async def prepared(url: str, folder: Path, minor: int) -> str:
    async with bank(folder=folder, database_url=url) as made:
        return await made.wallet("wallet", minor)


async def left(url: str, folder: Path, wallet: str) -> int:
    async with bank(folder=folder, database_url=url) as made:
        assert (await made.verify()).count == 0
        return (await made.balance(wallet)).available


@pytest.mark.postgres
@pytest.mark.parametrize(("processes", "minor"), [(2, 120), pytest.param(3, 3001, marks=pytest.mark.crash)])
def test_races__several_processes_share_a_wallet(processes: int, minor: int, tmp_path: Path, own_postgres_url: str) -> None:
    wallet = asyncio.run(prepared(own_postgres_url, tmp_path / "hub", minor))
    for number in range(processes):
        shutil.copytree(tmp_path / "hub" / "data" / "keys", tmp_path / f"p{number}" / "data" / "keys")
    counted = spenders(own_postgres_url, tmp_path, processes, 32, minor // processes + 40)
    assert len(counted) == processes
    assert sum(one["ok"] for one in counted) == minor
    assert asyncio.run(left(own_postgres_url, tmp_path / "hub", wallet)) == 0


@pytest.mark.parametrize("kills", [[150], pytest.param([100, 1000, 2500, 4000, 6000], marks=pytest.mark.crash)])
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_crash__every_key_is_there_once_after_kills(engine: str, kills: list[int], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("own_postgres_url") if engine == "postgresql" else ""
    folder = tmp_path / "p0"  # also the hub's own: a killed process on SQLite leaves its file to the next
    wallet = asyncio.run(prepared(url, folder, 10**6))
    for kill in kills:
        assert spenders(url, tmp_path, 1, 32, 10**6, kill=kill) == []

    async def replay() -> Counter[Result]:
        """Ask for every key once more: what was written says so, and what was not is written now."""
        issued = list(dict.fromkeys((folder / "issued").read_text().split()))
        assert len(issued) > sum(kills)
        async with bank(folder=folder, database_url=url) as made:
            journals = [Journal(scope="spender", key=key, legs=(made.transfer(wallet, made.clearing, 1),)) for key in issued]
            outcomes = [one for start in range(0, len(journals), 500) for one in await made.ledger.submit(*journals[start : start + 500])]
            assert (await made.balance(wallet)).available == 10**6 - len(journals)
            assert (await made.verify()).count == 0
            return Counter(one.result for one in outcomes)

    assert asyncio.run(replay()).keys() <= {Result.OK, Result.EXISTS}
