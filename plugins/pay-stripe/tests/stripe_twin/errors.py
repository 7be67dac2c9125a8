"""Refusals, in Stripe's shape. Source: https://docs.stripe.com/api/errors and /error-codes."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """Stripe says no; ``kept``: the answer belongs to the idempotency key, because the endpoint had begun."""

    def __init__(self, status: int, code: str, message: str, *, kind: str = "invalid_request_error", kept: bool = False, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kept = kept
        self.body = {"error": {"type": kind, "code": code, "message": message} | more}


def missing(what: str, ref: str, param: str = "id") -> Refused:
    """Return the refusal of an object that is not there."""
    status = 404 if param == "id" else 400
    return Refused(status, "resource_missing", f"No such {what}: '{ref}'", param=param)
