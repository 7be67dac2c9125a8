"""Why a try gave nothing, and what that means to whoever called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from luminai import (
    AIError,
    AIErrorKind,
    ChatRequest,
    DeadlineExceeded,
    End,
    EndState,
    HubError,
    RateLimited,
    Unavailable,
    Unprocessable,
    Upstream,
    WorkFailure,
)

PASSING: Final = frozenset({AIErrorKind.RATE, AIErrorKind.UPSTREAM, AIErrorKind.TIMEOUT})
BROKEN: Final = frozenset({EndState.CUT, EndState.STALLED, EndState.FAILED})
RESTING: Final = "breaker-open"
NOT_THERE: Final = "not-there"
MISMATCH: Final = "schema-mismatch"
UNCALLED: Final = "no-tool-called"
BAD_ANSWERS: Final = frozenset({MISMATCH, UNCALLED})
_LATE: Final = {EndState.STALLED: AIErrorKind.TIMEOUT}


class Failure(Struct, frozen=True, kw_only=True):
    """One try that gave nothing. ``code`` is finer than ``kind`` where that is known; ``reason`` never holds a prompt or a key."""

    kind: AIErrorKind
    code: str
    reason: str
    retry_after: float | None = None

    @property
    def is_passing(self) -> bool:
        """Whether another try of the same model may do better."""
        return self.kind in PASSING and self.code != NOT_THERE


class Exhausted(Exception):
    """Nothing is left to try. ``failures`` are in the order of the tries, at least one."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(failures[-1].reason)
        self.failures = failures

    @property
    def told(self) -> Failure:
        """The one that says most: the last that a provider itself gave, else that all rest, else that none is there."""
        answers = [one for one in self.failures if one.code not in (RESTING, NOT_THERE)]
        resting = [one for one in self.failures if one.code == RESTING]
        return (answers or resting or list(self.failures))[-1]


def failure_of(error: BaseException) -> Failure:
    """Return what an exception of a provider, or of its guard, means."""
    if isinstance(error, AIError):
        return Failure(kind=error.kind, code=error.code or str(error.kind), reason=str(error)[:300], retry_after=error.retry_after)
    if isinstance(error, HubError):
        return Failure(kind=AIErrorKind.UPSTREAM, code=error.code, reason=error.detail[:300], retry_after=error.retry_after)
    return Failure(kind=AIErrorKind.UPSTREAM, code="raised", reason=f"the provider raised {type(error).__name__}")


def failure_of_end(end: End) -> Failure:
    """Return what a broken end without any content means."""
    kind = _LATE.get(end.state, AIErrorKind.UPSTREAM)
    return Failure(kind=kind, code=end.code or str(end.state), reason=end.reason[:300] or f"the provider's stream ended as {end.state}")


def not_there(model: str, why: str = "is not there now") -> Failure:
    """Return the failure of a model that cannot be asked."""
    return Failure(kind=AIErrorKind.UPSTREAM, code=NOT_THERE, reason=f"{model} {why}")


def problem(exhausted: Exhausted) -> HubError:
    """Return what is told to whoever called."""
    told = exhausted.told
    tried = f" {len(exhausted.failures)} tries were made." if len(exhausted.failures) > 1 else ""
    again = min((one.retry_after for one in exhausted.failures if one.retry_after is not None), default=None)
    if told.code == NOT_THERE:
        hint = "The operator sees with `luminai plugins list` what is off."
        return Unavailable(f"No model of this name can be asked: {told.reason}.", code="ai-gateway.no-provider", hint=hint)
    if told.code == RESTING:
        hint = "It is tried again after that time."
        return Unavailable("Every provider of this model rests after failures.", code="ai-gateway.resting", hint=hint, retry_after=again)
    if told.kind in (AIErrorKind.RATE, AIErrorKind.QUOTA):
        detail = f"The provider has no room now: {told.reason}.{tried}"
        return RateLimited(detail, code=f"ai-gateway.provider-{told.kind}", hint="Try again later.", retry_after=again)
    if told.kind is AIErrorKind.TIMEOUT:
        hint = "Try again, or name another model."
        return DeadlineExceeded(f"The provider gave no answer in time: {told.reason}.{tried}", code="ai-gateway.provider-timeout", hint=hint)
    if told.kind is AIErrorKind.INVALID:
        hint = "See what the model allows, or name another one."
        return Unprocessable(f"The provider refuses the request: {told.reason}.{tried}", code="ai-gateway.refused", hint=hint)
    code = f"provider-{told.kind}" if told.code in (told.kind, "raised") else told.code
    hint = "The operator has to see to the key." if told.kind is AIErrorKind.AUTH else "Try again, or name another model."
    return Upstream(f"The provider failed: {told.reason}.{tried}", code=f"ai-gateway.{code}", hint=hint)


def ai_error(exhausted: Exhausted) -> AIError:
    """Return the same for those that call by the provider's contract."""
    told = exhausted.told
    return AIError(told.kind, told.reason, retry_after=told.retry_after, code=told.code)


def mismatched(wrong: Sequence[str]) -> Failure:
    """Return the failure of a reply that does not keep to its schema."""
    return Failure(kind=AIErrorKind.UPSTREAM, code=MISMATCH, reason=f"the reply does not keep to the schema: {'; '.join(wrong)[:250]}")


def uncalled(request: ChatRequest, state: EndState, *, calls_tools: bool) -> Failure | None:
    """Return the failure of a reply that came to its end without the call of a tool that it had to hold; None when nothing is wrong."""
    if request.tool_choice == "auto" or calls_tools or state is not EndState.FINISHED:
        return None
    return Failure(kind=AIErrorKind.UPSTREAM, code=UNCALLED, reason="the model was to call a tool, and called none")


def work_failure(failure: Failure) -> WorkFailure:
    """Return why paid work failed."""
    if failure.code in BAD_ANSWERS:
        return WorkFailure.INVALID_ANSWER
    return {AIErrorKind.TIMEOUT: WorkFailure.TIMEOUT, AIErrorKind.INVALID: WorkFailure.INVALID_INPUT}.get(failure.kind, WorkFailure.PROVIDER)
