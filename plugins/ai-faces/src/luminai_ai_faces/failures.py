"""Failures: each is a problem document (RFC 9457) and the vendor's own error at once, so that any client reads what it knows.

Sources: https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
https://cloud.google.com/apis/design/errors (the codes of google.rpc).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response

from luminai import PROBLEM_TYPE, DeadlineExceeded, End, EndState, HubError, Problem, Upstream, failure_of
from luminai_ai_faces.notes import usage_of

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_GOOGLE: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NOT_THERE: Final = frozenset({"ai-gateway.unknown-model", "ai-gateway.unknown-provider", "personas.unknown", "ai-faces.unknown-model"})
_BROKEN: Final = {
    EndState.CUT: ("ai-faces.cut", "The model's stream broke off."),
    EndState.STALLED: ("ai-faces.stalled", "The model fell silent."),
    EndState.CANCELLED: ("ai-faces.cancelled", "The reply was cancelled."),
    EndState.FAILED: ("ai-faces.failed", "The model failed."),
}
RETRY_HINT: Final = "What came is not the whole reply. Ask again."


def broken(end: End, text: str = "") -> HubError:
    """Return the failure that a reply without a good end is; never an invented ``stop``. ``text`` is what came of it, where nothing was sent yet."""
    code, detail = _BROKEN[end.state]
    kind = DeadlineExceeded if end.state is EndState.STALLED else Upstream
    usage = usage_of(end)
    facts: dict[str, str | int] = {"end_state": end.state, "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    if text:
        facts["text"] = text
    return kind(f"{detail[:-1]}: {end.reason}." if end.reason else detail, code=code, hint=RETRY_HINT, facts=facts)


def v1_failure(problem: Problem) -> dict[str, Any]:
    """Return the error of OpenAI's and of Anthropic's API: their shapes do not clash."""
    kind = _TYPES.get(problem.status) or ("invalid_request_error" if problem.status < 500 else "api_error")
    param = problem.errors[0].pointer.removeprefix("body").strip("/") if problem.errors else ""
    error = {"type": kind, "message": _message(problem), "param": param or None, "code": problem.code}
    return {"type": "error", "error": error, "request_id": problem.instance, **_members(problem)}


def gemini_failure(problem: Problem) -> dict[str, Any]:
    """Return the error of Google's APIs. The problem's own ``status`` is left out: Google's clients read it before the one in ``error``."""
    reason = problem.code.upper().replace("-", "_").replace(".", "_")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "luminai", "metadata": {"code": problem.code}}
    members = {name: value for name, value in _members(problem).items() if name != "status"}
    status = _GOOGLE.get(problem.status) or ("INVALID_ARGUMENT" if problem.status < 500 else "INTERNAL")
    return {"error": {"code": problem.status, "message": _message(problem), "status": status, "details": [info]}, **members}


def settled(problem: Problem) -> Problem:
    """Return a problem with the status that the vendors give it: what is not there is 404, what a rule refuses 400."""
    status = 404 if problem.code in _NOT_THERE else 400 if problem.status == 422 else problem.status
    return msgspec.structs.replace(problem, status=status)


def speaks_google(request: Request[Any, Any, Any]) -> bool:
    """Tell whether a request speaks Gemini's API: below /v1beta, or below /v1, where the others have their models."""
    path = request.scope["path"]
    is_model = path.startswith("/v1/models")
    return path.startswith("/v1beta") or (is_model and (request.method == "POST" or "x-goog-api-key" in request.headers))


def answer_failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer the exception of a route in the shape of the vendor whose API the request speaks."""
    problem, headers = failure_of(request, error)
    problem = settled(problem)
    if "end_state" in problem.facts:  # it was generated, and may have been paid for: no client should do so again unasked
        headers["X-Should-Retry"] = "false"
    content = gemini_failure(problem) if speaks_google(request) else v1_failure(problem)
    if "x-goog-api-client" not in request.headers:
        content["status"] = problem.status
    return Response(msgspec.json.encode(content), status_code=problem.status, media_type=PROBLEM_TYPE, headers=headers)


def _message(problem: Problem) -> str:
    found = "; ".join(f"{item.pointer}: {item.detail}".removeprefix(": ") for item in problem.errors[:3])
    return " ".join(part for part in (problem.detail or problem.title, found and f"({found})", problem.hint) if part)


def _members(problem: Problem) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(problem)
    return members
