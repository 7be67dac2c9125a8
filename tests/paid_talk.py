"""Talk that is paid for: the product file that prices it, models that answer as a test says, and what each end of an answer is worth."""

from __future__ import annotations

from itertools import count
from typing import Any

from paid_work import Person, Shop

from luminai import End, EndState, Usage
from luminai.testing import Cut, Hang, ScriptedProvider

TALK = """
product = "talk"
title = "Talk"
unit = "TALK_CREDIT"
unit-title = "Credits"
start = 2020-01-01
default-plan = "payg"

{prices}
[[plans]]
id = "payg"
title = "Pay as you go"
"""
USED = Usage(input_tokens=3, output_tokens=500, origin="reported")
"""What an answer used: it costs 3 where an action is 2 and each begun 1,000 tokens of the answer are 1."""
ENDS = [
    (("half", End(state=EndState.LENGTH, usage=USED)), "length", ("settled", 3)),
    (("torn", Cut()), "cut", ("released", 0)),
    (("then", Hang()), "stalled", ("released", 0)),
    (("no", End(state=EndState.FAILED)), "failed", ("released", 0)),
    ((End(state=EndState.FILTERED),), "filtered", ("released", 0)),
    (("begun", End(state=EndState.FILTERED, usage=USED)), "filtered", ("settled", 3)),
]
"""Steps of a model, how its answer ends, and the state and amount of the only row of usage."""
_NAMES = count(1)


def talk(prices: str) -> str:
    """Return the product file with these rows of prices."""
    return TALK.format(prices=prices)


def model(shop: Shop, *steps: Any, name: str = "script") -> str:
    """Offer a provider that answers so, and return the name of its model."""
    own = f"{name}{next(_NAMES)}"
    shop.hub.provide("ai_providers", ScriptedProvider(steps, name=own))
    return f"{own}/one"


def finished(usage: Usage | None = USED) -> End:
    """Return the end of an answer that went well."""
    return End(state=EndState.FINISHED, usage=usage)


def with_ten(shop: Shop) -> Person:
    """Return somebody with 10 credits."""
    person = shop.person()
    person.give(10, product="talk")
    return person
