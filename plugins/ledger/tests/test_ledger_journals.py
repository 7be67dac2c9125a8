"""What journals do, and what is refused without a trace."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_bank import Bank, bank

from luminai import Conflict, InvalidInput, Money, NotFound, Unprocessable
from luminai_ledger import Account, Asset, Guard, Hold, Journal, Post, Result, Transfer, Void, format_amount, parse_amount, transfer_id
from luminai_ledger.assets import currencies

MOST = 2**53 - 1


def in_bank(test: Callable[[Bank], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with bank(**options) as made:
            await test(made)

    asyncio.run(run())


def test_journal__moves_holds_posts_and_voids() -> None:
    async def test(bank: Bank) -> None:
        wallet = await bank.wallet("wallet", 1000)
        shop = await bank.open("shop", guard=Guard.NONE)
        outcomes = await bank.apply(
            bank.journal("hold 1", bank.hold(wallet, shop, 600)),
            bank.journal("spend", bank.transfer(wallet, shop, 401)),
            bank.journal("post 1", bank.post("hold 1", 250)),
            bank.journal("hold 2", bank.hold(wallet, shop, 750)),
            bank.journal("void 2", bank.void("hold 2")),
            bank.journal("hold 3", bank.hold(wallet, shop, 100)),
        )
        assert [one.result for one in outcomes] == [Result.OK, Result.INSUFFICIENT, Result.OK, Result.OK, Result.OK, Result.OK]
        assert (outcomes[1].account, outcomes[1].available) == (wallet, 400)
        found = await bank.balance(wallet)
        assert (found.posted, found.pending, found.available) == (750, 100, 650)
        assert (await bank.balance(shop)).credits_posted == 250
        held = await bank.db.read(lambda session: bank.ledger.holds(session, wallet))
        assert [(one.id, one.amount, one.expires_at) for one in held] == [(transfer_id("test", "hold 3"), 100, None)]
        many = await bank.db.read(lambda session: bank.ledger.balances(session, [wallet, shop, "acc_" + "0" * 32]))
        assert {one: many[one].posted for one in many} == {wallet: 750, shop: 250}
        assert (await bank.verify()).count == 0

    in_bank(test)


def test_journal__same_key_is_the_same_journal() -> None:
    async def test(bank: Bank) -> None:
        wallet = await bank.wallet("wallet", 1000)
        journal = bank.journal("once", bank.transfer(wallet, bank.clearing, 10), bank.hold(wallet, bank.clearing, 20))
        first, again = await bank.apply(journal, journal)
        (later,) = await bank.ledger.submit(journal)
        assert (first.result, again.result, later.result) == (Result.OK, Result.EXISTS, Result.EXISTS)
        assert first.seqs == again.seqs == later.seqs
        others = [
            bank.journal("once", bank.transfer(wallet, bank.clearing, 11), bank.hold(wallet, bank.clearing, 20)),
            bank.journal("once", bank.transfer(wallet, bank.clearing, 10)),
            bank.journal("once", bank.transfer(bank.clearing, wallet, 10), bank.hold(wallet, bank.clearing, 20)),
            bank.journal("once", bank.transfer(wallet, bank.clearing, 10, "USD"), bank.hold(wallet, bank.clearing, 20)),
            bank.journal("once", bank.transfer(wallet, bank.clearing, 10), bank.void("once")),
        ]
        found = await bank.ledger.submit(*others)
        assert {one.result for one in found} == {Result.EXISTS_WITH_DIFFERENT_CONTENT}
        assert (await bank.balance(wallet)).available == 970
        hold = bank.journal("h", bank.hold(wallet, bank.clearing, 100))
        results = await bank.apply(
            hold, bank.journal("p", bank.post("h", 40)), bank.journal("p", bank.post("h", 40)), bank.journal("p", bank.post("h"))
        )
        assert [one.result for one in results] == [Result.OK, Result.OK, Result.EXISTS, Result.EXISTS_WITH_DIFFERENT_CONTENT]

    in_bank(test)


def test_journal__legs_happen_all_or_none() -> None:
    async def test(bank: Bank) -> None:
        rich, poor = await bank.wallet("rich", 100), await bank.wallet("poor", 5)
        (hold,) = await bank.apply(bank.journal("h", bank.hold(rich, bank.clearing, 50)))
        legs = (bank.post("h", 20), bank.transfer(rich, poor, 30), bank.hold(rich, poor, 5), bank.transfer(poor, bank.clearing, 36))
        (outcome,) = await bank.apply(bank.journal("all", *legs))
        assert outcome.legs == (Result.LINKED_FAILED, Result.LINKED_FAILED, Result.LINKED_FAILED, Result.INSUFFICIENT)
        assert (outcome.result, outcome.account, outcome.available, outcome.seqs) == (Result.INSUFFICIENT, poor, 5, ())
        assert ((await bank.balance(rich)).available, (await bank.balance(poor)).available) == (50, 5)
        # what was undone in memory is open again within the same batch
        good = bank.journal("good", bank.post("h", 20), bank.transfer(rich, poor, 80))
        refused, done = await bank.apply(bank.journal("bad", *legs), good)
        assert (refused.result, done.result) == (Result.INSUFFICIENT, Result.OK)
        assert ((await bank.balance(rich)).available, (await bank.balance(poor)).available) == (0, 85)
        assert hold.done
        assert (await bank.verify()).count == 0

    in_bank(test)


def test_journal__bad_input_leaves_nothing() -> None:
    async def test(bank: Bank) -> None:
        wallet, other = await bank.wallet("wallet", 1000), await bank.wallet("other", 1000)
        dollars = await bank.open("dollars", asset="USD", guard=Guard.NONE)
        closed = await bank.open("closed")
        await bank.unit(lambda session: bank.ledger.close(session, closed))
        await bank.apply(bank.journal("h", bank.hold(wallet, other, 10)), bank.journal("done", bank.hold(wallet, other, 10)))
        await bank.apply(bank.journal("voided", bank.void("done")))
        unknown = "acc_" + "1" * 32

        def move(amount: Any, debit: str = wallet, credit: str = other, code: Any = "x", asset: str = "EUR") -> Transfer:
            return Transfer(debit=debit, credit=credit, amount=Money(amount, asset), code=code)

        bad: list[tuple[Any, Result, str]] = [
            (move(0), Result.INVALID, "amount"),
            (move(-5), Result.INVALID, "amount"),
            (move(1.5), Result.INVALID, "amount"),
            (move("7"), Result.INVALID, "amount"),
            (move(True), Result.INVALID, "amount"),  # True is an int, and no amount
            (move(2**53), Result.INVALID, "amount"),
            (move(2**80), Result.INVALID, "amount"),
            (move(1, asset="USD"), Result.INVALID, "asset"),
            (move(1, credit=dollars), Result.INVALID, "asset"),
            (move(1, debit=unknown), Result.INVALID, "unknown-account"),
            (move(1, credit=unknown), Result.INVALID, "unknown-account"),
            (move(1, credit=closed), Result.INVALID, "closed-account"),
            (move(1, credit=wallet), Result.INVALID, "same-account"),
            (move(1, debit="wallet"), Result.INVALID, "id"),
            (move(1, code=""), Result.INVALID, "text"),
            (move(1, code="x" * 81), Result.INVALID, "text"),
            (move(1, code="a\x00b"), Result.INVALID, "text"),
            (move(1001), Result.INSUFFICIENT, "insufficient"),
            (Hold(debit=wallet, credit=other, amount=Money(1, "EUR"), code="x", seconds=-1), Result.INVALID, "lease"),
            (Post(hold=transfer_id("test", "h"), amount=Money(11, "EUR"), code="x"), Result.INVALID, "above-hold"),
            (Post(hold=transfer_id("test", "h"), amount=Money(1, "USD"), code="x"), Result.INVALID, "asset"),
            (Post(hold=transfer_id("test", "never"), code="x"), Result.BAD_OR_RESOLVED_PENDING, "no-open-hold"),
            (Post(hold=transfer_id("test", "done"), code="x"), Result.BAD_OR_RESOLVED_PENDING, "no-open-hold"),
            (Void(hold=transfer_id("test", "done"), code="x"), Result.BAD_OR_RESOLVED_PENDING, "no-open-hold"),
            (Void(hold=transfer_id("test", "fill " + wallet), code="x"), Result.BAD_OR_RESOLVED_PENDING, "no-open-hold"),
            ("a text", Result.INVALID, "kind"),
        ]
        before = await bank.verify()
        outcomes = await bank.ledger.submit(*(bank.journal(f"bad {number}", leg) for number, (leg, _, _) in enumerate(bad)))
        assert [(one.result, one.reason) for one in outcomes] == [(result, reason) for _, result, reason in bad]
        for journal in (bank.journal(""), bank.journal("k" * 201, move(1)), bank.journal("none"), bank.journal("a\x00b", move(1))):
            (outcome,) = await bank.apply(journal)
            assert (outcome.result, outcome.reason) in ((Result.INVALID, "key"), (Result.INVALID, "legs"))
        assert await bank.verify() == before
        assert (await bank.balance(wallet)).available == 990

    in_bank(test)


def test_guards__hold_on_both_sides_with_their_overdraft() -> None:
    async def test(bank: Bank) -> None:
        till = await bank.open("till", guard=Guard.CREDITS)
        friend = await bank.open("friend", overdraft=100)
        results = await bank.apply(
            bank.journal("1", bank.transfer(bank.clearing, till, 1)),
            bank.journal("2", bank.transfer(till, bank.clearing, 5)),
            bank.journal("3", bank.hold(bank.clearing, till, 4)),
            bank.journal("4", bank.transfer(bank.clearing, till, 2)),
            bank.journal("5", bank.transfer(friend, bank.clearing, 100)),
            bank.journal("6", bank.transfer(friend, bank.clearing, 1)),
        )
        assert [one.done for one in results] == [False, True, True, False, True, False]
        assert ((await bank.balance(till)).available, (await bank.balance(friend)).posted) == (1, -100)
        await bank.apply(bank.journal("much", bank.transfer(bank.clearing, friend, MOST)))
        (outcome,) = await bank.apply(bank.journal("more", bank.transfer(bank.clearing, friend, 1)))
        assert (outcome.result, outcome.reason) == (Result.INVALID, "too-large")

    in_bank(test)


def test_balance__is_known_at_every_place() -> None:
    async def test(bank: Bank) -> None:
        wallet = await bank.wallet("wallet", 100)
        journals = [bank.journal(str(number), bank.transfer(wallet, bank.clearing, number)) for number in range(1, 6)]
        outcomes = await bank.apply(*journals, bank.journal("h", bank.hold(wallet, bank.clearing, 7)))
        spent, places = 0, [outcome.seqs[0] for outcome in outcomes]
        assert (await bank.balance(wallet, places[0] - 1)).posted == 100
        assert (await bank.balance(wallet, 0)).posted == 0
        for number, place in enumerate(places[:5], 1):
            spent += number
            at = await bank.balance(wallet, place)
            assert (at.posted, at.pending, at.seq) == (100 - spent, 0, place)
        lines = await bank.db.read(lambda session: bank.ledger.statement(session, wallet, limit=3))
        assert [(line.side, line.amount, line.held, line.posted, line.pending) for line in lines] == [
            ("debit", 0, 7, 85, 7),
            ("debit", 5, 0, 85, 0),
            ("debit", 4, 0, 90, 0),
        ]
        rest = await bank.db.read(lambda session: bank.ledger.statement(session, wallet, before=lines[-1].seq))
        assert [line.amount for line in rest] == [3, 2, 1, 100]

    in_bank(test)


def test_reverse__happens_once() -> None:
    async def test(bank: Bank) -> None:
        wallet, fees = await bank.wallet("wallet", 100), await bank.open("fees")
        await bank.apply(bank.journal("h", bank.hold(wallet, bank.clearing, 10)))
        (sale,) = await bank.apply(bank.journal("sale", bank.transfer(wallet, bank.clearing, 50), bank.transfer(wallet, fees, 5), bank.post("h", 8)))

        def reverse(key: str, journal: str = sale.id) -> Any:
            return lambda session: bank.ledger.reverse(session, journal, scope="test", key=key, code="test.back")

        assert (await bank.unit(reverse("back"))).result is Result.OK
        assert (await bank.balance(wallet)).available == 100
        assert (await bank.unit(reverse("back"))).result is Result.EXISTS
        again = await bank.unit(reverse("back once more"))
        assert (again.result, again.reason) == (Result.INVALID, "already-reversed")
        with pytest.raises(Unprocessable, match="holds"):
            await bank.unit(reverse("x", transfer_id("test", "h")))
        with pytest.raises(NotFound):
            await bank.unit(reverse("x", transfer_id("test", "never")))
        assert (await bank.verify()).count == 0

    in_bank(test)


def test_account__opens_once_and_never_changes_its_rules() -> None:
    async def test(bank: Bank) -> None:
        wallet = await bank.wallet("wallet", 5, owner="user_ann")
        assert wallet == await bank.open("wallet", owner="user_ann") == Account(purpose="wallet", owner="user_ann", asset="EUR").id
        assert wallet != await bank.open("wallet", owner="user_bob")
        with pytest.raises(Conflict, match="other rules"):
            await bank.open("wallet", owner="user_ann", overdraft=1)
        with pytest.raises(Unprocessable, match="no asset"):
            await bank.open("wallet", asset="NOTHING")
        with pytest.raises(Conflict, match="not empty"):
            await bank.unit(lambda session: bank.ledger.close(session, wallet))
        await bank.apply(bank.journal("out", bank.transfer(wallet, bank.clearing, 5)))
        for _ in range(2):
            await bank.unit(lambda session: bank.ledger.close(session, wallet))
        with pytest.raises(Conflict, match="closed"):
            await bank.open("wallet", owner="user_ann")

    in_bank(test)


def test_assets__come_from_settings_and_plugins_and_keep_their_decimals() -> None:
    async def test(bank: Bank) -> None:
        assert [bank.ledger.asset(code).exponent for code in ("EUR", "JPY", "BHD", "CLF", "ENERGY")] == [2, 0, 3, 4, 0]
        await bank.unit(lambda session: bank.ledger.define(session, Asset(code="QUOTA_IMAGES", title="Images")))
        await bank.open("quota", asset="QUOTA_IMAGES")
        with pytest.raises(Unprocessable, match="decimals"):
            await bank.unit(lambda session: bank.ledger.define(session, Asset(code="QUOTA_IMAGES", exponent=2)))
        with pytest.raises(NotFound):
            bank.ledger.asset("NOTHING")
        assert bank.ledger.parse("12.5", "EUR") == Money(1250, "EUR")

    in_bank(test, config={"ledger": {"assets": [{"code": "ENERGY", "title": "Energy"}]}})


@given(minor=st.integers(-MOST, MOST), asset=st.sampled_from(sorted(currencies().values(), key=lambda one: one.code)))
def test_amount__text_and_minor_units_are_the_same(minor: int, asset: Asset) -> None:
    assert parse_amount(format_amount(minor, asset.exponent), asset) == Money(minor, asset.code)


@pytest.mark.parametrize(
    "text", ["19.999", "1,5", "1e3", "", ".5", "5.", "+1", " 1", "١", "1.", "--1", "0x1", "NaN", "99999999999999999", "90071992547409.92"]
)
def test_amount__is_never_rounded_or_guessed(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_amount(text, currencies()["EUR"])
    assert refused.value.code == "ledger.bad-amount"


def test_submit__is_bounded_and_keeps_callers_apart() -> None:
    async def test(bank: Bank) -> None:
        wallet = await bank.wallet("wallet", 10)
        spends = [bank.journal(f"s{number}", bank.transfer(wallet, bank.clearing, 1)) for number in range(40)]
        found = await asyncio.gather(*(bank.ledger.submit(journal) for journal in spends), return_exceptions=True)
        refused = [one for one in found if isinstance(one, Exception)]
        assert {(one.code, one.retry_after) for one in refused if isinstance(one, Exception)} == {("ledger.busy", 1.0)}  # type: ignore[attr-defined]
        done = [one[0].result for one in found if not isinstance(one, BaseException)]
        assert (done.count(Result.OK), done.count(Result.INSUFFICIENT), len(refused)) == (10, 10, 20)
        again = await bank.ledger.submit(*spends[:10])
        assert {one.result for one in again} == {Result.EXISTS}

    in_bank(test, config={"ledger": {"waiting": 20}})


def test_apply__is_part_of_the_callers_unit() -> None:
    async def test(bank: Bank) -> None:
        wallet = await bank.wallet("wallet", 10)
        journal = Journal(scope="test", key="undone", legs=(bank.transfer(wallet, bank.clearing, 4),))

        def unit(session: Any) -> None:
            assert bank.ledger.apply(session, journal)[0].done
            raise Conflict("the caller's own reason")

        with pytest.raises(Conflict, match="own reason"):
            await bank.unit(unit)
        assert (await bank.balance(wallet)).available == 10
        # in the name of a person: the accounts of both sides are touched, whosever they are
        (outcome,) = await bank.ctx.db.as_subject("user_ann").write(lambda session: bank.ledger.apply(session, journal))
        assert outcome.result is Result.OK

    in_bank(test)
