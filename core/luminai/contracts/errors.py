"""The one error tree. Every error has a stable ``code``; HTTP, command line and screens show the same problem.

``HubError`` (500)
├── ``InvalidInput`` 400        the request or value is malformed
├── ``NotSignedIn`` 401         no credential, or one that does not hold
├── ``PaymentRequired`` 402     not enough credits; ``facts`` say what is needed and what is there
├── ``Forbidden`` 403           known actor, missing scope
├── ``NotFound`` 404            absent, or not visible to this actor: the two look the same
├── ``Conflict`` 409            the state of the thing does not allow it
├── ``TooLarge`` 413            body, text or list above its bound
├── ``Unprocessable`` 422       well-formed, but refused by a rule
├── ``RateLimited`` 429         quota or rate spent; ``retry_after`` says when it returns
├── ``Upstream`` 502            an outside system failed
├── ``Unavailable`` 503         this part of the hub is off, starting or overloaded
└── ``DeadlineExceeded`` 504    the work did not end in its time
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from luminai.contracts.patterns import as_said


class ProblemItem(Struct, frozen=True, omit_defaults=True):
    """One finding inside a problem: ``pointer`` is a JSON pointer or a dotted config key, ``line`` is 1-based."""

    detail: str
    pointer: str = ""
    code: str = ""
    hint: str = ""
    file: str = ""
    line: int = 0


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem document. ``code`` is stable and documented in ``docs/reference/errors.md``; text may change."""

    title: str
    status: int
    code: str
    type: str | UnsetType = UNSET
    detail: str = ""
    hint: str = ""
    instance: str = ""
    errors: tuple[ProblemItem, ...] = ()
    facts: dict[str, str | int] = {}
    plugin: str = ""
    state: str = ""
    phase: str = ""
    retry_after: float | UnsetType = UNSET


class HubError(Exception):
    """Base of every error that a person or a client is meant to read.

    Args:
        detail: What happened, in one sentence, free of secrets.
        code: Stable code; defaults to the class's. A plugin's own codes start with ``<plugin id>.``.
        hint: The next step for the reader.
        errors: Single findings, all of them at once.
        facts: Figures that a client may act upon, by name, such as ``needed`` and ``available``.
        plugin: Id of the plugin whose fault it is, if one is.
        retry_after: Seconds after which trying again makes sense.
    """

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str = "",
        hint: str = "",
        errors: Sequence[ProblemItem] = (),
        facts: Mapping[str, str | int] | None = None,
        plugin: str = "",
        state: str = "",
        phase: str = "",
        retry_after: float | None = None,
    ) -> None:
        detail = as_said(detail)
        super().__init__(detail or self.title)
        self.detail = detail
        self.code = code or self.default_code
        self.hint = as_said(hint)
        self.errors = tuple(replace(one, detail=as_said(one.detail), hint=as_said(one.hint)) for one in errors)
        self.facts = dict(facts or {})
        self.plugin = plugin
        self.state = state
        self.phase = phase
        self.retry_after = retry_after

    def problem(self, instance: str = "") -> Problem:
        """Return the problem document; ``instance`` is the request id or path it belongs to."""
        return Problem(
            title=self.title,
            status=self.status,
            code=self.code,
            detail=self.detail,
            hint=self.hint,
            instance=instance,
            errors=self.errors,
            facts=self.facts,
            plugin=self.plugin,
            state=self.state,
            phase=self.phase,
            retry_after=UNSET if self.retry_after is None else self.retry_after,
        )


class InvalidInput(HubError):
    status, default_code, title = 400, "invalid-input", "Invalid input"


class NotSignedIn(HubError):
    status, default_code, title = 401, "not-signed-in", "Not signed in"


class PaymentRequired(HubError):
    status, default_code, title = 402, "payment-required", "Not enough credits"


class Forbidden(HubError):
    status, default_code, title = 403, "forbidden", "Not allowed"


class NotFound(HubError):
    status, default_code, title = 404, "not-found", "Not found"


class Conflict(HubError):
    status, default_code, title = 409, "conflict", "Conflict"


class TooLarge(HubError):
    status, default_code, title = 413, "too-large", "Too large"


class Unprocessable(HubError):
    status, default_code, title = 422, "unprocessable", "Refused by a rule"


class RateLimited(HubError):
    status, default_code, title = 429, "rate-limited", "Too many requests"


class Upstream(HubError):
    status, default_code, title = 502, "upstream-failed", "An outside system failed"


class Unavailable(HubError):
    status, default_code, title = 503, "unavailable", "Not available now"


class DeadlineExceeded(HubError):
    status, default_code, title = 504, "deadline-exceeded", "Took too long"


class ConfigRejected(HubError):
    """Configuration that cannot be used; ``errors`` lists every problem with file and line."""

    status, default_code, title = 422, "config-invalid", "Configuration refused"


class NotReady(Exception):
    """Raised by a plugin's ``start`` when something it waits for is not there yet; the host tries again.

    Args:
        reason: What is awaited, in one sentence.
        retry_after: Seconds until the next try.
    """

    def __init__(self, reason: str, *, retry_after: float = 5.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
