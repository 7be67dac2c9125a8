"""Every failure leaves as an RFC 9457 problem with a stable code; nothing of a traceback reaches a client."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.exceptions import ValidationException as LitestarValidation
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from luminai.contracts.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    HubError,
    InvalidInput,
    NotFound,
    NotSignedIn,
    PaymentRequired,
    Problem,
    ProblemItem,
    RateLimited,
    TooLarge,
    Unavailable,
    Unprocessable,
    Upstream,
)
from luminai.http.requests import STATE_KEY, RequestState, state_of

PROBLEM_TYPE = "application/problem+json"
MAX_ITEMS = 50

_log = logging.getLogger("luminai.http")
_BY_STATUS: dict[int, type[HubError]] = {
    kind.status: kind
    for kind in (
        InvalidInput,
        NotSignedIn,
        PaymentRequired,
        Forbidden,
        NotFound,
        Conflict,
        TooLarge,
        Unprocessable,
        RateLimited,
        Upstream,
        Unavailable,
        DeadlineExceeded,
    )
}


class MethodNotAllowed(HubError):
    """The path exists, the method does not."""

    status, default_code, title = 405, "method-not-allowed", "Method not allowed"


class UnsupportedMediaType(HubError):
    """The body is of a type that this route does not read."""

    status, default_code, title = 415, "unsupported-media-type", "Unsupported content type"


def error_class(status: int) -> type[HubError]:
    """Return the error of an HTTP status."""
    known = {405: MethodNotAllowed, 415: UnsupportedMediaType} | _BY_STATUS
    return known.get(status, InvalidInput if 400 <= status < 500 else HubError)


def problem_of(error: Exception, instance: str = "") -> tuple[Problem, dict[str, str]]:
    """Return the problem document of any exception, and headers that belong to it."""
    headers: dict[str, str] = {}
    if isinstance(error, HubError):
        problem = error.problem(instance)
    elif isinstance(error, HTTPException):
        problem = _from_litestar(error, instance)
        if isinstance(error, MethodNotAllowedException):
            headers["Allow"] = allow_header(", ".join((error.headers or {}).values()).split(", "))
    elif isinstance(error, RecursionError) and _while_decoding(error):
        problem = InvalidInput("The body is nested too deeply.", code="too-deep").problem(instance)
    elif (isinstance(error, UnicodeDecodeError) or type(error) is LookupError) and _while_decoding(error):  # a part's charset
        problem = InvalidInput("The body cannot be read.", code="malformed-body", hint="Send text in UTF-8.").problem(instance)
    elif isinstance(error, msgspec.ValidationError):
        problem = InvalidInput(str(error)).problem(instance)
    else:
        problem = HubError(
            "Something went wrong in the hub.", hint="Try again; if it stays, give the operator the request id in `instance`."
        ).problem(instance)
    if isinstance(error, RateLimited | Unavailable) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="luminai"'
    return problem, headers


def allow_header(methods: Iterable[str]) -> str:
    """Return the value of ``Allow`` for these methods; what answers GET answers HEAD too."""
    return ", ".join(sorted({*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())}))


def _while_decoding(error: BaseException) -> bool:
    """Tell whether the framework raised it over the body; any other is the handler's own fault."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and str(frame.tb_frame.f_globals.get("__name__", "")).startswith(("litestar.", "msgspec"))


def _from_litestar(error: HTTPException, instance: str) -> Problem:
    if isinstance(error, NotFoundException):
        return NotFound("There is nothing at this path.", code="unknown-route", hint="GET /openapi.json lists every route.").problem(instance)
    if isinstance(error, MethodNotAllowedException):
        return MethodNotAllowed("This path does not take this method.", hint="The Allow header lists those it takes.").problem(instance)
    if error.status_code == 413:
        return TooLarge("The body is larger than this route takes.", code="body-too-large").problem(instance)
    if isinstance(error, LitestarValidation):
        return InvalidInput("The request does not have the expected shape.", errors=_items(error.extra)).problem(instance)
    if error.status_code == 400:
        return InvalidInput("The body cannot be read.", code="malformed-body", hint="Send JSON in UTF-8.").problem(instance)
    kind = error_class(error.status_code)
    return replace(kind(error.detail if error.status_code < 500 else "").problem(instance), status=error.status_code)


def _items(extra: Any) -> tuple[ProblemItem, ...]:
    if not isinstance(extra, list):
        return ()
    items = []
    for entry in extra[:MAX_ITEMS]:
        if isinstance(entry, dict):
            place = str(entry.get("source", "body"))
            place = place.partition(".")[2].lower() if "." in place else place
            key = str(entry.get("key", "")).replace(".", "/")
            items.append(ProblemItem(detail=str(entry.get("message", "")), pointer=f"{place}/{key}" if key else place))
    return tuple(items)


def failure_of(request: Request[Any, Any, Any], error: Exception) -> tuple[Problem, dict[str, str]]:
    """Return the problem of any exception that a handler raised, and the headers that belong to it; a fault of the hub is logged.

    For plugins that write failures in the shape of another API, in an exception handler of their own.
    """
    given: Any = request.scope.get(STATE_KEY)
    state: RequestState | None = given
    problem, headers = problem_of(error, state.request_id.decode() if state else "")
    if problem.status == 500 or (problem.status > 500 and not isinstance(error, HubError)):
        owner = state.owner if state else ""
        _log.error("request.failed", exc_info=error, extra={"plugin": owner, "path": request.scope["path"], "request_id": problem.instance})
    return problem, headers


def handle_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer any exception of a plugin's app (registered as its only exception handler)."""
    problem, headers = failure_of(request, error)
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=PROBLEM_TYPE, headers=headers)


async def send_problem(scope: Scope, receive: Receive, send: Send, error: HubError) -> None:  # noqa: ARG001 - ASGI's shape
    """Answer with a problem from outside any app; a socket that was not yet accepted gets it as the answer to its handshake."""
    problem, headers = problem_of(error, state_of(scope).request_id.decode())
    body = msgspec.json.encode(problem)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    prefix = "websocket." if scope["type"] == ScopeType.WEBSOCKET else ""
    messages: list[Any] = [
        {"type": f"{prefix}http.response.start", "status": problem.status, "headers": raw},
        {"type": f"{prefix}http.response.body", "body": b"" if scope.get("method") == "HEAD" else body, "more_body": False},
    ]
    for message in messages:
        await send(message)
