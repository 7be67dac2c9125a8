"""JSON Schemas that callers bring: judged before they are used, and used with bounds, for their authors may be anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from luminai import ProblemItem

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 32
MAX_PARTS: Final = 500
MAX_STEPS: Final = 20_000
"""References that one check may follow: a short schema of nested references can ask for more than anybody has time for."""
MAX_FOUND: Final = 20
_FENCE: Final = "```"


class TooMuch(Exception):
    """A schema asks for more than a check may do."""


def schema_problems(schema: dict[str, Any]) -> tuple[ProblemItem, ...]:
    """Return what is wrong with a schema as such; nothing when it can be used.

    It must be one of Draft 2020-12, within the bounds above, and stand for itself: what it refers to elsewhere is never fetched.
    """
    try:
        return _problems(msgspec.json.encode(schema, order="sorted"))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return (ProblemItem(detail="it is no JSON object"),)


@lru_cache(maxsize=512)
def _problems(raw: bytes) -> tuple[ProblemItem, ...]:
    from jsonschema import Draft202012Validator

    if len(raw) > MAX_BYTES:
        return (ProblemItem(detail=f"it has {len(raw)} bytes, at most {MAX_BYTES} are allowed"),)
    schema = msgspec.json.decode(raw)
    bounds = _bounds(schema)
    if bounds:
        return (ProblemItem(detail=bounds),)
    found = sorted(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema), key=lambda error: [str(part) for part in error.path])
    return tuple(
        ProblemItem(detail=error.message[:200], pointer="/" + "/".join(str(part) for part in error.absolute_path)) for error in found[:MAX_FOUND]
    )


def _bounds(schema: Any) -> str:
    count, level = 0, [schema]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                count += 1
                reference = part.get("$ref")
                if isinstance(reference, str) and not reference.startswith("#"):
                    return f"it refers to {reference[:100]}, which is never fetched"
                inner += part.values()
            elif isinstance(part, list):
                inner += part
        if count > MAX_PARTS:
            return f"it has more than {MAX_PARTS} parts"
        level = inner
        if not level:
            return ""
    return f"it is deeper than {MAX_DEPTH} levels"


def is_judged_whole(schema: dict[str, Any]) -> bool:
    """Tell whether ``mismatch`` looks at all of it: not at patterns, which somebody may have made to run for ever."""
    raw = msgspec.json.encode(schema)
    return b'"pattern"' not in raw and b'"patternProperties"' not in raw


def json_of(text: str) -> str:
    """Return the JSON in a reply: all of it, or what stands between its fences."""
    inner = text.strip()
    if inner.startswith(_FENCE) and inner.endswith(_FENCE) and len(inner) > 2 * len(_FENCE):
        return inner[len(_FENCE) : -len(_FENCE)].removeprefix("json").strip()
    return inner


def mismatch(schema: dict[str, Any], text: str) -> tuple[str, ...]:
    """Return how a reply breaks a schema, in the words of JSON Schema; nothing when it keeps to it."""
    try:
        document = json.loads(json_of(text), parse_constant=_no_number)
    except (ValueError, RecursionError):
        return ("the reply is no JSON document",)
    try:
        return tuple(found.message[:200] for found, _ in zip(_errors(schema, document), range(MAX_FOUND), strict=False))
    except TooMuch:
        return ("the schema asks for more than can be checked",)
    except RecursionError:
        return ("the reply or the schema is nested too deeply to be checked",)


def _no_number(word: str) -> Any:
    raise ValueError(word)


def _errors(schema: dict[str, Any], document: Any) -> Iterator[Any]:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    steps = 0
    follow = Draft202012Validator.VALIDATORS["$ref"]

    def counted(validator: Any, reference: Any, instance: Any, part: Any) -> Iterator[Any]:
        nonlocal steps
        steps += 1
        if steps > MAX_STEPS:
            raise TooMuch
        yield from follow(validator, reference, instance, part) or ()

    def unjudged(*_: Any) -> Iterator[Any]:
        yield from ()

    checker = extend(Draft202012Validator, {"$ref": counted, "pattern": unjudged, "patternProperties": unjudged})
    try:
        yield from checker(schema, registry=Registry()).iter_errors(document)
    except Unresolvable as error:
        raise TooMuch from error
