"""Failures of a provider's service as the six kinds. The service's own words stay outside: they may repeat a prompt or a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from luminai.contracts.ai import AIError, AIErrorKind
from luminai.contracts.errors import HubError

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for an answer that is not of the dialect."""
MAX_RETRY_AFTER: Final = 86_400.0
_KINDS: Final = {
    401: AIErrorKind.AUTH,
    402: AIErrorKind.QUOTA,
    403: AIErrorKind.AUTH,
    408: AIErrorKind.TIMEOUT,
    429: AIErrorKind.RATE,
    504: AIErrorKind.TIMEOUT,
}
_NAMED: Final = {
    "authentication_error": AIErrorKind.AUTH,
    "invalid_api_key": AIErrorKind.AUTH,
    "permission_denied": AIErrorKind.AUTH,
    "permission_error": AIErrorKind.AUTH,
    "unauthenticated": AIErrorKind.AUTH,
    "billing_error": AIErrorKind.QUOTA,
    "billing_hard_limit_reached": AIErrorKind.QUOTA,
    "insufficient_quota": AIErrorKind.QUOTA,
    "rate_limit_error": AIErrorKind.RATE,
    "rate_limit_exceeded": AIErrorKind.RATE,
    "resource_exhausted": AIErrorKind.RATE,
    "invalid_argument": AIErrorKind.INVALID,
    "invalid_request_error": AIErrorKind.INVALID,
    "not_found": AIErrorKind.INVALID,
    "not_found_error": AIErrorKind.INVALID,
    "request_too_large": AIErrorKind.INVALID,
    "deadline_exceeded": AIErrorKind.TIMEOUT,
    "timeout_error": AIErrorKind.TIMEOUT,
    "api_error": AIErrorKind.UPSTREAM,
    "overloaded_error": AIErrorKind.UPSTREAM,
    "server_error": AIErrorKind.UPSTREAM,
}
"""Names of errors of OpenAI, Anthropic and Google, in lower case; what they say goes before what the status says."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_DELAY: Final = re.compile(r"([0-9]{1,6}(\.[0-9]{1,9})?)s", re.ASCII)
_NO_CREDIT: Final = ("credit balance", "exceeded your current quota", "perday")
"""Spent quotas that some services call a rate or an invalid request. Only looked for, never repeated."""


class _Body(Struct):
    error: Any = None


def refused(status: int, headers: Mapping[str, str], body: bytes) -> AIError:
    """Return the error for an answer with a status of 400 or more, or with none that the dialect has a use for."""
    try:
        said = msgspec.json.decode(body, type=_Body).error
    except UNREADABLE:
        said = None
    return provider_error(said, status=status, retry_after=retry_after(headers))


def provider_error(error: Any, *, status: int = 0, retry_after: float | None = None) -> AIError:
    """Return the error for what a service calls ``error`` in its body, under whatever status.

    Args:
        error: A text, or an object with ``type``, ``code`` or ``status``.
        status: Of the answer; 0 for one that was said to be good: then the code is ``error-in-answer``.
    """
    given = error if isinstance(error, dict) else {}
    told = "" if status else "error-in-answer"
    names = [name for key in ("code", "type", "status") if isinstance(name := given.get(key), str) and _NAME.fullmatch(name)]
    if not status and isinstance(code := given.get("code"), int) and 400 <= code <= 599:
        status = code
    kind = next((_NAMED[name.lower()] for name in names if name.lower() in _NAMED), None) or _of_status(status)
    words = str(error).lower() if error is not None else ""
    if kind in (AIErrorKind.RATE, AIErrorKind.INVALID) and any(sign in words for sign in _NO_CREDIT):
        kind = AIErrorKind.QUOTA
    if retry_after is None and kind is AIErrorKind.RATE:
        retry_after = _delay(given)
    shown = f"status {status}" if status else "an error in place of an answer"
    return AIError(kind, f"the provider answered {shown}{f' ({names[0]})' if names else ''}", retry_after=retry_after, code=told)


def unreachable(error: HubError) -> AIError:
    """Return the error for a call that ``ctx.http`` could not make, or that gave no whole answer."""
    if error.status in (401, 403, 422):  # a key that cannot be read
        return AIError(AIErrorKind.AUTH, f"the key cannot be used ({error.code})")
    if error.code == "outbound-refused":
        return AIError(AIErrorKind.AUTH, f"{error.detail} {error.hint}".strip())
    if error.code == "outbound-timeout":
        return AIError(AIErrorKind.TIMEOUT, "the provider gave no answer in time")
    return AIError(AIErrorKind.UPSTREAM, f"{error.detail} ({error.code})", retry_after=error.retry_after)


def unreadable() -> AIError:
    """Return the error for an answer that is not of the dialect."""
    return AIError(AIErrorKind.UPSTREAM, "the provider answered something that cannot be read", code="unreadable")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the service asks to wait (RFC 9110, 10.2.3, and ``retry-after-ms``), at most a day; None when it says nothing."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text, re.ASCII):
            return min(float(text) / unit, MAX_RETRY_AFTER)
        if text and unit == 1.0:
            try:
                moment = parsedate_to_datetime(text)
            except ValueError:
                return None
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), MAX_RETRY_AFTER)
    return None


def _delay(error: dict[str, Any]) -> float | None:
    """Return Google's ``RetryInfo``, which it puts into the body."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and (match := _DELAY.fullmatch(str(detail.get("retryDelay")))):
            return min(float(match[1]), MAX_RETRY_AFTER)
    return None


def _of_status(status: int) -> AIErrorKind:
    if kind := _KINDS.get(status):
        return kind
    return AIErrorKind.INVALID if 400 <= status < 500 else AIErrorKind.UPSTREAM
