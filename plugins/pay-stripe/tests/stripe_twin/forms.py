"""Stripe's form encoding: ``metadata[key]=x&expand[0]=y`` as nested values."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from stripe_twin.errors import Refused


def parse(body: str) -> dict[str, Any]:
    """Return the parameters of a form or query."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body)):
        head, *rest = re.findall(r"[^\[\]]+", name)
        place, keys = found, [head, *rest]
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
    return found


def integer(params: dict[str, Any], name: str, default: int | None = None) -> int:
    """Return a whole number of the parameters, as Stripe reads it."""
    value = params.get(name)
    if value is None:
        if default is None:
            raise Refused(400, "parameter_missing", f"Missing required param: {name}.", param=name)
        return default
    if not re.fullmatch(r"-?[0-9]{1,15}", value):
        raise Refused(400, "parameter_invalid_integer", f"Invalid integer: {value}", param=name)
    return int(value)


def check(params: dict[str, Any], *allowed: str) -> None:
    """Refuse parameters that the endpoint does not know."""
    for name in params:
        if name not in (*allowed, "expand", "metadata"):
            raise Refused(400, "parameter_unknown", f"Received unknown parameter: {name}", param=name)
