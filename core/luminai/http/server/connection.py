"""A client's connection with bounds on what it may send, keep open and leave unread."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from http import HTTPStatus
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from luminai.config.settings import ConnectionSettings
from luminai.http.requests import EXTENSIONS
from luminai.http.server.bodies import Bodies
from luminai.http.server.exchange import Exchange
from luminai.http.server.heads import are_too_large, is_named, is_upload
from luminai.http.server.limits import BODY_GRACE_SECONDS, BODY_RATE, CHUNK_COST, MAX_HEAD, MAX_HEADERS, MAX_LINE

_log = logging.getLogger("luminai.http")
IDLE, HEAD, BODY, ANSWER = range(4)
VERSIONS: Final = frozenset({"1.0", "1.1"})
SWEEP_SECONDS: Final = 1.0
ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class _Refused(Exception):
    """Ends the parsing of a request that is over a limit."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol that refuses what is too large, and lets go of who is too slow.

    Args:
        limits: Bounds of time and number.
        addresses: How many connections each client has; shared by the connections of a server.
        bodies: What is held of bodies; shared likewise.
        given: What uvicorn hands to a protocol.
    """

    phase = IDLE
    since = 0.0
    head_bytes = 0
    body_bytes = 0
    wire_bytes = 0
    unread_since = 0.0
    is_upgrade = False
    refusal: tuple[int, str, str] | None = None
    exchange: Exchange | None = None
    running: Exchange | None = None

    def __init__(self, limits: ConnectionSettings, addresses: Counter[str], bodies: Bodies, **given: Any) -> None:
        super().__init__(**given)
        self.limits = limits
        self.addresses = addresses
        self.bodies = bodies
        self.waiting: deque[Exchange] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and refuse it when there are too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self.addresses[address] += 1
        if len(self.connections) > self.limits.total or 0 < self.limits.per_address < self.addresses[address]:
            self.refuse(503, "too-many-connections", "Too many connections are open.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out, and tell the request that runs; those that wait behind it are dropped."""
        super().connection_lost(exc)
        self.bodies.drop(self)
        self._tell_gone()
        address = self.client[0] if self.client else ""
        self.addresses[address] -= 1
        if self.addresses[address] <= 0:
            del self.addresses[address]

    def shutdown(self) -> None:
        """Close after the answer that is under way, at once if there is none."""
        if self.exchange is None or self.exchange.response_complete:
            self.transport.close()
        else:
            self.exchange.keep_alive = False

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self.phase == IDLE:
            self.phase = HEAD
            self.since = 0.0
        self.head_bytes += len(data)
        self.wire_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self.is_upgrade:
                self._count_out_for_socket()
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self.refuse(*(self.refusal or (400, "malformed-request", "This is no HTTP/1.1 request.")))
        else:
            if self.phase != HEAD:
                self.head_bytes = 0
            elif self.head_bytes > MAX_HEAD + MAX_LINE:
                self.refuse(431, "headers-too-large", f"The headers have more than {MAX_HEAD} bytes.")
            if self.phase == BODY and self.body_bytes and not self._is_answered:
                self.bodies.note(self, self.body_bytes)
            if self.phase == BODY and self.wire_bytes - self.body_bytes * CHUNK_COST > MAX_HEAD + MAX_LINE:
                self.refuse(400, "malformed-request", "The chunks are mostly something else than the body.")

    @property
    def is_reading_body(self) -> bool:
        """Whether a body is still coming."""
        return self.phase == BODY

    def on_message_begin(self) -> None:
        """Begin a request, the first or one that was sent before its turn: the bounds of a head hold for both."""
        self.phase = HEAD
        self.since = 0.0
        self.url = b""
        self.expect_100_continue = False
        self.body_bytes = 0
        self.headers = []
        scope: Any = {
            "type": "http",
            "asgi": ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
            "state": {},
            "extensions": EXTENSIONS,
        }
        self.scope = scope

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What comes after the body is dropped: it has passed no check, and nobody may sign in by it (RFC 9110, 6.5.1)."""
        if self.phase != HEAD:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        parser = self.parser
        version = parser.get_http_version()
        if version not in VERSIONS:
            self._refuse_parsing(400, "malformed-request", "This is no HTTP/1.1 request.")
        scope: Any = self.scope
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        self.is_upgrade = parser.should_upgrade() and self._should_upgrade()
        if self.is_upgrade:
            return
        self._check_head()
        try:
            url = httptools.parse_url(self.url)
            path = url.path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError):
            self._refuse_parsing(400, "malformed-request", "The address cannot be read.")
        if url.host and not is_named(url.host, self.headers):
            self._refuse_parsing(400, "malformed-request", "The address and Host name two hosts.")
        scope["raw_path"] = url.path
        scope["path"] = unquote(path) if "%" in path else path
        scope["query_string"] = url.query or b""
        self.phase = BODY
        self.since = 0.0
        self.wire_bytes = 0
        before = self.exchange
        self.exchange = Exchange(self, scope, keep_alive=version != "1.0" and parser.should_keep_alive(), wants_continue=self.expect_100_continue)
        if before is None or before.response_complete:
            self._run(self.exchange)
        else:
            self.flow.pause_reading()
            self.waiting.append(self.exchange)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        exchange = self.exchange
        if exchange is None or self.is_upgrade:
            return
        self.body_bytes += len(body)
        if exchange.response_complete:
            return  # refused before its body was there: what still comes is read and forgotten
        exchange.body += body
        if len(exchange.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        exchange.wake()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.phase = ANSWER
        self.head_bytes = MAX_LINE + 1  # what follows in the same packet has its headers counted
        exchange = self.exchange
        if exchange is None or self.is_upgrade:
            return
        if exchange.response_complete:
            self._rest()
        else:
            exchange.more_body = False
            exchange.wake()

    def on_response_complete(self) -> None:
        """The answer is out: begin the next request that waits, or be idle."""
        self.bodies.drop(self)
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.waiting:
            self._run(self.waiting.popleft())
        elif self.phase == ANSWER:
            self._rest()

    def pause_writing(self) -> None:
        """The client does not read."""
        self.unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self.unread_since = 0.0
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Let go of a client that is too slow; ``now`` is the loop's time.

        A phase begins with the first sweep that sees it, so that requests read no clock.
        """
        self.since = self.since or now
        limits, spent = self.limits, now - self.since
        if self.unread_since and now - self.unread_since > limits.unread_seconds:
            _log.warning("connection.unread", extra={"client": self.client[0] if self.client else ""})
            self.transport.abort()
        elif self.phase == IDLE and spent > limits.idle_seconds:
            self.transport.close()
        elif self.phase == HEAD and spent > limits.head_seconds:
            self.refuse(408, "request-timeout", f"The headers took longer than {limits.head_seconds:g} s.")
        elif self.phase == BODY and not self.flow.read_paused and self._is_body_late(spent):
            self.refuse(408, "request-timeout", "The body comes too slowly.")

    def refuse(self, status: int, code: str, detail: str) -> None:
        """Answer with a problem from below the application, and close."""
        if self.transport.is_closing():
            return
        if self.phase == BODY and self._is_answered:
            self.transport.close()  # a second answer would be taken for that of the next request
            return
        running = self.running
        if running is None or running.response_complete or not running.response_started:
            body = msgspec.json.encode(
                {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code, "instance": ""}
            )
            head = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
            self.transport.close()
        else:
            self.transport.abort()  # in the middle of an answer there is nothing to say, and a client that does not read would keep it open
        self._tell_gone()

    @property
    def _is_answered(self) -> bool:
        """Whether the request that is read has its whole answer already."""
        return self.exchange is not None and self.exchange.response_complete

    def _tell_gone(self) -> None:
        self.waiting.clear()
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.wake()

    def _run(self, exchange: Exchange) -> None:
        """Start the application; the server waits for it when it stops. The exchange contains what is raised, so the loop's task factory need not."""
        self.running = exchange
        exchange.task = asyncio.Task(exchange.run(self.app), loop=self.loop)
        self.tasks.add(exchange.task)

    def _rest(self) -> None:
        """Wait for the next request; the sweep ends idle connections, so no timer is set."""
        self.phase = IDLE
        self.since = 0.0

    def _check_head(self) -> None:
        """Refuse a head that is too large; what came is bounded, so that most need no counting."""
        if len(self.url) > MAX_LINE:
            self._refuse_parsing(414, "url-too-long", f"The address has more than {MAX_LINE} bytes.")
        if len(self.headers) > MAX_HEADERS or (self.head_bytes > MAX_LINE and are_too_large(self.headers)):
            self._refuse_parsing(431, "headers-too-large", f"At most {MAX_HEADERS} headers of {MAX_LINE} bytes, {MAX_HEAD} in all.")

    def _refuse_parsing(self, status: int, code: str, detail: str) -> NoReturn:
        self.refusal = (status, code, detail)
        raise _Refused(detail)

    def _is_body_late(self, spent: float) -> bool:
        if spent > BODY_GRACE_SECONDS and self.body_bytes < (spent - BODY_GRACE_SECONDS) * BODY_RATE:
            return True
        return spent > (self.limits.upload_seconds if is_upload(self.headers) else self.limits.body_seconds)

    def _count_out_for_socket(self) -> None:
        """uvicorn hands the transport to another protocol, so ``connection_lost`` does not come here any more."""
        address = self.client[0] if self.client else ""
        self.addresses[address] -= 1
