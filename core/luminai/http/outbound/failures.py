"""The four ways in which a call fails. Texts name the host at most: paths, queries and addresses may be secrets."""

from __future__ import annotations

from luminai.contracts.errors import DeadlineExceeded, Upstream


def refused(detail: str, hint: str = "") -> Upstream:
    """Return the error for a call that is not made."""
    return Upstream(detail, code="outbound-refused", hint=hint)


def too_large(detail: str) -> Upstream:
    """Return the error for an answer beyond its bound."""
    return Upstream(detail, code="outbound-too-large", hint="Ask for less, or raise max_bytes of the call.")


def timed_out(detail: str) -> DeadlineExceeded:
    """Return the error for a call that took too long."""
    return DeadlineExceeded(detail, code="outbound-timeout", hint="Whether the service acted on the request is not known.")


def failed(detail: str, hint: str = "") -> Upstream:
    """Return the error for a call without a valid answer."""
    return Upstream(detail, code="outbound-failed", hint=hint)
