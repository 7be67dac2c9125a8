"""One request and its answer on a connection: the ASGI side of it.

uvicorn's own checks each header of each answer with two expressions, writes head and body separately, and gives every request an event and a task
callback: with the hub's security headers a third of all that a small answer costs. Here the hub's headers come as one block, checked when it was made
(the ASGI extension ``luminai.head``), and an answer of known length is written once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE

from luminai.http.requests import HEAD, CutAnswer

if TYPE_CHECKING:
    from luminai.http.server.connection import Connection

_log = logging.getLogger("luminai.http")
_NO_BODY: Final = frozenset({204, 304})
_LINES: Final[dict[tuple[bytes, bytes], tuple[bytes, bytes]]] = {}
"""Names and lines of headers that were checked before: most answers carry the same few."""
_MAX_LINES: Final = 1024
_MAX_REMEMBERED: Final = 64


class _Done:
    """Awaited, it does not wait."""

    __slots__ = ()

    def __await__(self) -> Any:
        return iter(())


DONE: Final = _Done()


class Exchange:
    """Runs the application for one request. ``expected`` is how many bytes of a body of known length are still to come, None for a chunked one."""

    __slots__ = (
        "_connection",
        "_expected",
        "_has_news",
        "_head",
        "_is_head",
        "_waiter",
        "_wants_continue",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(self, connection: Connection, scope: Any, *, keep_alive: bool, wants_continue: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.task: asyncio.Task[None] | None = None
        self.keep_alive = keep_alive
        self._wants_continue = wants_continue
        self._is_head = scope["method"] == "HEAD"
        self._expected: int | None = None
        self._head = b""
        self._has_news = False
        self._waiter: asyncio.Future[None] | None = None
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    async def run(self, app: Any) -> None:
        """Run the application to its end; whatever it raises ends this request only."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001 - an exit in a handler must not end the server
            if not isinstance(error, asyncio.CancelledError | CutAnswer):
                _log.error("request.crashed", exc_info=error)
        connection = self._connection
        if self.task is not None:
            connection.tasks.discard(self.task)
        if not self.response_complete and not self.disconnected:
            if self.response_started:
                connection.transport.close()
            else:
                connection.refuse(500, "internal-error", "Something went wrong in the hub.")

    def wake(self) -> None:
        """Something came for ``receive``: a part of the body, its end, or the client's leaving."""
        self._has_news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Any:
        """Return the next part of the request."""
        connection = self._connection
        if self._wants_continue and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._wants_continue = False
        if not self.disconnected and not self.response_complete:
            connection.flow.resume_reading()
            if not self._has_news:
                self._waiter = connection.loop.create_future()
                await self._waiter
            self._has_news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, bytearray()
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    def send(self, message: Any) -> Awaitable[None]:
        """Write a part of the answer; what is returned waits for a client that does not read. It is no coroutine, for most need not wait.

        Raises:
            RuntimeError: the application does not keep to ASGI, or to its own Content-Length.
        """
        if self._connection.flow.write_paused and not self.disconnected:
            return self._send_later(message)
        self._send(message)
        return DONE

    async def _send_later(self, message: Any) -> None:
        await self._connection.flow.drain()
        self._send(message)

    def _send(self, message: Any) -> None:
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self._start(message)
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} came out of turn")

    def _start(self, message: Any) -> None:
        self.response_started = True
        self._wants_continue = False
        status = message["status"]
        lines = [STATUS_LINE[status]]
        has_length = closes = False
        for header in message.get("headers", ()):
            name, line = _LINES.get(header) or _line(header)
            value = header[1]
            if name == b"content-length":
                self._expected = int(value)
                has_length = True
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                closes = True
            elif name == b"transfer-encoding":
                continue  # the server's own matter
            lines.append(line)
        if HEAD in message:
            lines.append(message[HEAD])
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self._is_head or status in _NO_BODY:
            self._expected = 0
        elif not has_length:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        if self._expected is None:  # a stream may have nothing to say for long, its client wants to know that it stands
            self._connection.transport.write(self._head)
            self._head = b""

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self._is_head:
            body = b""
        elif self._expected is None:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif len(body) > self._expected:
            raise RuntimeError("the body is longer than its Content-Length")
        else:
            self._expected -= len(body)
        if self._head:
            body, self._head = self._head + body, b""
        if body:
            self._connection.transport.write(body)
        if not more:
            if self._expected:
                raise RuntimeError("the body is shorter than its Content-Length")
            self.response_complete = True
            self.wake()
            if not self.keep_alive:
                self._connection.transport.close()
            self._connection.on_response_complete()


def _line(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a header's name and line as they are written.

    Raises:
        RuntimeError: it holds characters that no header may.
    """
    name, value = header
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError(f"the header {name!r} cannot be sent")
    name = name.lower()
    found = name, b"%b: %b\r\n" % (name, value)
    if len(value) <= _MAX_REMEMBERED and len(_LINES) < _MAX_LINES:
        _LINES[header] = found
    return found
