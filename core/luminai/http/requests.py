"""What the edge knows of a request, and how handlers read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from luminai.contracts.errors import NotSignedIn
from luminai.contracts.identity import Actor

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection

STATE_KEY: Final = "luminai"
UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods of requests that may change something."""
HEAD: Final = "luminai.head"
"""ASGI extension: an answer's start may carry header lines under this name, checked and ready to be written."""
EXTENSIONS: Final[Mapping[str, Any]] = {HEAD: {}}


class CutAnswer(RuntimeError):
    """An answer failed after it had begun, so all that is left is to close; the failure is in the log already."""


class RequestState(Struct, eq=False):
    """Lives in the ASGI scope for one request; the edge makes it, the guard fills in the actor, the access log takes it as its line.

    ``began`` and ``ended`` are seconds of the performance counter, ``request_id`` is ASCII as the header carries it, ``headers`` go into the answer.
    ``ticket`` stood in the address instead of a credential.
    A Struct, for it is made in C.
    """

    request_id: bytes
    method: str
    path: str
    client: str
    authorization: bytes | None = None
    origin: bytes | None = None
    ticket: str = ""
    idempotency_key: bytes | None = None
    began: float = field(default_factory=perf_counter)
    ended: float = 0.0
    actor: Actor | None = None
    owner: str = "core"
    status: int = 0
    stream: Any = None
    keyed: Any = None
    compressed: Any = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    extra: dict[str, Any] | None = None


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
