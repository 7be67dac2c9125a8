"""Every problem of a body, not only the first one that its decoder meets. What a client sent is not repeated: it may be a password."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec

from luminai.contracts.errors import ProblemItem

LARGEST: Final = 8192
"""Bytes of a body that is looked through again: this is slower than decoding by far, and anybody may send it."""
MOST: Final = 20


def all_problems(kind: Any, body: bytes, first: ProblemItem) -> list[ProblemItem]:
    """Return what is wrong with a body, the decoder's own word first; only that where it is large, or of a type that has no schema."""
    if len(body) > LARGEST:
        return [first]
    try:
        validator = _validator(kind)
        given = msgspec.json.decode(body)
    except (TypeError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [first]
    found = [first, *_others(validator.iter_errors(given), first)]
    return list(islice({(item.pointer, item.detail): item for item in found}.values(), MOST))


@lru_cache(maxsize=512)
def _validator(kind: Any) -> Any:
    """Return what judges a type, made once: anybody may send what is refused, and as often as they like."""
    import jsonschema

    return jsonschema.Draft202012Validator(msgspec.json.schema(kind))


def _others(errors: Iterable[Any], first: ProblemItem) -> Iterator[ProblemItem]:
    for error in islice(errors, MOST):
        pointer = "body" + "".join(f"[{part}]" if isinstance(part, int) else f"/{str(part)[:100]}" for part in error.absolute_path)
        if error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            yield from (ProblemItem(detail=f"Object missing required field `{name}`", pointer=pointer) for name in missing)
        elif error.validator == "additionalProperties":
            unknown = [name for name in error.instance if name not in error.schema.get("properties", {})]
            yield from (ProblemItem(detail=f"Object contains unknown field `{name[:100]}`", pointer=pointer) for name in unknown)
        elif pointer != first.pointer:
            yield ProblemItem(detail=_said(error.validator, error.validator_value), pointer=pointer)


def _said(rule: str, value: Any) -> str:
    """Return what was expected."""
    if rule in ("anyOf", "oneOf"):
        return "Expected one of the shapes that the document names"
    return f"Expected `{rule}` {msgspec.json.encode(value).decode()[:200]}"
