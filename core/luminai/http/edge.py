"""The outermost ASGI layer: request id, dispatch by prefix, security headers, last-resort errors, access line.

It sees every request, 404 and 405 included, which middleware inside an app does not.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.types import Message, Receive, Send

from luminai.contracts.errors import HubError
from luminai.http.problems import send_problem
from luminai.http.requests import STATE_KEY, RequestState
from luminai.http.table import AppEntry, PrefixTable
from luminai.telemetry.access import AccessLog

_log = logging.getLogger("luminai.http")

_COMMON: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_STRICT: Final = [(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")]


class Edge:
    """The application that the server runs. ``table`` is swapped by one assignment when a new generation takes over.

    Args:
        table: Prefixes of the serving generation.
        generation: Its number, shown as ``Luminai-Generation`` in every response.
        access_log: Where the line of each request goes; None for none.
        lifespan: ``async (receive, send)`` that answers the server's lifespan messages.
    """

    def __init__(self, table: PrefixTable, *, generation: int, access_log: AccessLog | None, lifespan: Callable[..., Any]) -> None:
        self.table = table
        self._access_log = access_log
        self._lifespan = lifespan
        self._prefix = os.urandom(5).hex().encode()
        self._count = 0
        self.announce(generation)

    def announce(self, generation: int) -> None:
        """Show ``generation`` in every response from now on."""
        self._headers = [*_COMMON, (b"luminai-generation", str(generation).encode())]
        self._strict_headers = [*self._headers, *_STRICT]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        state = scope[STATE_KEY] = self._state(scope)
        entry = self.table.find(state.path)
        state.owner = entry.owner
        sender = self._sender(state, send) if scope["type"] == "http" else send
        if isinstance(entry, AppEntry):
            entry.inflight += 1
            try:
                await entry.app(scope, receive, sender)
            except Exception:
                _log.exception("request.crashed", extra={"plugin": entry.owner, "path": state.path})
                if state.status or scope["type"] != "http":
                    raise
                await send_problem(scope, receive, sender, HubError("Something went wrong in the hub."))
            finally:
                entry.leave()
        else:
            await send_problem(scope, receive, sender, entry.error)
        if self._access_log is not None:
            state.ended = time.perf_counter()
            self._access_log.write(state)

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

    def _sender(self, state: RequestState, send: Send) -> Send:
        """Return ``send`` with the hub's headers and without the body of an answer to HEAD.

        It is a plain function that hands on ``send``'s awaitable: a coroutine of its own would cost every message a frame.
        """

        def sender(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                added = self._strict_headers
                given = message.get("headers", ())
                for name, _ in given:
                    if name == b"content-security-policy":
                        added = self._headers
                message["headers"] = [*given, *added, (b"x-request-id", state.request_id)]
            elif state.method == "HEAD":
                message = {**message, "body": b""}  # type: ignore[assignment]
            return send(message)

        return sender
