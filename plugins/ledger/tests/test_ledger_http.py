"""The books over HTTP: operators', and everybody's own."""

import asyncio
from typing import Any

from ledger_bank import Bank, bank

OPERATOR = ("ledger:read", "ledger:audit", "ledger:manage")


def leg(kind: str, debit: str, credit: str, minor: Any, asset: str = "EUR", **more: Any) -> dict[str, Any]:
    return {"type": kind, "debit": debit, "credit": credit, "amount": {"minor": minor, "asset": asset}, "code": "test.move", **more}


async def post(made: Bank, path: str, body: Any = None, *scopes: str, **more: Any) -> Any:
    return await made.hub.client(*(scopes or OPERATOR)).request("POST", f"/api/ledger{path}", json=body, **more)


async def get(made: Bank, path: str, *scopes: str, subject: str = "user_test") -> Any:
    return await made.hub.client(*(scopes or OPERATOR), subject=subject).request("GET", f"/api/ledger{path}")


def test_operator__opens_posts_reverses_and_closes() -> None:
    async def test() -> None:
        async with bank() as made:
            opened = await post(made, "/accounts", {"purpose": "wallet", "asset": "EUR", "owner": "user_ann", "guard": 1})
            assert (opened.status, opened.json()["debits_posted"]) == (201, 0)
            wallet = opened.json()["id"]
            body = {"key": "gift", "reason": "a gift", "legs": [leg("transfer", made.clearing, wallet, 500)]}
            first, again = await post(made, "/journals", body), await post(made, "/journals", body)
            assert (first.json()["result"], again.json()["result"]) == ("ok", "exists")
            balance = (await get(made, f"/accounts/{wallet}/balance")).json()
            assert (balance["posted"], balance["available"]) == (500, 500)
            assert (await get(made, f"/accounts/{wallet}/balance?at=0")).json()["posted"] == 0
            assert (await post(made, f"/accounts/{wallet}/close")).json()["code"] == "ledger.account-in-use"
            journal = first.json()["id"]
            assert (await get(made, f"/transfers/{journal}")).json()["amount"] == 500
            back = [await post(made, f"/journals/{journal}/reverse", {"reason": "too early"}) for _ in range(2)]
            assert [one.json()["result"] for one in back] == ["ok", "exists"]
            assert (await post(made, f"/accounts/{wallet}/close")).json()["closed_at"]
            refused = await post(made, "/journals", body | {"key": "late"})
            assert (refused.status, refused.json()["errors"][0]["code"]) == (422, "closed-account")
            audit = (await made.hub.client("hub:audit").request("GET", "/api/admin/audit?action=ledger.")).json()["items"]
            told = [entry["action"].removeprefix("ledger.") for entry in audit]
            assert told == ["close-account", "reverse", "reverse", "post", "post", "open-account"]

    asyncio.run(test())


def test_person__sees_only_their_own_books() -> None:
    async def test() -> None:
        async with bank() as made:
            mine, other = await made.wallet("wallet", 1250, owner="user_ann"), await made.wallet("wallet", 70, owner="user_bob")
            await made.apply(made.journal("h", made.hold(mine, made.clearing, 250)))
            listed = (await get(made, "/mine", "ledger:read", subject="user_ann")).json()["items"]
            assert [(one["account"], one["available"]["text"], one["pending"]["minor"]) for one in listed] == [(mine, "10.00", 250)]
            lines = (await get(made, f"/mine/{mine}/statement", "ledger:read", subject="user_ann")).json()["items"]
            assert [(line["kind"], line["amount"], line["held"]) for line in lines] == [("hold", 0, 250), ("transfer", 1250, 0)]
            for account in (other, made.clearing, "acc_" + "0" * 32):
                answer = await get(made, f"/mine/{account}/statement", "ledger:read", subject="user_ann")
                assert (answer.status, answer.json()["code"]) == (404, "ledger.account-not-found")
            for path in ("/accounts", f"/accounts/{mine}", f"/accounts/{mine}/statement", "/holds", "/transfers", "/reports", "/export"):
                assert (await get(made, path, "ledger:read", subject="user_ann")).status == 403
            for path in ("/accounts", "/journals", "/verify", "/reconcile", f"/accounts/{mine}/close"):
                assert (await post(made, path, None, "ledger:read")).status == 403

    asyncio.run(test())


def test_bad_input__is_a_problem_and_leaves_nothing() -> None:
    async def test() -> None:
        async with bank() as made:
            wallet = await made.wallet("wallet", 100)
            dollars = await made.open("dollars", asset="USD")
            await made.apply(made.journal("h", made.hold(wallet, made.clearing, 10)))
            hold, unknown = made.journal("h", made.void("h")).id, "acc_" + "1" * 32
            posted = {"type": "post", "hold": hold, "amount": {"minor": 11, "asset": "EUR"}, "code": "x"}
            cases: list[tuple[list[Any], int, str]] = [
                ([leg("transfer", wallet, made.clearing, -1)], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, 0)], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, 1.5)], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, "1")], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, 2**53)], 400, "bad-number"),
                ([leg("transfer", wallet, made.clearing, 1, "eur")], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, 1, "USD")], 422, "ledger.invalid"),
                ([leg("transfer", wallet, dollars, 1)], 422, "ledger.invalid"),
                ([leg("transfer", wallet, unknown, 1)], 422, "ledger.invalid"),
                ([leg("transfer", wallet, "somebody", 1)], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, 91)], 409, "ledger.insufficient"),
                ([leg("transfer", wallet, made.clearing, 1), leg("transfer", wallet, made.clearing, 90)], 409, "ledger.insufficient"),
                ([posted], 422, "ledger.invalid"),
                ([posted | {"hold": "trf_" + "1" * 44}], 409, "ledger.no-open-hold"),
                ([{"type": "void", "hold": "trf_" + "1" * 44, "code": "x"}], 409, "ledger.no-open-hold"),
                ([leg("transfer", wallet, made.clearing, 1, secret="x")], 400, "invalid-input"),
                ([], 400, "invalid-input"),
                ([leg("transfer", wallet, made.clearing, 1)] * 101, 400, "invalid-input"),
            ]
            before = await made.verify()
            for legs, status, code in cases:
                answer = await post(made, "/journals", {"key": "bad", "reason": "x", "legs": legs})
                assert (answer.status, answer.json()["code"]) == (status, code), (legs, answer.json())
                assert answer.json().get("hint") or answer.json()["errors"]
            assert await made.verify() == before
            good = {"key": "good", "reason": "x", "legs": [leg("transfer", wallet, made.clearing, 1)]}
            assert (await post(made, "/journals", good)).status == 200
            other = await post(made, "/journals", good | {"legs": [leg("transfer", wallet, made.clearing, 2)]})
            assert (other.status, other.json()["code"]) == (409, "ledger.exists-with-different-content")

    asyncio.run(test())


def test_lists__come_in_pages() -> None:
    async def test() -> None:
        async with bank() as made:
            wallets = [await made.wallet(f"wallet {number}", 10, owner="user_ann") for number in range(5)]
            for number in range(4):
                await made.apply(made.journal(f"t{number}", made.hold(wallets[0], made.clearing, 1)))

            async def walk(path: str, key: str) -> list[Any]:
                found: list[Any] = []
                cursor = ""
                while True:
                    answer = (await made.hub.client("ledger:*", subject="user_ann").request("GET", f"/api/ledger{path}limit=2{cursor}")).json()
                    assert len(answer["items"]) <= 2
                    found += [item[key] for item in answer["items"]]
                    if answer["next_cursor"] is None:
                        return found
                    cursor = f"&cursor={answer['next_cursor']}"

            assert await walk("/mine?", "account") == sorted(wallets)
            assert await walk("/accounts?owner=user_ann&", "id") == sorted(wallets)
            assert await walk("/accounts?purpose=clearing&", "id") == [made.clearing]
            assert await walk("/transfers?", "seq") == list(range(1, 10))
            assert len(set(await walk(f"/holds?account={wallets[0]}&", "id"))) == 4
            statement = await walk(f"/accounts/{wallets[0]}/statement?", "seq")
            assert statement == sorted(statement, reverse=True)
            assert len(statement) == 5
            assert len(await walk("/assets?", "code")) == len(made.ledger.assets)

    asyncio.run(test())
