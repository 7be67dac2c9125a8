"""Makes an import of a file: what is chosen of it, under the hub's names, for the models that the hub offers too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luminai_ai_gateway.price_files import FilePrice, names_for, read_price_file


def price_ask(
    data: bytes, *, only: Sequence[str], names: Mapping[str, str], offered: Sequence[str], with_free: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the body of an import, and what was left out of the file with why.

    Args:
        only: Providers of the file; empty for all.
        names: What the hub calls a provider of the file.
        offered: Models of the hub as ``<provider>/<model>``: those that a rule of the file covers under another name get its prices.
        with_free: Take prices of 0.

    Raises:
        InvalidInput: as ``read_price_file``.
    """
    file = read_price_file(data)
    left_out = {name: why for name, why in file.left_out.items() if not only or name.partition("/")[0] in only}
    models: dict[tuple[str, str], list[FilePrice]] = {}
    for price in file.prices:
        if not only or price.provider in only:
            models.setdefault((price.provider, price.model), []).append(price)
    for (provider, model), found in list(models.items()):
        if not with_free and all(
            price.micro == 0 for price in found if price.unit in ("input_tokens", "output_tokens", "images", "characters", "requests")
        ):
            left_out[f"{provider}/{model}"] = "free, as the list says (--with-free takes it)"
            del models[provider, model]
    for full in offered:
        ours, _, model = full.partition("/")
        for theirs in [theirs for theirs in {provider for provider, _ in models} if names.get(theirs, theirs) == ours]:
            known = names_for(file, theirs, model)
            if known is not None and known != model and (theirs, known) in models:
                models[theirs, model] = models[theirs, known]
    asked = [
        {"provider": names.get(provider, provider), "model": model, "prices": [_price(one) for one in found]}
        for (provider, model), found in models.items()
    ]
    return {"source": file.source, "models": asked}, left_out


def _price(one: FilePrice) -> dict[str, Any]:
    price: dict[str, Any] = {"unit": one.unit, "micro": one.micro}
    if one.above:
        price["above"] = one.above
    if one.start is not None:
        price["start"] = one.start.isoformat()
    return price
