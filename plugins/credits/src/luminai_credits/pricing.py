"""What work costs by a price: whole units, rounded up where a quantity is begun, and down where a discount is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from luminai import Unprocessable
from luminai_credits.products import MAX_AMOUNT, Price

WHOLE: Final = 100


def cost(price: Price, quantities: Mapping[str, int], options: tuple[str, ...] = ()) -> int:
    """Return the units that work costs.

    Raises:
        Unprocessable: an option has no price (code ``credits.unknown-option``), or it costs more than can be counted (``credits.too-much``).
    """
    total = price.amount
    for option in dict.fromkeys(options):
        if option not in price.options:
            known = ", ".join(price.options) or "none"
            raise Unprocessable(f"{price.action} has no option {option[:40]}.", code="credits.unknown-option", hint=f"Known: {known}.")
        total += price.options[option]
    for name, rate in price.per.items():
        beyond = max(0, quantities.get(name, 0) - rate.included)
        total += -(-beyond // rate.each) * rate.amount
    fitting = [one for one in price.discounts if quantities.get(one.quantity, 0) >= one.least]
    if fitting:
        total = total * (WHOLE - max(fitting, key=lambda one: one.least).percent) // WHOLE
    if total > MAX_AMOUNT:
        raise Unprocessable("This costs more than can be counted.", code="credits.too-much", hint="Do it in smaller parts.")
    return total
