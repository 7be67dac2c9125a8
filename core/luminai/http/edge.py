"""The outermost ASGI layer: request id, first look, dispatch by prefix, security headers, last-resort errors, access line.

It sees every request, 404 and 405 included, which middleware inside an app does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.types import Message, Receive, Send

from luminai.config.settings import Settings
from luminai.contracts.errors import HubError, Unavailable
from luminai.contracts.identity import Actor
from luminai.http.client_address import client_address
from luminai.http.compression import compressed
from luminai.http.hosts import Hosts, Origins
from luminai.http.live import LiveStreams
from luminai.http.problems import send_problem
from luminai.http.requests import HEAD, STATE_KEY, UNSAFE, CutAnswer, RequestState
from luminai.http.screen import screen
from luminai.http.shedding import LANE, LaneOnly, Shedding
from luminai.http.streams import OpenStream, socket_sender
from luminai.http.table import AppEntry, Entry, PrefixTable
from luminai.telemetry.access import AccessLog
from luminai.telemetry.spans import SpanPlace, current, read_header
from luminai.telemetry.trace import Tracer

_log = logging.getLogger("luminai.http")
SPANS: Final = "luminai.spans"
_PREFLIGHT: Final = b"access-control-request-method"


class Edge:
    """The application that the server runs. ``table`` is swapped by one assignment when a new generation takes over.

    Args:
        table: Prefixes of the serving generation. A request stays on the table that it began on.
        settings: Hosts, origins, proxies and bounds.
        access_log: Where the line of each request goes; None for none.
        lifespan: ``async (receive, send)`` that answers the server's lifespan messages.
        tracer: Counts each request, and tells it while somebody listens.
        live: Looks after streams and sockets.
    """

    def __init__(
        self,
        table: PrefixTable,
        *,
        settings: Settings,
        access_log: AccessLog | None,
        lifespan: Callable[..., Any],
        tracer: Tracer,
        live: LiveStreams,
    ) -> None:
        server = settings.server
        self.live = live
        self.table = table
        is_https = bool(server.tls_certificate) or server.public_url.startswith("https://")
        self.hosts = Hosts([*server.hosts, server.public_url], bound=server.host, is_https=is_https)
        self._origins = Origins(server.cors_origins)
        self._proxies = server.proxies
        self._shedding = Shedding(settings.connections.requests) if "web" in settings.hub.roles else LaneOnly()
        self._access_log = access_log
        self._lifespan = lifespan
        self._tracer = tracer
        self._figures = tracer.figures.requests
        self.trail: Callable[[Actor, str, int], None] | None = None
        """Told who asked what, and the status, of each answered request that may have changed something; None while no trail is kept."""
        self._prefix = os.urandom(5).hex().encode()
        self._count = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        table = self.table
        state = self._state(scope)
        entry = table.find(state.path)
        state.owner = entry.owner
        refusal = screen(scope, state, self.hosts) or self._shedding.refusal(state) or _why_not(entry, state.path)
        if kind == "http":
            send = self._sender(scope, state, table, send, is_ready_made=HEAD in scope.get("extensions", ()))
        else:
            send = self._socket_sender(scope, state, table, receive, send)
        self._enter(scope, state, table)
        try:
            if refusal is not None:
                await send_problem(scope, receive, send, refusal)
            elif self._origins and state.origin is not None and _is_preflight(scope):
                await _answer_preflight(self._origins.preflight(state.origin), send)
            elif isinstance(entry, AppEntry):
                self._shedding.enter(state)
                scope["litestar_app"] = entry.app
                await entry.answer(scope, receive, send)
                if kind != "http":
                    await state.stream.say_last()  # its handler may have taken the interruption for its own
        except asyncio.CancelledError:
            if state.stream is None or state.stream.ending is None:
                raise
            await state.stream.leave()
        except BaseException as error:  # noqa: BLE001 - a plugin's exit must not end the hub
            if state.stream is not None:
                await state.stream.say_last()
            await _crashed(error, scope, state, receive, send)
        finally:
            self._leave(scope, state, table, entry if refusal is None else None)

    def send_away(self) -> None:
        """Tell every open stream and socket to connect again: this process stops."""
        self.table.tell_to_reconnect(frozenset(stream.owner for stream in self.table.streams))
        self.live.send_away()

    def _leave(self, scope: Any, state: RequestState, table: PrefixTable, entry: Entry | None) -> None:
        """Count a request as done; ``entry`` is whose app answered it."""
        state.ended = time.perf_counter()
        if state.stream is None or not state.stream.is_shared:
            table.leave()
        self._shedding.leave(state)
        if isinstance(entry, AppEntry):
            entry.note(state.status, state.ended - state.began)
        if state.keyed is not None:
            state.keyed.end()
        if state.stream is not None:
            table.streams.discard(state.stream)
            self.live.leave(state.stream)
        route = scope.get("path_template", "")
        self._figures.note(state.owner, state.method, route, state.status, state.ended - state.began, is_stream=state.stream is not None)
        if self._tracer.is_on:
            self._tracer.tell(state.owner, f"request {state.method} {state.path} {state.status}", state.ended - state.began)
            if (places := scope.get(SPANS)) is not None:
                self._end_span(state, route, *places)
        if self.trail is not None and state.actor is not None and state.method in UNSAFE:
            self.trail(state.actor, f"{state.method} {state.path}", state.status)
        if self._access_log is not None:
            self._access_log.write(state)

    def _enter(self, scope: Any, state: RequestState, table: PrefixTable) -> None:
        """Count a request as begun; where spans are taken, begin its own, below the caller's if it sent one."""
        table.inflight += 1
        if not self._tracer.sinks:
            return
        sent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        parent = read_header(sent)
        place = self._tracer.begin_span(state.owner, parent)
        scope[SPANS] = (place, parent)
        current.set(place)

    def _end_span(self, state: RequestState, route: str, place: SpanPlace, parent: SpanPlace | None) -> None:
        self._tracer.end_span(
            place,
            parent,
            f"{state.method} {route}".rstrip(),
            state.owner,
            state.ended - state.began,
            kind="server",
            error=str(state.status) if state.status >= 500 else "",
            attributes={
                "http.request.method": state.method,
                "http.route": route,
                "http.response.status_code": state.status,
                "luminai.request_id": state.request_id.decode(),
            },
        )

    def _state(self, scope: Any) -> RequestState:
        self._count += 1
        method = scope.get("method", "WS")
        state = RequestState(b"req_%b%08x" % (self._prefix, self._count), method, scope["path"], client_address(scope, self._proxies))
        given: RequestState | None = scope.get(STATE_KEY)
        if given is not None:  # a request made inside this process by its own trusted caller
            state.actor = given.actor
        scope[STATE_KEY] = state
        if method == "HEAD":
            scope["method"] = "GET"
        return state

    def _opened(self, scope: Any, state: RequestState, table: PrefixTable, send: Send, *, is_socket: bool = False) -> None:
        if state.stream is None:
            state.stream = OpenStream(state, is_socket=is_socket)
        state.stream.opens(send, scope, table.let_go)
        table.streams.add(state.stream)

    def _socket_sender(self, scope: Any, state: RequestState, table: PrefixTable, receive: Receive, send: Send) -> Send:
        """Return a socket's ``send``; once it is accepted, it is no request that is worked on."""
        self._opened(scope, state, table, send, is_socket=True)
        return socket_sender(state.stream, send, lambda: self._shedding.leave(state), lambda error: send_problem(scope, receive, send, error))

    def _sender(self, scope: Any, state: RequestState, table: PrefixTable, send: Send, *, is_ready_made: bool) -> Send:
        """Return ``send`` with the hub's headers, compressed where that is wanted, and without the body of an answer to HEAD.

        It is a plain function that hands on ``send``'s awaitable: a coroutine of its own would cost every message a frame.
        With ``is_ready_made`` the server takes header lines as bytes; another server gets each header by itself.
        """

        def sender(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                self._begin_answer(scope, state, table, send, message, is_ready_made=is_ready_made)
                state.compressed = compressed(scope, state, message)
                return _held() if state.compressed is not None else send(message)
            if state.compressed is not None:
                packed: Awaitable[None] = state.compressed.pass_on(message, send)
                return packed
            if state.keyed is not None:
                passed: Awaitable[None] = state.keyed.pass_on(message, send)
                return passed
            if state.method == "HEAD":
                message = {**message, "body": b""}  # type: ignore[assignment]
            return send(message)

        return sender

    def _begin_answer(self, scope: Any, state: RequestState, table: PrefixTable, send: Send, message: Any, *, is_ready_made: bool) -> None:
        """Note the status and what kind of answer it is, and put the hub's headers in."""
        state.status = message["status"]
        is_strict = True
        given = message.get("headers", ())
        if state.keyed is not None:
            state.keyed.starts(state.status, given)
        for name, value in given:
            if name == b"content-security-policy":
                is_strict = False
            elif name == b"content-type" and value.startswith(b"text/event-stream"):
                self._opened(scope, state, table, send)
                self.live.add(state.stream)
                self._shedding.leave(state)
        more = state.headers
        if self._origins and state.origin is not None:
            more = [*more, *self._origins.headers(state.origin)]
        if is_ready_made:
            lines = b"".join([b"%b: %b\r\n" % header for header in more])  # the hub's own numbers, and an origin that the parser read
            head = table.strict_head if is_strict else table.head
            message[HEAD] = b"%b%b%b\r\n" % (lines, head, state.request_id)
        else:
            own = table.strict_headers if is_strict else table.headers
            message["headers"] = [*given, *more, *own, (b"x-request-id", state.request_id)]


async def _held() -> None:
    """The start waits for its body."""


def _is_preflight(scope: Any) -> bool:
    return scope.get("method") == "OPTIONS" and any(name == _PREFLIGHT for name, _ in scope["headers"])


async def _answer_preflight(headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _crashed(error: BaseException, scope: Any, state: RequestState, receive: Receive, send: Send) -> None:
    """Answer for an app that raised through; what has begun can only be cut."""
    _log.exception("request.crashed", extra={"plugin": state.owner, "path": state.path, "request_id": state.request_id.decode()}, exc_info=error)
    if state.status or scope["type"] != "http":
        raise CutAnswer(f"plugin code raised {type(error).__name__}") from error
    await send_problem(scope, receive, send, HubError("Something went wrong in the hub."))


def _why_not(entry: Entry, path: str) -> HubError | None:
    """Return why nothing can answer, None when an app can. What operators need to see and repair is asked whatever the breaker says."""
    if not isinstance(entry, AppEntry):
        return entry.error
    if not entry.breaker.is_open or path.startswith(LANE) or entry.breaker.allows():
        return None
    detail = f"Plugin {entry.owner} failed too often; its routes rest."
    return Unavailable(detail, code="breaker-open", hint="Try again later.", retry_after=entry.breaker.retry_after, plugin=entry.owner)
