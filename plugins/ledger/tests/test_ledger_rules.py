"""Whoever writes to the database directly, past the hub, is refused by the database itself; what gets through all the same is found."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ledger_bank import Bank, bank
from postgres_roles import SERVING, asked, two_roles
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from luminai.testing import postgres
from luminai_ledger import Account, Guard
from luminai_ledger.journal import raw, raw_transfer_id
from luminai_ledger.sealing import seal
from luminai_ledger.verify import Verification

NEW = """INSERT INTO ledger__transfers (seq, id, kind, debit, credit, amount, released, hold, code, reference, journal, legs, at,
    dr_debits_posted, dr_credits_posted, dr_debits_pending, dr_credits_pending,
    cr_debits_posted, cr_credits_posted, cr_debits_pending, cr_credits_pending)
    VALUES ({seq}, :id, {kind}, :debit, :credit, {amount}, {released}, {hold}, 'x', '', :id, 1, 0, {dr}, {cr})"""


def execute(bank: Bank, statement: str, values: dict[str, Any]) -> Any:
    return bank.unit(lambda session: session.execute(text(statement), values) and None)


@pytest.mark.parametrize("or_replace", [False, True], ids=["plain", "replace"])
def test_database__refuses_what_no_transfer_says(or_replace: bool) -> None:
    if or_replace and postgres.server():
        pytest.skip("PostgreSQL has no INSERT OR REPLACE")

    async def test() -> None:
        async with bank() as made:
            wallet, other = await made.wallet("wallet", 100), await made.wallet("other", 100)
            dollars = await made.open("dollars", asset="USD", guard=Guard.NONE)
            await made.apply(made.journal("h", made.hold(wallet, other, 30)), made.journal("spent", made.transfer(wallet, other, 20)))
            before = await made.verify()
            assert before.count == 0
            last = before.through_seq
            ids = {"id": raw_transfer_id("attack", "1"), "debit": raw(wallet), "credit": raw(other), "held": raw_transfer_id("test", "h")}
            spent = raw_transfer_id("test", "spent")
            # wallet: debits posted 20, credits 100, debits pending 30; other: credits 120, pending 30
            fits = {"seq": last + 1, "kind": 0, "amount": 10, "released": 0, "hold": "NULL", "dr": "30, 100, 30, 0", "cr": "0, 130, 0, 30"}
            attacks = {
                "balance": "UPDATE ledger__accounts SET credits_posted = credits_posted + 1 WHERE id = :debit",
                "balance and place": f"UPDATE ledger__accounts SET credits_posted = 1000, last_seq = {last + 5} WHERE id = :debit",
                "an older balance": "UPDATE ledger__accounts SET debits_posted = 0, debits_pending = 0, last_seq = 1 WHERE id = :debit",
                "overdraft": "UPDATE ledger__accounts SET overdraft = 1000 WHERE id = :debit",
                "guard": "UPDATE ledger__accounts SET guard = 0 WHERE id = :debit",
                "owner": "UPDATE ledger__accounts SET owner = 'user_eve' WHERE id = :debit",
                "closed with a hold": "UPDATE ledger__accounts SET closed_at = 1 WHERE id = :debit",
                "account gone": "DELETE FROM ledger__accounts WHERE id = :debit",
                "transfer changed": "UPDATE ledger__transfers SET amount = 1 WHERE id = :spent",
                "transfer gone": "DELETE FROM ledger__transfers WHERE id = :spent",
                "hold gone": "DELETE FROM ledger__holds",
                "hold smaller": "UPDATE ledger__holds SET amount = 1",
                "asset": "UPDATE ledger__assets SET exponent = 0 WHERE code = 'EUR'",
                "asset gone": "DELETE FROM ledger__assets WHERE code = 'JPY'",
                "born rich": "INSERT INTO ledger__accounts (id, tenant, owner, purpose, asset, guard, overdraft, credits_posted, opened_at)"
                " VALUES (:id, '', '', 'rich', 'EUR', 1, 0, 5, 0)",
                "no such asset": "INSERT INTO ledger__accounts (id, tenant, owner, purpose, asset, guard, overdraft, opened_at)"
                " VALUES (:id, '', '', 'x', 'XXX', 1, 0, 0)",
                "same account again": "INSERT INTO ledger__accounts (id, tenant, owner, purpose, asset, guard, overdraft, opened_at)"
                " VALUES (:debit, '', '', 'wallet', 'EUR', 0, 0, 0)",
                "wrong snapshot": NEW.format(**fits | {"dr": "0, 100, 30, 0"}),
                "overdrawn": NEW.format(**fits | {"amount": 90, "dr": "110, 100, 30, 0", "cr": "0, 210, 0, 30"}),
                "overdrawn by a hold": NEW.format(**fits | {"kind": 1, "amount": 90, "dr": "20, 100, 120, 0", "cr": "0, 120, 0, 120"}),
                "nothing": NEW.format(**fits | {"amount": 0, "dr": "20, 100, 30, 0", "cr": "0, 120, 0, 30"}),
                "negative": NEW.format(**fits | {"amount": -10, "dr": "10, 100, 30, 0", "cr": "0, 110, 0, 30"}),
                "huge": NEW.format(**fits | {"amount": 2**60}),
                "an old place": NEW.format(**fits | {"seq": 1}),
                "to itself": NEW.format(**fits).replace(":credit", ":debit"),
                "other asset": NEW.format(**fits | {"cr": "0, 10, 0, 0"}).replace(":credit", ":dollars"),
                "nobody": NEW.format(**fits | {"cr": "0, 10, 0, 0"}).replace(":credit", ":id"),
                "id again": NEW.format(**fits).replace(":id", ":spent"),
                "post of nothing": NEW.format(**fits | {"kind": 2, "released": 10, "hold": ":spent", "dr": "30, 100, 20, 0", "cr": "0, 130, 0, 20"}),
                "post of another amount": NEW.format(
                    **fits | {"kind": 2, "released": 10, "hold": ":held", "dr": "30, 100, 20, 0", "cr": "0, 130, 0, 20"}
                ),
                "post above the hold": NEW.format(
                    **fits | {"kind": 2, "amount": 31, "released": 30, "hold": ":held", "dr": "51, 100, 0, 0", "cr": "0, 151, 0, 0"}
                ),
                "void of a part": NEW.format(**fits | {"kind": 3, "released": 30, "hold": ":held", "dr": "20, 100, 0, 0", "cr": "0, 120, 0, 0"}),
            }
            if or_replace:
                attacks = {name: attack.replace("INSERT INTO", "INSERT OR REPLACE INTO") for name, attack in attacks.items() if "INSERT" in attack}
            values = ids | {"dollars": raw(dollars), "spent": spent}
            got_through = []
            for name, attack in attacks.items():
                try:
                    await execute(made, attack, {one: value for one, value in values.items() if f":{one}" in attack})
                    got_through.append(name)
                except DBAPIError:
                    pass
            assert got_through == []
            assert await made.verify() == before
            # what says all that it must is a transfer like any other
            honest = NEW.format(**fits)
            await execute(made, honest, {one: value for one, value in values.items() if f":{one}" in honest})
            assert (await made.balance(wallet)).posted == 70
            assert (await made.verify()).count == 0

    asyncio.run(test())


@pytest.mark.skipif(not postgres.server(), reason="PostgreSQL only")
def test_database__refuses_to_truncate() -> None:
    async def test() -> None:
        async with bank() as made:
            for table in ("transfers", "accounts", "holds", "seals", "reports", "assets"):
                with pytest.raises(DBAPIError):
                    await execute(made, f"TRUNCATE ledger__{table} CASCADE", {})

    asyncio.run(test())


@pytest.mark.postgres
def test_role_that_serves__adds_transfers_and_cannot_touch_what_is_written(own_postgres_url: str, tmp_path: Path) -> None:
    async def fill(url: str, **more: Any) -> tuple[str, Verification]:
        async with bank(database_url=url, folder=tmp_path / "hub", **more) as made:
            if more:  # served as the other role
                spend = made.journal("spent", made.transfer(Account(purpose="wallet", asset="EUR").id, made.clearing, 40))
                (spent,) = await made.ledger.submit(spend)
                assert spent.done
                assert (
                    await made.apply(made.journal("h2", made.hold(made.clearing, await made.wallet("new", 0), 5)), made.journal("v", made.void("h2")))
                )[1].done
                await seal(made.ctx)
            else:
                await made.apply(made.journal("h", made.hold(await made.wallet("wallet", 100), made.clearing, 30)))
            return Account(purpose="wallet", asset="EUR").id, await made.verify()

    forbidden, refused = "42501", "LG001"
    with two_roles(own_postgres_url, tmp_path) as roles:
        wallet, _ = asyncio.run(fill(roles.as_owner))
        _, before = asyncio.run(fill(roles.as_app, settings=SERVING))
        of_wallet = f"WHERE id = '\\x{raw(wallet).hex()}'"
        attacks = {
            f"UPDATE ledger__accounts SET credits_posted = 1000 {of_wallet}": forbidden,
            f"UPDATE ledger__accounts SET overdraft = 1000 {of_wallet}": forbidden,
            f"UPDATE ledger__accounts SET closed_at = 1 {of_wallet}": "23514",  # it may close accounts, but not this one, of which something is held
            "DELETE FROM ledger__accounts": forbidden,
            "UPDATE ledger__transfers SET amount = 1": forbidden,
            "DELETE FROM ledger__transfers": forbidden,
            "TRUNCATE ledger__transfers": forbidden,
            "DELETE FROM ledger__holds": forbidden,
            "UPDATE ledger__holds SET amount = 1": forbidden,
            "INSERT INTO ledger__holds SELECT * FROM ledger__holds": forbidden,
            "UPDATE ledger__seals SET digest = ''": forbidden,
            "DELETE FROM ledger__reports": forbidden,
            "INSERT INTO ledger__transfers SELECT * FROM ledger__transfers": "23505",
            "INSERT INTO ledger__accounts (id, tenant, owner, purpose, asset, guard, overdraft, credits_posted, opened_at)"
            " VALUES ('\\x00112233445566778899aabbccddeeff', '', '', 'rich', 'EUR', 1, 0, 5, 0)": refused,
            "ALTER TABLE ledger__transfers DISABLE TRIGGER ALL": forbidden,
            "DROP TRIGGER ledger__post ON ledger__transfers": forbidden,
            "ALTER TABLE ledger__accounts DROP CONSTRAINT ledger__accounts_debit_guard_check": forbidden,
            "SET LOCAL session_replication_role = replica": forbidden,
            "CREATE TEMP TABLE ledger__accounts (id bytea)": forbidden,  # what the functions of triggers would take for the real one
            "CREATE FUNCTION ledger__post() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'": forbidden,
        }
        assert {attack: asked(roles.as_app, attack)[-1] for attack in attacks} == attacks
        _, after = asyncio.run(fill(roles.as_owner))
    assert (before.count, after.count) == (0, 0)


def test_verify__finds_what_was_changed_with_the_rules_off() -> None:
    async def test() -> None:
        async with bank() as made:
            wallet = await made.wallet("wallet", 100)
            await made.apply(made.journal("h", made.hold(wallet, made.clearing, 30)), made.journal("s", made.transfer(wallet, made.clearing, 20)))
            operator = made.hub.client("ledger:*", "hub:*")
            assert (await operator.request("POST", "/api/ledger/reconcile")).json()["report"]["verification"]["seals"] == 1
            rule = "ledger__transfer_changed"
            off = f"ALTER TABLE ledger__transfers DISABLE TRIGGER {rule}" if postgres.server() else f"DROP TRIGGER {rule}"
            await execute(made, off, {})
            await execute(made, "UPDATE ledger__transfers SET amount = 21 WHERE id = :id", {"id": raw_transfer_id("test", "s")})
            found = await made.verify()
            kinds = {one.kind for one in found.differences}
            assert kinds == {"rule-missing", "snapshot", "seal"}
            report = (await operator.request("POST", "/api/ledger/reconcile")).json()
            assert report["report"]["verification"]["count"] == found.count
            entries = (await operator.request("GET", "/api/admin/audit?action=ledger.reconcile")).json()["items"]
            assert [entry["outcome"] for entry in entries] == ["failed", "ok"]
            assert entries[0]["object"].endswith(report["digest"])
            events = (await operator.request("GET", "/api/admin/events?type=ledger.Incident")).json()["items"]
            assert [event["subject"] for event in events] == [report["report"]["id"]]

    asyncio.run(test())
