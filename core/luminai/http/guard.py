"""Stands before every plugin handler: the credential, the route's policy, the body's type.

It is a ``before_request`` hook: a Litestar guard costs about 7 µs a request, a middleware brings a second exception handler, this costs about 1 µs.
It runs before the body is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import WebSocketException
from msgspec import Struct

from luminai.contracts.errors import Forbidden, HubError, NotSignedIn
from luminai.contracts.identity import POLICY_KEY, Actor, RoutePolicy, step_up
from luminai.data.causes import Cause, cause
from luminai.data.owners import NOBODY, Acting, acting
from luminai.http.hosts import Hosts
from luminai.http.idempotency import Idempotency
from luminai.http.inputs import FORM, JSON, check_form, check_parameters, check_type, media_type, reads
from luminai.http.json_shape import check_shape
from luminai.http.limits import Limits
from luminai.http.requests import UNSAFE, RequestState, state_of
from luminai.http.streams import OpenStream
from luminai.identity.tickets import Tickets, refused

if TYPE_CHECKING:
    from luminai.http.live import LiveStreams

Authenticate = Callable[[bytes], Awaitable[Actor]]
"""Turns the value of an Authorization header into an actor, or raises ``NotSignedIn``."""

_CAN_ANSWER: Final = "websocket.http.response"
"""ASGI extension: a handshake may be refused with an answer."""


class Gate(Struct, frozen=True, kw_only=True):
    """What the guard asks; the host lends it to every app.

    Attributes:
        hosts: The hub's own names: pages of other origins open no socket.
        denied: Told who was refused what, with the error's code, for the audit log.
    """

    authenticate: Authenticate
    hosts: Hosts
    limits: Limits
    idempotency: Idempotency
    tickets: Tickets
    live: LiveStreams
    denied: Callable[[Actor | None, str, str], None]

    async def enter(self, state: RequestState, handler: Any) -> RoutePolicy:
        """Find out who asks, and return the handler's policy, which allows it.

        Raises:
            NotSignedIn: the route wants a credential, or the one given does not hold.
            Forbidden: the actor may not, or the route has no policy.
            RateLimited: there were too many requests.
        """
        policy = declared(handler)
        if state.actor is None and (self.limits.is_on or state.authorization is not None or state.ticket):  # a known actor is this process itself
            await self._identify(state, handler, policy)
        self.admit(state, handler, policy)
        return policy

    async def _identify(self, state: RequestState, handler: Any, policy: RoutePolicy) -> None:
        if self.limits.is_on:
            await self.limits.count_address(state)
        if state.authorization is not None:
            state.actor = await self.authenticate(state.authorization)
        elif state.ticket:
            if not policy.stream and state.stream is None:
                raise refused()
            is_socket = state.stream is not None
            state.authorization = await self.tickets.redeem(state.ticket, path=state.path, origin=state.origin, is_socket=is_socket)
            state.actor = await self.authenticate(state.authorization)
        if self.limits.is_on:
            await self.limits.count(state, policy, handler)

    def admit(self, state: RequestState, handler: Any, policy: RoutePolicy) -> None:
        """Raise unless who asks may pass, and say in whose name the rest is done."""
        actor = state.actor
        if actor is not None or not policy.anonymous:
            try:
                allow(policy, actor)
            except Forbidden as refused:
                self.denied(actor, f"{state.method} {min(handler.paths)}", refused.code)
                raise
        acting.set(Acting(actor.subject, actor.organisation) if actor is not None else NOBODY)
        cause.set(Cause(state.request_id.decode()))


def declared(handler: Any) -> RoutePolicy:
    """Return a handler's policy.

    Raises:
        Forbidden: it has none (code ``no-policy``).
    """
    policy: RoutePolicy | None = handler.opt.get(POLICY_KEY)
    if policy is None:
        raise Forbidden("This route declares no policy.", code="no-policy")
    return policy


def guard(gate: Gate, allowed: Mapping[str, str]) -> Callable[[Request[Any, Any, Any]], Awaitable[Response[bytes] | None]]:
    """Return the hook that lets a request through to its handler only if the handler's policy allows it, and body and parameters are sane.

    It answers itself where the request was answered before under the same Idempotency-Key, and to OPTIONS, since Litestar names the methods of one
    handler only.

    Args:
        gate: What is asked.
        allowed: The methods of each path, as ``Allow`` states them.
    """

    async def guarded(request: Request[Any, Any, Any]) -> Response[bytes] | None:
        scope = request.scope
        handler = scope["route_handler"]
        method = scope["method"]
        if method == "OPTIONS" and POLICY_KEY not in handler.opt:
            return Response(b"", status_code=204, headers={"Allow": allowed[scope["path_template"]]})
        state = state_of(scope)
        policy = await gate.enter(state, handler)
        check_parameters(scope, handler)
        if method not in UNSAFE:
            if policy.stream:
                state.stream = OpenStream(state, is_socket=False)
                gate.live.admit(state.stream)
            return None
        if reads(handler):
            check_type(scope, handler)
            kind = media_type(handler)
            if kind == JSON:
                await check_shape(await request.body(), policy.max_text)
            elif kind == FORM:
                check_form(await request.body())
        if state.idempotency_key is not None and policy.keyed:
            return await gate.idempotency.begin(state, scope["path_template"], await request.body())
        return None

    return guarded


def socket_guard(gate: Gate) -> Callable[[ASGIConnection[Any, Any, Any, Any], Any], Awaitable[None]]:
    """Return the Litestar guard for sockets, which have no ``before_request``: the same policy, and pages of other origins are refused."""

    async def guarded(connection: ASGIConnection[Any, Any, Any, Any], handler: Any) -> None:
        if connection.scope["type"] != ScopeType.WEBSOCKET:
            return
        state = state_of(connection.scope)
        try:
            if state.origin is not None and not gate.hosts.is_own(state.origin):
                raise Forbidden("A page of another origin must not open this socket.", code="foreign-origin")
            await gate.enter(state, handler)
            gate.live.admit(state.stream)
        except HubError as error:
            if _CAN_ANSWER in (connection.scope.get("extensions") or ()):
                state.stream.refusal = error
            raise WebSocketException(detail=error.code, code=4000 + error.status) from error
        state.stream.policy = declared(handler)
        gate.live.add(state.stream)

    return guarded


def allow(policy: RoutePolicy, actor: Actor | None) -> None:
    """Raise unless the actor may pass.

    Raises:
        NotSignedIn: there is no actor.
        Forbidden: the actor lacks the scope (code ``missing-scope``).
    """
    if actor is None:
        raise NotSignedIn("This needs a credential.", hint="Send an API key as `Authorization: Bearer …`; `luminai keys create` makes one.")
    if policy.scope is not None and not actor.may(policy.scope):
        raise Forbidden(f"This needs the scope {policy.scope}.", code="missing-scope", hint="Use a key that has it.")
    if policy.step_up:
        step_up(actor)
