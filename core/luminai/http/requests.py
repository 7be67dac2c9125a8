"""What the edge knows of a request, and how handlers read it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import Actor

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection

    from luminai.http.streams import OpenStream

STATE_KEY = "luminai"


class RequestState:
    """Lives in the ASGI scope for one request; the edge makes it, the guard fills in the actor, the access log takes it as its line.

    ``began`` and ``ended`` are seconds of the performance counter, ``request_id`` is ASCII as the header carries it.
    """

    __slots__ = ("actor", "authorization", "began", "client", "ended", "extra", "method", "owner", "path", "request_id", "status", "stream")

    def __init__(self, request_id: bytes, method: str, path: str, client: str, authorization: bytes | None) -> None:
        self.began = perf_counter()
        self.ended = self.began
        self.request_id = request_id
        self.method = method
        self.path = path
        self.client = client
        self.authorization = authorization
        self.actor: Actor | None = None
        self.owner = "core"
        self.status = 0
        self.stream: OpenStream | None = None
        self.extra: dict[str, Any] | None = None


def state_of(scope: Any) -> RequestState:
    """Return the edge's state of a request."""
    state: RequestState = scope[STATE_KEY]
    return state


def actor_of(request: ASGIConnection[Any, Any, Any, Any]) -> Actor | None:
    """Return who makes this request, None for an anonymous one (only on routes whose policy allows it)."""
    return state_of(request.scope).actor


def signed_in(request: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    """Return who makes this request.

    Raises:
        NotSignedIn: the request is anonymous.
    """
    actor = state_of(request.scope).actor
    if actor is None:
        raise NotSignedIn("This needs a credential.", hint="Send an API key as `Authorization: Bearer …`.")
    return actor


def client_address(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the address that the request came from: the socket's peer, or what a configured proxy reported."""
    return state_of(request.scope).client


def request_id(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the request's id, as answered in ``X-Request-Id``."""
    return state_of(request.scope).request_id.decode()


def log_field(request: ASGIConnection[Any, Any, Any, Any], name: str, value: Any) -> None:
    """Add a field to the request's one line in the access log, e.g. ``R``."""
    state = state_of(request.scope)
    state.extra = {**(state.extra or {}), name: value}
