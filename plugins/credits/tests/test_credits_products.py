"""Product files: what is wrong is told at once, what holds is never rewritten, and the samples say what their products say."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from paid_work import BASIC, Person, Shop, open_shop

SAMPLES = files("luminai_credits").joinpath("products")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a hub with the sample products beside the studio's."""
    with open_shop(tmp_path_factory.mktemp("products"), config={"products": ["product.toml", "lumiku", "phoenix"]}) as opened:
        yield opened


def told(shop: Shop, toml: str, *, expect: int = 422, **more: Any) -> Any:
    return shop.ask("POST", "/api/credits/manage/products", expect=expect, json={"toml": toml, **more})


def test_import__of_a_file_with_many_mistakes__tells_them_all_and_takes_nothing(shop: Shop) -> None:
    wrong = (
        BASIC.replace('product = "studio"', 'product = "wrong"')
        .replace("amount = 10\n", "amount = -10\n")
        .replace("amount = 100\n", "amount = 0\n")
        .replace("minor = 299", "minor = 2.99")
        .replace("studio.", "wrong.")
        .replace("default-plan", "default-plam")
    )

    problem = told(shop, wrong)

    assert problem["code"] == "credits.product-invalid"
    pointers = [one["pointer"] for one in problem["errors"]]
    assert pointers == ["/", "/", "/packs/0/amount", "/packs/0/price/minor", "/prices/0/amount"]
    assert "default-plam" in str(problem["errors"])
    assert "wrong" not in str(shop.ask("GET", "/api/credits/products"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "pro"', 'id = "pro"\nextends = "max"', "loop"),
        ('extends = "payg"', 'extends = "gold"', "there is not"),
        ('default-plan = "payg"', 'default-plan = "pro"', "must be free"),
        ('default-plan = "payg"', 'default-plan = "none"', "there is no plan none"),
        ('id = "year"', 'id = "pro"', "pro is there twice"),
        ("minor = 6000", "minor = 0", "price of nothing"),
        ('aliases = ["PAINT"]', 'aliases = ["studio.write"]', "name of two actions"),
        ('funding = ["quota"]', 'funding = ["quota", "quota"]', "twice"),
        ("minor = 299", "minor = 0", "costs nothing"),
    ],
)
def test_import__of_a_file_that_makes_no_sense__is_refused(shop: Shop, old: str, new: str, said: str) -> None:
    text = BASIC.replace('id = "pro"\ntitle = "Pro"\nextends = "payg"', 'id = "pro"\ntitle = "Pro"') if "extends" in new and "max" in new else BASIC
    assert old in text

    problem = told(shop, text.replace(old, new, 1))

    assert said in " ".join(one["detail"] for one in problem["errors"])


@pytest.mark.parametrize("toml", ["", "product = ", "= 1", "a = 1979-05-27", "[[prices]]", "x = " + "[" * 3000])
def test_import__of_what_is_no_product_file__is_refused(shop: Shop, toml: str) -> None:
    assert told(shop, toml, expect=422 if toml else 400)["code"].startswith(("credits.product-", "invalid-input"))


def test_import__again__changes_nothing_and_a_price_that_holds_is_not_rewritten(shop: Shop) -> None:
    again = told(shop, BASIC, expect=200)
    assert (again["changed"], again["prices_added"]) == (False, 0)

    dearer = BASIC.replace("amount = 10\n", "amount = 11\n")
    refused = told(shop, dearer)
    assert refused["code"] == "credits.product-refused"
    assert "later start" in refused["hint"]
    assert told(shop, BASIC.replace("STUDIO_CREDIT", "OTHER_CREDIT"))["errors"][0]["pointer"] == "/unit"
    taken = BASIC.replace('product = "studio"', 'product = "thief"')
    assert "priced by studio" in told(shop, taken)["errors"][0]["detail"]

    later = BASIC + '[[prices]]\naction = "studio.paint"\namount = 11\nstart = 2030-01-01\naliases = ["PAINT"]\n'
    tried = told(shop, later, expect=200, dry_run=True)
    assert (tried["changed"], tried["version"], tried["prices_added"]) == (True, 2, 1)
    assert told(shop, BASIC, expect=200)["version"] == 1
    assert told(shop, later, expect=200) == tried


def test_settings__with_a_product_file_that_is_wrong__say_so_at_the_start(shop: Shop) -> None:
    refused = shop.run(_refused(shop))

    assert "missing.toml" in refused


async def _refused(shop: Shop) -> str:
    from luminai.host.supervisor import ChangeRefused

    with pytest.raises(ChangeRefused) as raised:
        await shop.hub.swap("credits", config={"products": ["missing.toml"]})
    return str(raised.value.errors)


def quote(person: Person, action: str, **more: Any) -> tuple[str, int, str]:
    found = person.ask("POST", "/api/credits/quote", json={"action": action, **more})
    return found["unit"], found["amount"], found["funding"]


@pytest.mark.shows("PX-73", "PX-74", "PX-75", "PX-76", "PX-77", "PX-D1")
def test_phoenix__costs_what_the_seed_says_under_all_names(ann: Person) -> None:
    costs = {"aube_conversation": 2, "cv_mirror_match": 25, "letter_generation": 15, "salary_analysis": 20, "futureproof_analysis": 18}
    aliases = {"CV_MIRROR_MATCH": 25, "LETTERS_GENERATE": 15, "LETTERS_ANALYZE_TRANSITION": 18, "phoenix.aube_conversation": 2}

    for name, cost in (costs | aliases).items():
        assert quote(ann, name) == ("PHX_ENERGY", cost, "credits")


def of(person: Person, product: str) -> Any:
    return next(one for one in person.ask("GET", "/api/credits/balance") if one["product"] == product)


@pytest.mark.shows("PX-D3", "PX-D4", "PX-37")
def test_phoenix__starts_at_100_of_100_and_packs_raise_both(shop: Shop, ann: Person) -> None:
    energy = of(ann, "phoenix")
    assert (energy["available"], energy["maximum"], energy["plan"], energy["unit"]) == (100, 100, "free", "PHX_ENERGY")
    packs = {pack["id"]: (pack["price"], pack["amount"]) for pack in shop.ask("GET", "/api/credits/products/phoenix")["packs"]}
    eur = {name: ({"minor": minor, "asset": "EUR"}, amount) for name, minor, amount in PACKS}
    assert packs == eur
    body = {"intent": "p", "purpose": "pack", "product": "phoenix/petit_dej_luna", "subject": ann.subject, "amount": 599, "asset": "EUR"}

    shop.ask("POST", "/api/payments/tell/Captured", json=body | {"provider": "sandbox", "ref": ann.subject})
    shop.settle_jobs()

    assert (of(ann, "phoenix")["available"], of(ann, "phoenix")["maximum"]) == (320, 320)


PACKS = (("cafe_luna", 299, 100), ("petit_dej_luna", 599, 220), ("repas_luna", 999, 400))


def test_phoenix__unlimited__costs_nothing(shop: Shop, ann: Person) -> None:
    shop.ask("POST", "/api/credits/manage/plans", json={"subject": ann.subject, "product": "phoenix", "plan": "luna_unlimited", "months": 12})

    assert quote(ann, "cv_mirror_match") == ("PHX_ENERGY", 0, "unlimited")


@pytest.mark.shows("LK-D1", "LK-D2", "LK-D5", "LK-05")
def test_lumiku__plans_packs_and_costs__are_as_listed(shop: Shop, ann: Person) -> None:
    found = shop.ask("GET", "/api/credits/products/lumiku")

    assert [(pack["amount"], pack["price"]["minor"]) for pack in found["packs"]] == [(1500, 10_000_000), (4000, 25_000_000), (9000, 50_000_000)]
    quotas = {plan["id"]: plan["quotas"]["generation"] for plan in found["plans"] if plan.get("quotas")}
    assert quotas["free-forever"] == {"day": 10, "month": 300}
    assert quotas["pro-monthly"] == quotas["pro-yearly"] == {"day": 100, "month": 3000}
    assert quotas["enterprise-monthly"] == {"day": 500, "month": 15_000}
    assert of(ann, "lumiku")["available"] == 100
    assert quote(ann, "avatar-creator.generate") == ("LUMIKU_CREDIT", 10, "credits")
    problem = ann.ask("POST", "/api/credits/quote", expect=403, json={"action": "avatar-creator.generate", "model": "flux/flux-dev-hd"})
    assert problem["hint"] == "Plan basic-monthly has it."
    cut = {"quantities": {"images": 201}}
    assert quote(ann, "background-remover.basic", **cut)[1] == 201 * 3 * 80 // 100
    assert quote(ann, "background-remover.basic", quantities={"images": 19})[1] == 57
    assert quote(ann, "looping-flow.loop", quantities={"seconds": 31})[1] == 4
    assert quote(ann, "avatar-generator.generate", options=["hd", "fast"])[1] == 10
    assert quote(ann, "pose-generator.generate", quantities={"poses": 4, "ai_backgrounds": 2})[1] == 140


def test_samples__are_ones_that_an_operator_may_copy(shop: Shop) -> None:
    for name in ("lumiku", "phoenix"):
        assert told(shop, SAMPLES.joinpath(f"{name}.toml").read_text(), expect=200)["changed"] is False
