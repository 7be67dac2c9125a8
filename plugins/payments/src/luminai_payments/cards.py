"""Card numbers never come here: what looks like one is refused before anything is stored."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from luminai import Unprocessable

_RUN: Final = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ .-]?[0-9]){12,18}(?![0-9A-Za-z])")


def looks_like_a_card(text: str) -> bool:
    """Tell whether a text holds 13 to 19 digits with a right check digit (Luhn, ISO/IEC 7812-1), with or without separators."""
    return any(_luhn(re.sub(r"[ .-]", "", found)) for found in _RUN.findall(text))


def refuse_cards(given: Any) -> None:
    """Look through every text of a request.

    Raises:
        Unprocessable: one holds a card number (code ``payments.card-number``); the text is not repeated.
    """
    for name, value in msgspec.structs.asdict(given).items():
        if isinstance(value, str) and looks_like_a_card(value):
            hint = "Give the number to the provider's own form, and send the token that it returns."
            raise Unprocessable(f"{name} looks like a card number.", code="payments.card-number", hint=hint)


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
