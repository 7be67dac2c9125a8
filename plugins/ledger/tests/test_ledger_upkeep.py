"""What runs by the clock, and what auditors get."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_bank import Bank, bank
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from luminai.data.backup.postgres_content import postgres_tables
from luminai.testing import FrozenClock
from luminai_ledger import Guard, Result
from luminai_ledger.journal import raw
from luminai_ledger.sealing import seal

BEAN_CHECK = Path(__file__).parents[3] / ".venv-peers" / "bin" / "bean-check"


def test_sweeper__voids_what_nobody_renewed() -> None:
    async def test() -> None:
        clock = FrozenClock()
        async with bank(clock=clock) as made:
            wallet = await made.wallet("wallet", 100)
            names = {"left": 30, "renewed": 30, "kept": 30, "lasting": 0}
            await made.apply(*(made.journal(name, made.hold(wallet, made.clearing, 10, seconds)) for name, seconds in names.items()))
            await made.hub.advance(20)

            ids = {name: made.journal(name, made.void(name)).id for name in names}
            assert await made.unit(lambda session: made.ledger.renew(session, ids["renewed"], 600))
            assert await made.unit(lambda session: made.ledger.renew(session, ids["kept"], None))
            await made.hub.advance(120)
            held = await made.db.read(lambda session: made.ledger.holds(session, wallet))
            assert {one.id for one in held} == {ids[name] for name in ("renewed", "kept", "lasting")}
            assert not await made.unit(lambda session: made.ledger.renew(session, ids["left"], 600))
            (late,) = await made.apply(made.journal("late", made.post("left")))
            assert late.result is Result.BAD_OR_RESOLVED_PENDING
            assert (await made.balance(wallet)).available == 70
            lines = await made.db.read(lambda session: made.ledger.statement(session, wallet, limit=1))
            assert (lines[0].kind, lines[0].code) == ("void", "ledger.expire")
            await made.hub.advance(600)
            assert (await made.balance(wallet)).available == 80

    asyncio.run(test())


@pytest.mark.shows("TL-05")
def test_seals__cover_the_history_and_stand_in_the_audit_log() -> None:
    async def test() -> None:
        async with bank() as made:
            wallet = await made.wallet("wallet", 100)
            assert await seal(made.ctx) == 1
            assert await seal(made.ctx) == 0
            await made.apply(made.journal("s", made.transfer(wallet, made.clearing, 1)))
            assert await seal(made.ctx) == 1
            found = await made.verify()
            assert (found.seals, found.sealed_seq, found.count) == (2, found.through_seq, 0)
            entries = (await made.hub.client("hub:audit").request("GET", "/api/admin/audit?action=ledger.seal")).json()["items"]
            assert entries[0]["object"].endswith(f":{found.seal}")
            assert [entry["retention"] for entry in entries] == ["7y", "7y"]

    asyncio.run(test())


@pytest.mark.postgres
def test_seals__wait_for_numbers_that_are_drawn_and_not_there_yet(tmp_path: Path, own_postgres_url: str) -> None:
    """A transaction has drawn its number and is not committed, while a later number is: the seal waits, and covers both."""

    async def test() -> None:
        async with bank(folder=tmp_path, database_url=own_postgres_url) as made:
            one, two = await made.wallet("one", 100), await made.wallet("two", 100)
            engine = create_async_engine(own_postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
            async with engine.connect() as connection:
                # as the ledger does: lock accounts, then draw a number
                await connection.execute(text("SELECT 1 FROM ledger__accounts WHERE id = :one FOR NO KEY UPDATE"), {"one": raw(one)})
                await connection.execute(text("SELECT nextval('ledger__transfers_seq_seq')"))
                await made.apply(made.journal("late", made.transfer(two, made.clearing, 1)))
                sealing = asyncio.ensure_future(seal(made.ctx))
                done, _ = await asyncio.wait([sealing], timeout=0.3)
                assert not done
                await connection.rollback()
            assert await sealing == 1
            await engine.dispose()
            found = await made.verify()
            assert (found.count, found.sealed_seq) == (0, found.through_seq)

    asyncio.run(test())


def test_reconciliation__runs_every_day() -> None:
    async def test() -> None:
        rarely = {"sweep-seconds": 86_400, "seal-seconds": 86_400}
        async with bank(clock=FrozenClock(), config={"ledger": rarely}) as made:
            await made.wallet("wallet", 100)
            await made.hub.advance(timedelta(days=1, hours=1).total_seconds())
            reports = (await made.hub.client("ledger:audit").request("GET", "/api/ledger/reports")).json()["items"]
            assert reports
            newest = reports[0]["report"]["verification"]
            assert (newest["count"], newest["transfers"], newest["sealed_seq"]) == (0, 1, 1)

    asyncio.run(test())


def test_seal__by_several_at_once__seals_each_transfer_once() -> None:
    async def test() -> None:
        async with bank() as made:
            await made.wallet("wallet", 100)
            made_by = await asyncio.gather(*(seal(made.ctx) for _ in range(4)))
            assert sum(made_by) == 1
            assert ((await made.verify()).count, (await made.verify()).seals) == (0, 1)

    asyncio.run(test())


async def books_of_all_kinds(made: Bank) -> None:
    wallet = await made.wallet('wallet "of" many/kinds', 12_345, owner="user_ann")
    yen = await made.open("clearing", asset="JPY", guard=Guard.NONE)
    till = await made.open("till", asset="JPY", guard=Guard.CREDITS)
    long, short = "QUOTA_WITH_A_VERY_LONG_NAME_1234", "END_"
    for asset in (long, short):
        source, sink = await made.open("source", asset=asset, guard=Guard.NONE), await made.open("sink", asset=asset)
        await made.apply(made.journal(f"move {asset}", made.transfer(source, sink, 7, asset)))
    await made.apply(
        made.journal("yen", made.transfer(till, yen, 500, "JPY")),
        made.journal("h", made.hold(wallet, made.clearing, 345)),
        made.journal("p", made.post("h", 45)),
        made.journal("open", made.hold(wallet, made.clearing, 1)),
    )


def test_export__is_what_beancount_takes(tmp_path: Path) -> None:
    if not BEAN_CHECK.exists():
        if os.environ.get("LUMINAI_REQUIRE_SERVICES"):
            pytest.fail("no bean-check: make peers")
        pytest.skip("no bean-check")
    assets = [{"code": "QUOTA_WITH_A_VERY_LONG_NAME_1234"}, {"code": "END_"}]

    async def test() -> bytes:
        async with bank(config={"ledger": {"assets": assets}}) as made:
            await books_of_all_kinds(made)
            answer = await made.hub.client("ledger:audit").request("GET", "/api/ledger/export")
            assert answer.status == 200
            return answer.body

    file = tmp_path / "books.beancount"
    file.write_bytes(asyncio.run(test()))
    written = file.read_text()
    assert "123.00 EUR" in written
    assert "500 JPY" in written
    checked = subprocess.run([BEAN_CHECK, file], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    # and it really looks: another amount at the end is an error
    wrong = tmp_path / "wrong.beancount"
    wrong.write_text(written.replace("123.00 EUR", "124.00 EUR", 1))
    assert subprocess.run([BEAN_CHECK, wrong], capture_output=True, check=False).returncode != 0


def test_person__is_told_everything_and_the_books_stay() -> None:
    async def test() -> None:
        async with bank() as made:
            wallet = await made.wallet("wallet", 100, owner="user_ann")
            await made.wallet("wallet", 50, owner="user_bob")
            for number in range(3):
                await made.apply(made.journal(str(number), made.transfer(wallet, made.clearing, 1)))
            plugin = made.hub.hub.generation.loaded("ledger").plugin
            items = [item async for item in plugin.export_subject(made.ctx, "user_ann")]
            assert [item.name for item in items] == ["account", "line", "line", "line", "line"]
            assert items[0].data["owner"] == "user_ann"
            report = await plugin.erase_subject(made.ctx, "user_ann", False)
            assert report.erased == {}
            assert "7 years" in report.kept["ledger__accounts"]
            assert (await plugin.erase_subject(made.ctx, "user_none", True)).kept == {}
            assert (await made.verify()).transfers == 5

    asyncio.run(test())


@pytest.mark.postgres
def test_restore__brings_books_back_past_the_rules_that_made_them(tmp_path: Path, own_postgres_url: str) -> None:
    """What a backup of PostgreSQL does with these tables: out by COPY, and in where the triggers would refuse a row, or post it once more."""

    async def test() -> None:
        async with bank(folder=tmp_path, database_url=own_postgres_url) as made:
            wallet = await made.wallet("wallet", 100)
            await made.apply(made.journal("h", made.hold(wallet, made.clearing, 30)), made.journal("s", made.transfer(wallet, made.clearing, 20)))
            await seal(made.ctx)
            before = await made.verify()
            async with postgres_tables(own_postgres_url, read_only=False) as tables:
                mine = [name for name in tables.in_order() if name.startswith("ledger__") and not name.endswith("alembic_version")]
                kept: dict[str, list[bytes]] = {name: [] for name in mine}
                content = {name: await tables.copy_out(name, kept[name].append) for name in mine}
                for name in reversed(mine):
                    await tables._connection.execute(
                        f"ALTER TABLE {name} DISABLE TRIGGER USER; DELETE FROM {name}; ALTER TABLE {name} ENABLE TRIGGER USER"
                    )

                async def rows(name: str) -> AsyncIterator[bytes]:
                    for chunk in kept[name]:
                        yield chunk

                for name in mine:
                    await tables.copy_in(name, rows(name))
                await tables.mend_sequences()
                assert {name: await tables.copy_out(name, lambda _: None) for name in mine} == content
            assert await made.verify() == before
            (outcome,) = await made.apply(made.journal("p", made.post("h", 10)))
            assert outcome.seqs[0] > before.through_seq
            assert (await made.verify()).count == 0

    asyncio.run(test())
