"""The outermost ASGI layer: request id, dispatch by prefix, security headers, last-resort errors, access line.

It sees every request, 404 and 405 included, which middleware inside an app does not.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
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
        self._prefix = os.urandom(5).hex()
        self._count = 0
        self.announce(generation)

    def announce(self, generation: int) -> None:
        """Show ``generation`` in every response from now on."""
        self._headers = (*_COMMON, (b"luminai-generation", str(generation).encode()))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        began = time.perf_counter()
        self._count += 1
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization")
        if authorization is None and b"x-api-key" in headers:
            authorization = b"Bearer " + headers[b"x-api-key"]
        client = scope.get("client")
        state = RequestState(f"req_{self._prefix}{self._count:08x}", client[0] if client else "", authorization)
        given: RequestState | None = scope.get(STATE_KEY)
        if given is not None:  # a request made inside this process by its own trusted caller
            state.actor = given.actor
        scope[STATE_KEY] = state
        entry = self.table.find(scope["path"])
        state.owner = entry.owner
        method = scope.get("method", "WS")
        if method == "HEAD":
            scope["method"] = "GET"
        sender = self._sender(state, send, method == "HEAD") if scope["type"] == "http" else send
        if isinstance(entry, AppEntry):
            entry.inflight += 1
            try:
                await entry.app(scope, receive, sender)
            except Exception:
                _log.exception("request.crashed", extra={"plugin": entry.owner, "path": scope["path"]})
                if state.status or scope["type"] != "http":
                    raise
                await send_problem(scope, receive, sender, HubError("Something went wrong in the hub."))
            finally:
                entry.leave()
        else:
            await send_problem(scope, receive, sender, entry.error)
        if self._access_log is not None:
            actor = state.actor.id if state.actor else ""
            milliseconds = (time.perf_counter() - began) * 1000
            line = (time.time(), state.request_id, method, scope["path"], state.status, milliseconds, entry.owner, actor, state.client, state.extra)
            self._access_log.write(line)

    def _sender(self, state: RequestState, send: Send, drop_body: bool) -> Send:
        common = self._headers

        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                given = message.get("headers", ())
                own_policy = False
                for name, _ in given:
                    if name == b"content-security-policy":
                        own_policy = True
                policy = () if own_policy else _STRICT
                message["headers"] = [*given, *common, *policy, (b"x-request-id", state.request_id.encode())]
            elif drop_body:
                message = {**message, "body": b""}  # type: ignore[assignment]
            await send(message)

        return sender
