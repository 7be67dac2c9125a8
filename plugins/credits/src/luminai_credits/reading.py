"""Reads a product file: every problem at once, each with its place; nothing is taken of a file that has one."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any, Final

import msgspec

from luminai import InvalidInput, ProblemItem, Unprocessable
from luminai_credits.products import Plan, Price, Product

MAX_TEXT: Final = 200_000
MAX_PROBLEMS: Final = 50
HINT: Final = "Correct the file and import it again; nothing of it was taken."


def read_product(text: str) -> Product:
    """Return the product of a file's text.

    Raises:
        Unprocessable: it is no TOML, or has problems; ``errors`` lists all of them (codes ``credits.product-unreadable``,
            ``credits.product-invalid``).
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Unprocessable(f"This is no TOML: {error}.", code="credits.product-unreadable", hint=HINT) from error
    plain = _plain(tables)
    _refuse(_shape_problems(plain))
    try:
        product = msgspec.convert(plain, Product)
    except msgspec.ValidationError as error:
        _refuse([ProblemItem(detail=str(error))])
        raise
    _refuse(sense_problems(product))
    return product


def sense_problems(product: Product) -> list[ProblemItem]:
    """Return what is wrong with a product of the right shape."""
    return list(_sense(product))


def _refuse(problems: list[ProblemItem]) -> None:
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise Unprocessable(f"The product file has {count}.", code="credits.product-invalid", hint=HINT, errors=problems[:MAX_PROBLEMS])


def _plain(value: Any) -> Any:
    """Return TOML's values as JSON has them: moments without a zone are UTC, days begin at 00:00."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC).isoformat()
    return value.isoformat() if isinstance(value, time) else value


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(msgspec.json.schema(Product))


def _shape_problems(plain: Any) -> list[ProblemItem]:
    found = sorted(_validator().iter_errors(plain), key=lambda error: [str(part) for part in error.absolute_path])
    return [ProblemItem(detail=_said(error), pointer="/" + "/".join(str(part) for part in error.absolute_path)) for error in found]


def _said(error: Any) -> str:
    """Return a problem in one line, without a whole table in it."""
    if error.validator == "anyOf":
        inner = [one for one in error.context if one.validator != "type"]
        return _said(inner[0]) if inner else "it has the wrong type"
    return str(error.message)[:300]


def _sense(product: Product) -> Iterator[ProblemItem]:
    try:
        _ = [product.price_start(price) for price in (*product.prices, Price(action="a.a"))]
    except InvalidInput as error:
        yield ProblemItem(detail=error.detail, pointer="/start")
        return
    plans = {plan.id: plan for plan in product.plans}
    yield from _twice("plans", (plan.id for plan in product.plans))
    yield from _twice("packs", (pack.id for pack in product.packs))
    yield from _twice("prices", (f"{price.action} {price.model} {product.price_start(price)}" for price in product.prices))
    names = [name for action in {price.action for price in product.prices} for name in {action, *_aliases(product, action)}]
    yield from _twice("prices", names, "is the name of two actions")
    for plan in product.plans:
        yield from _plan_sense(plan, plans)
    default = plans.get(product.default_plan)
    if default is None:
        yield ProblemItem(detail=f"there is no plan {product.default_plan}", pointer="/default-plan")
    elif default.price is not None:
        yield ProblemItem(detail="the default plan must be free", pointer="/default-plan")
    for pack in product.packs:
        if pack.price.minor == 0:
            yield ProblemItem(detail=f"pack {pack.id} costs nothing", pointer=f"/packs/{pack.id}/price")
    if product.maximum and product.welcome > product.maximum:
        yield ProblemItem(detail="welcome is above the maximum", pointer="/welcome")
    if product.unit.startswith("QUOTA_"):
        yield ProblemItem(detail="QUOTA_… is what quotas are called", pointer="/unit")


def _plan_sense(plan: Plan, plans: dict[str, Plan]) -> Iterator[ProblemItem]:
    if plan.extends and plan.extends not in plans:
        yield ProblemItem(detail=f"plan {plan.id} extends {plan.extends}, which there is not", pointer=f"/plans/{plan.id}/extends")
    elif _goes_round(plan, plans):
        yield ProblemItem(detail=f"plan {plan.id} extends itself in a loop", pointer=f"/plans/{plan.id}/extends", code="credits.plan-loop")
    if plan.price is not None and plan.price.minor == 0:
        hint = "Leave the price out of a free plan."
        yield ProblemItem(detail=f"plan {plan.id} has a price of nothing", pointer=f"/plans/{plan.id}/price", hint=hint)
    if plan.funding is not None and len(set(plan.funding)) < len(plan.funding):
        yield ProblemItem(detail=f"plan {plan.id} names one funding twice", pointer=f"/plans/{plan.id}/funding")
    if plan.trial_days and plan.price is None:
        yield ProblemItem(detail=f"plan {plan.id} is free and has a trial", pointer=f"/plans/{plan.id}/trial-days")


def _aliases(product: Product, action: str) -> set[str]:
    return {alias for price in product.prices if price.action == action for alias in price.aliases}


def _twice(what: str, names: Iterable[str], said: str = "is there twice") -> Iterator[ProblemItem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield ProblemItem(detail=f"{name} {said}", pointer=f"/{what}")


def _goes_round(plan: Plan, plans: dict[str, Plan]) -> bool:
    seen = {plan.id}
    while plan.extends in plans:
        plan = plans[plan.extends]
        if plan.id in seen:
            return True
        seen.add(plan.id)
    return False
