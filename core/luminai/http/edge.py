"""The outermost ASGI layer: request id, dispatch by prefix, security headers, last-resort errors, access line.

It sees every request, 404 and 405 included, which middleware inside an app does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import Message, Receive, Send

from luminai.contracts.errors import HubError, Unavailable
from luminai.http.problems import send_problem
from luminai.http.requests import STATE_KEY, RequestState
from luminai.http.streams import OpenStream
from luminai.http.table import AppEntry, PrefixTable
from luminai.telemetry.access import AccessLog
from luminai.telemetry.trace import Tracer

_log = logging.getLogger("luminai.http")


class Edge:
    """The application that the server runs. ``table`` is swapped by one assignment when a new generation takes over.

    Args:
        table: Prefixes of the serving generation. A request stays on the table that it began on.
        access_log: Where the line of each request goes; None for none.
        lifespan: ``async (receive, send)`` that answers the server's lifespan messages.
        tracer: Told each request while somebody listens.
    """

    def __init__(self, table: PrefixTable, *, access_log: AccessLog | None, lifespan: Callable[..., Any], tracer: Tracer) -> None:
        self.table = table
        self._access_log = access_log
        self._lifespan = lifespan
        self._tracer = tracer
        self._prefix = os.urandom(5).hex().encode()
        self._count = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        table = self.table
        state = scope[STATE_KEY] = self._state(scope)
        entry = table.find(state.path)
        state.owner = entry.owner
        if kind == "http":
            sender = self._sender(state, table, send)
        else:
            sender = send
            state.stream = OpenStream(state.owner, send, is_socket=True)
            table.streams.add(state.stream)
        table.inflight += 1
        try:
            if not isinstance(entry, AppEntry):
                await send_problem(scope, receive, sender, entry.error)
            elif entry.breaker.is_open and not entry.breaker.allows():
                await send_problem(scope, receive, sender, _broken(entry))
            else:
                await self._serve(entry, state, scope, receive, sender)
        finally:
            table.leave()
            if state.stream is not None:
                table.streams.discard(state.stream)
            if self._access_log is not None:
                self._access_log.write(state)

    async def _serve(self, entry: AppEntry, state: RequestState, scope: Any, receive: Receive, sender: Send) -> None:
        try:
            await entry.app(scope, receive, sender)
        except asyncio.CancelledError:
            if state.stream is None or not state.stream.is_told:
                raise
            await state.stream.say_reconnect()
        except BaseException as error:
            _log.exception("request.crashed", extra={"plugin": entry.owner, "path": state.path})
            if state.status or scope["type"] != "http":
                if isinstance(error, Exception):
                    raise
                raise RuntimeError(f"plugin code raised {type(error).__name__}") from error
            await send_problem(scope, receive, sender, HubError("Something went wrong in the hub."))
        finally:
            state.ended = time.perf_counter()
            entry.note(state.status, state.ended - state.began)
            if self._tracer.is_on:
                self._tracer.note(entry.owner, f"request {state.method} {state.path} {state.status}", state.ended - state.began)

    def _state(self, scope: Any) -> RequestState:
        self._count += 1
        authorization = api_key = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-key":
                api_key = value
        if authorization is None and api_key is not None:
            authorization = b"Bearer " + api_key
        client = scope.get("client")
        method = scope.get("method", "WS")
        request_id = b"req_%s%08x" % (self._prefix, self._count)
        state = RequestState(request_id, method, scope["path"], client[0] if client else "", authorization)
        given: RequestState | None = scope.get(STATE_KEY)
        if given is not None:  # a request made inside this process by its own trusted caller
            state.actor = given.actor
        if method == "HEAD":
            scope["method"] = "GET"
        return state

    def _sender(self, state: RequestState, table: PrefixTable, send: Send) -> Send:
        """Return ``send`` with the hub's headers and without the body of an answer to HEAD.

        It is a plain function that hands on ``send``'s awaitable: a coroutine of its own would cost every message a frame.
        """

        def sender(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                added = table.strict_headers
                given = message.get("headers", ())
                for name, value in given:
                    if name == b"content-security-policy":
                        added = table.headers
                    elif name == b"content-type" and value.startswith(b"text/event-stream"):
                        state.stream = OpenStream(state.owner, send, is_socket=False)
                        table.streams.add(state.stream)
                message["headers"] = [*given, *added, (b"x-request-id", state.request_id)]
            elif state.method == "HEAD":
                message = {**message, "body": b""}  # type: ignore[assignment]
            return send(message)

        return sender


def _broken(entry: AppEntry) -> HubError:
    detail = f"Plugin {entry.owner} failed too often; its routes rest."
    return Unavailable(detail, code="breaker-open", hint="Try again later.", retry_after=entry.breaker.retry_after, plugin=entry.owner)
