"""Reads lists of prices that others keep: LiteLLM's ``model_prices_and_context_window.json`` and genai-prices' ``data.json``.

Shapes: https://docs.litellm.ai/docs/provider_registration/add_model_pricing and ``prices/data.schema.json`` of https://github.com/pydantic/genai-prices.
A negative price, or one that is no number, refuses the whole file. A model whose price is not complete is left out and told: it never counts as free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from msgspec import Struct

from luminai import InvalidInput, ProblemItem
from luminai_ai_gateway.pricing import MAX_MICRO, MILLION, PER

HINT: Final = "Correct the file and import it again; nothing of it was taken."
_LITELLM: Final = {
    "input_cost_per_token": "input_tokens",
    "cache_read_input_token_cost": "cached_input_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "input_cost_per_audio_token": "audio_input_tokens",
    "output_cost_per_token": "output_tokens",
    "output_cost_per_reasoning_token": "reasoning_tokens",
    "output_cost_per_audio_token": "audio_output_tokens",
    "input_cost_per_character": "characters",
    "output_cost_per_image": "images",
    "output_cost_per_second": "seconds",
}
_GENAI: Final = {
    "input_mtok": "input_tokens",
    "cache_read_mtok": "cached_input_tokens",
    "cache_write_mtok": "cache_write_tokens",
    "input_audio_mtok": "audio_input_tokens",
    "output_mtok": "output_tokens",
    "output_reasoning_mtok": "reasoning_tokens",
    "output_audio_mtok": "audio_output_tokens",
    "requests_kcount": "requests",
}
_ABOVE: Final = re.compile(r"^(.+)_above_([0-9]{1,6})k_tokens\Z")
_CHAT: Final = ("input_tokens", "output_tokens")
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": _CHAT,
    "completion": _CHAT,
    "responses": _CHAT,
    "embedding": ("input_tokens",),
    "image_generation": ("images",),
    "audio_speech": ("characters",),
}
"""Units without which a model of LiteLLM's list has no price, by its mode; what has another mode is nothing that the hub calls."""


class FilePrice(Struct, frozen=True, kw_only=True):
    """A price as a file has it; ``start`` None: the file says nothing of when it began."""

    provider: str
    model: str
    unit: str
    micro: int
    above: int = 0
    start: datetime | None = None


class PriceFile(Struct, kw_only=True):
    """What a file holds. ``left_out`` maps ``<provider>/<model>`` to why; ``rules`` tell which further names a model's prices hold for."""

    source: str
    prices: list[FilePrice] = []
    left_out: dict[str, str] = {}
    rules: list[tuple[str, str, Any]] = []


def read_price_file(data: bytes) -> PriceFile:
    """Return the prices of a file of either shape.

    Raises:
        InvalidInput: it is neither (code ``ai-gateway.price-file-unreadable``), or holds what can be no price; ``errors`` names each
            (``ai-gateway.price-file-refused``).
    """
    try:
        value = json.loads(data, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("This file is no JSON.", code="ai-gateway.price-file-unreadable", hint=HINT) from error
    problems: list[ProblemItem] = []
    try:
        found = _read(value, problems)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InvalidInput("This list of prices has another shape than is known.", code="ai-gateway.price-file-unreadable", hint=HINT) from error
    if problems:
        detail = f"The file has {len(problems)} prices that can be none."
        raise InvalidInput(detail, code="ai-gateway.price-file-refused", hint=HINT, errors=problems[:50])
    return found


def _read(value: Any, problems: list[ProblemItem]) -> PriceFile:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "models" in one for one in value):
        return _genai(value, problems)
    if isinstance(value, dict) and any(isinstance(one, dict) and "litellm_provider" in one for one in value.values()):
        return _litellm(value, problems)
    hint = "Give LiteLLM's model_prices_and_context_window.json or genai-prices' data.json."
    raise InvalidInput("This is no list of prices.", code="ai-gateway.price-file-unreadable", hint=hint)


def names_for(file: PriceFile, provider: str, offered: str) -> str | None:
    """Return the model of the file whose prices hold for the name ``offered``: itself, else the first whose rule fits."""
    if any(price.provider == provider and price.model == offered for price in file.prices):
        return offered
    return next((model for of, model, rule in file.rules if of == provider and _fits(rule, offered.lower())), None)


def _litellm(value: Mapping[str, Any], problems: list[ProblemItem]) -> PriceFile:
    found = PriceFile(source="litellm")
    best: dict[tuple[str, str, str, int], int] = {}
    for name, entry in value.items():
        if name == "sample_spec" or not isinstance(entry, dict) or not isinstance(provider := entry.get("litellm_provider"), str):
            continue
        mode = str(entry.get("mode"))
        model = name.removeprefix(f"{provider}/")
        if mode not in _NEEDED:
            found.left_out[f"{provider}/{model}"] = f"a model for {mode}"
            continue
        rates: dict[tuple[str, int], int] = {}
        for key, price in entry.items():
            above = _ABOVE.match(key)
            unit = _LITELLM.get(above[1] if above else key)
            if unit is None or price is None:
                continue
            micro = _micro(price, MILLION * PER.get(unit, MILLION), f"{name}/{key}", problems)
            rates[unit, int(above[2]) * 1000 if above else 0] = micro
        lacking = [unit for unit in _NEEDED[mode] if (unit, 0) not in rates]
        if lacking:
            found.left_out[f"{provider}/{model}"] = f"no price for {', '.join(lacking)}"
            continue
        for (unit, size), micro in rates.items():  # a model that the list has under two names: the dearer price
            key4 = (provider, model, unit, size)
            best[key4] = max(micro, best.get(key4, 0))
    found.prices = [FilePrice(provider=key[0], model=key[1], unit=key[2], above=key[3], micro=micro) for key, micro in best.items()]
    return found


def _genai(value: list[dict[str, Any]], problems: list[ProblemItem]) -> PriceFile:
    found = PriceFile(source="genai-prices")
    for of in value:
        provider = str(of.get("id"))
        for model in of["models"]:
            name = str(model.get("id"))
            dated = list(_dated(model.get("prices")))
            if not dated:
                found.left_out[f"{provider}/{name}"] = "no price"
                continue
            kept = len(found.prices)
            sizes: dict[str, set[int]] = {}
            for start, prices in dated:
                for key, price in prices.items():
                    if (unit := _GENAI.get(key)) is None:
                        continue
                    scale = 1000 if unit == "requests" else MILLION
                    tiers = {above: _micro(amount, scale, f"{provider}/{name}/{key}", problems) for above, amount in _tiers(price)}
                    ended = sizes.setdefault(unit, set()) - tiers.keys()  # a price for long calls that is no longer told: the plain one takes over
                    sizes[unit] |= tiers.keys() - {0}
                    for above, micro in {**dict.fromkeys(ended, tiers[0]), **tiers}.items():
                        found.prices.append(FilePrice(provider=provider, model=name, unit=unit, above=above, micro=micro, start=start))
            if len(found.prices) == kept:
                found.left_out[f"{provider}/{name}"] = "no price in a unit that the hub counts"
            elif "match" in model:
                found.rules.append((provider, name, model["match"]))
    return found


def _dated(prices: Any) -> Iterator[tuple[datetime | None, Mapping[str, Any]]]:
    """Yield prices with their begin. Those of some hours of the day are passed over: the price of the other hours then holds for all."""
    if isinstance(prices, dict):
        yield None, prices
    for one in prices if isinstance(prices, list) else ():
        limits = one.get("constraint")
        if limits is None:
            yield None, one["prices"]
        elif "start_date" in limits:
            yield datetime.fromisoformat(str(limits["start_date"])).replace(tzinfo=UTC), one["prices"]


def _tiers(price: Any) -> list[tuple[int, Any]]:
    if isinstance(price, dict):
        return [(0, price.get("base")), *((int(tier["start"]), tier.get("price")) for tier in price.get("tiers", ()))]
    return [(0, price)]


def _micro(price: Any, scale: int, place: str, problems: list[ProblemItem]) -> int:
    """Return dollars as whole micro-dollars of ``scale`` units, rounded up."""
    if not isinstance(price, Decimal):  # strings, booleans, NaN and Infinity
        problems.append(ProblemItem(detail="the price is no number", pointer=place[:200]))
        return 0
    micro = price * scale
    if price < 0 or micro > MAX_MICRO:
        problems.append(ProblemItem(detail=f"the price is {'negative' if price < 0 else 'above all that can be'}", pointer=place[:200]))
        return 0
    return int(micro.to_integral_value(ROUND_CEILING))


def _fits(rule: Any, name: str) -> bool:
    """Tell whether a rule of genai-prices fits a name; regular expressions are not tried, for nobody has bounded them."""
    if not isinstance(rule, dict) or len(rule) != 1:
        return False
    ((kind, wanted),) = rule.items()
    if kind in ("or", "and") and isinstance(wanted, list):
        return (any if kind == "or" else all)(_fits(one, name) for one in wanted)
    if not isinstance(wanted, str):
        return False
    wanted = wanted.lower()
    if kind == "equals":
        return name == wanted
    if kind == "contains":
        return wanted in name
    return name.startswith(wanted) if kind == "starts_with" else kind == "ends_with" and name.endswith(wanted)
