"""What schemathesis checks besides its own: loaded by it through SCHEMATHESIS_HOOKS."""

import os
import re
from collections import Counter
from typing import Any

import schemathesis

SHAPE = frozenset(
    {
        "bad-number",
        "bad-text",
        "bad-time",
        "duplicate-parameter",
        "invalid-input",
        "malformed-body",
        "too-deep",
        "too-large-inside",
        "unsupported-media-type",
    }
)
"""Codes that refuse the shape of a request."""
INSIDE = re.compile(r"Traceback|\.py\b|sqlalchemy|site-packages")
FIRST, REFUSED, EVERY = (int(os.environ.get(f"FUZZ_{name}", "0")) for name in ("FIRST", "REFUSED", "EVERY"))
"""Of the coverage phase's cases, of each operation, fitting and breaking, the first so many are sent (``REFUSED`` many where only a credential lets
them in), and then every so manieth. Without ``EVERY`` all are."""
WIDEST = 16 * 2**20
"""Characters of the widest body that breaks a list's bound. Wider ones take seconds to write, and what is refused is their size."""


@schemathesis.hook
def before_load_schema(ctx: Any, raw_schema: dict[str, Any]) -> None:
    """Take the bound off a list that only a body beyond ``WIDEST`` breaks: of long texts, of further lists, of anything."""
    named = raw_schema["components"]["schemas"]
    widths: dict[str, int] = {}

    def width(schema: Any) -> int:
        if isinstance(schema, list):
            return max((width(one) for one in schema), default=1)
        if not isinstance(schema, dict):
            return 1
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name not in widths:
                widths[name] = WIDEST  # what holds itself has no end
                widths[name] = width(named[name])
            return widths[name]
        within = max((width(one) for one in schema.values()), default=1)
        if schema.get("type") == "string":
            return int(schema.get("maxLength", 1))
        if schema.get("type") != "array" or "maxItems" not in schema:
            return within
        if within * schema["maxItems"] > WIDEST:
            del schema["maxItems"]
            return within
        return within * int(schema["maxItems"])

    for name in named:
        width({"$ref": f"#/components/schemas/{name}"})


_drawn: Counter[tuple[str, str]] = Counter()


@schemathesis.hook
def filter_case(ctx: Any, case: Any) -> bool:
    """Thin out the thousands of cases of the coverage phase that differ in a member of a member of a body."""
    if not EVERY or case.meta is None or case.meta.phase.name.value != "coverage":
        return True
    name = (case.operation.label, case.meta.generation.mode.value)
    _drawn[name] += 1
    first = FIRST if {} in case.operation.definition.raw["security"] else REFUSED
    return _drawn[name] <= first or _drawn[name] % EVERY == 0


_named: Counter[str] = Counter()
BEYOND_OFFLINE = ("response_format", "output_config", "text", "tools", "tool_choice", "n", "size")
"""What the hub's own models cannot do: that is refused, or fails, with good reason."""


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Have every other call to a model name one that is there: a name that is drawn never is, so that nothing would be generated."""
    path, body = case.operation.path, case.body
    is_gemini = path.endswith("/models/{model}")
    fits = case.meta is not None and case.meta.generation.mode.is_positive
    if not fits or not isinstance(body, dict) or not (is_gemini or isinstance(body.get("model"), str)):
        return
    _named[case.operation.label] += 1
    if _named[case.operation.label] % 2:
        return
    if is_gemini:  # what its methods take stands in no document: they share one address
        case.path_parameters = {**case.path_parameters, "model": "offline/quote:generateContent"}
        case.body = {**body, "contents": [{"parts": [{"text": "What is a generation?"}]}]}
    else:  # a body of its own: other cases are made of parts of this one
        kept = {name: value for name, value in body.items() if name not in BEYOND_OFFLINE}
        case.body = {**kept, **({"model": "offline/pattern", "prompt": "A dot."} if "image" in path else {"model": "offline/quote"})}


@schemathesis.check
def refused_by_shape(ctx: Any, response: Any, case: Any) -> None:
    """What fits its schema may be refused by a rule, never for its shape."""
    if case.meta is not None and case.meta.generation.mode.is_positive and response.status_code in (400, 415):
        code = response.json()["code"]
        is_raw = "requestBody" not in case.operation.definition.raw  # reports of browsers, webhooks: the body has no schema
        errors = response.json().get("errors", [])
        if errors and all(one["detail"].startswith("Invalid RFC3339") for one in errors):
            return  # a format only annotates: "" is a date-time to JSON Schema
        assert code not in SHAPE or (is_raw and code == "malformed-body"), f"{code}: what the document allows is refused"


@schemathesis.check
def is_a_problem(ctx: Any, response: Any, case: Any) -> None:
    """Every failure is a problem document that tells nothing of the inside."""
    if response.status_code >= 400 and case.method != "HEAD":
        assert response.headers["content-type"] == ["application/problem+json"], "no problem document"
        problem = response.json()
        assert problem["code"], "no code"
        assert problem["status"] == response.status_code, "another status inside"
        assert not INSIDE.search(response.text), "it tells of the inside"
