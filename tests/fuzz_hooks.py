"""What schemathesis checks besides its own: loaded by it through SCHEMATHESIS_HOOKS."""

import re
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
