"""What a client may do to the server: bytes, time and connections are bounded, and every refusal is a problem that can be read."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from home import Home, serving

STATUS = "/api/personas"


class Wire:
    """A bare connection to the hub."""

    def __init__(self, home: Home) -> None:
        address = urlsplit(home.env["LUMINAI_URL"])
        self.host = f"{address.hostname}:{address.port}"
        self.socket = socket.create_connection((address.hostname or "", address.port or 0), timeout=15)

    def say(self, data: bytes | str) -> "Wire":
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def ask(self, target: str = STATUS, *headers: str, method: str = "GET", host: str = "") -> "Wire":
        return self.say("\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host or self.host}", *headers, "", ""]))

    def answer(self) -> tuple[int, str]:
        """Return status and problem code of one whole answer, (0, "") when the connection ends without one."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.socket.recv(65536)
            if not part:
                return 0, ""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        while len(body) < length:
            body += self.socket.recv(65536)
        is_problem = b"problem+json" in head
        return int(head.split()[1]), json.loads(body)["code"] if is_problem else ""

    def is_closed(self) -> bool:
        """Wait until the hub closes."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


Connect = Callable[[Home], Wire]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A hub with short deadlines and few places."""
    short = {f"LUMINAI_CONNECTIONS__{name}_SECONDS": "1" for name in ("HEAD", "IDLE", "BODY", "UPLOAD")}
    with serving(tmp_path_factory.mktemp("wire") / "home", LUMINAI_CONNECTIONS__PER_ADDRESS="20", **short) as home:
        yield home


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open connections that are closed after the test."""
    opened: list[Wire] = []

    def connect(home: Home) -> Wire:
        opened.append(Wire(home))
        return opened[-1]

    yield connect
    for wire in opened:
        wire.socket.close()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-A: " + "a" * 9000 + "\r\n\r\n", (431, "headers-too-large")),
        ("GET / HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(70)) + "\r\n", (431, "headers-too-large")),
        ("GET / HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"X-{n}: {'a' * 1000}\r\n" for n in range(20)) + "\r\n", (431, "headers-too-large")),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-A: " + "a" * 40_000, (431, "headers-too-large")),
        ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n", (414, "url-too-long")),
        ("GET /?" + "&".join("a=1" for _ in range(80)) + " HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, "too-many-parameters")),
        ("GET / HTTP/1.1\r\n\r\n", (400, "no-host")),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", (400, "duplicate-header")),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", (421, "unknown-host")),
        ("GET / HTTP/1.1\r\nHost: {host}@evil.example\r\n\r\n", (421, "unknown-host")),
        ("GET / HTTP/1.1\r\nHost: localhost:1\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", (400, "duplicate-header")),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nX-Api-Key: b\r\n\r\n", (400, "duplicate-header")),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", (400, "malformed-request")),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", (400, "malformed-request")),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc", (400, "malformed-request")),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX Y: 1\r\n\r\n", (400, "malformed-request")),
        ("GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, "malformed-request")),
        ("hello\r\n\r\n", (400, "malformed-request")),
        ("POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", (415, "content-encoding-refused")),
        ("GET //api/personas HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown-route")),
        ("GET /api%2fpersonas HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown-route")),
        ("GET /api/personas%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown-route")),
        ("GET /api/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown-route")),
        ("GET /api/personas HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", (200, "")),
        ("GET http://localhost/api/personas HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, "")),
    ],
)
def test_head__is_bounded_and_read_one_way(hub: Home, connect: Connect, data: str, expected: tuple[int, str]) -> None:
    wire = connect(hub)
    assert wire.say(data.replace("{host}", wire.host)).answer() == expected


def test_slow_client__is_told_and_let_go(hub: Home, connect: Connect) -> None:
    silent, head, body, drip = connect(hub), connect(hub), connect(hub), connect(hub)
    head.say("GET / HTTP/1.1\r\nHost: loc")
    for wire in (body, drip):
        wire.ask("/api/setup", "Content-Type: application/json", "Content-Length: 50", method="POST")
    body.say('{"tok')
    assert head.answer() == (408, "request-timeout")
    assert body.answer() == (408, "request-timeout")
    assert drip.answer() == (408, "request-timeout")
    assert silent.is_closed()
    assert head.is_closed()
    assert connect(hub).ask().answer() == (200, "")


def test_connection__serves_many_requests_also_sent_at_once(hub: Home, connect: Connect) -> None:
    wire = connect(hub)
    assert [wire.ask().answer() for _ in range(3)] == [(200, "")] * 3
    wire.ask("/api/nowhere", "Connection: keep-alive").ask("/api/elsewhere", "Connection: close")
    data = b""
    while part := wire.socket.recv(65536):
        data += part
    assert data.count(b"HTTP/1.1 404") == 2


@pytest.mark.parametrize("headers", [["Content-Length: 200000"], ["Transfer-Encoding: chunked"]])
def test_body__that_comes_behind_its_refusal__is_read_and_the_connection_goes_on(hub: Home, connect: Connect, headers: list[str]) -> None:
    wire = connect(hub).ask("/api/jobs", *headers, method="POST")
    assert wire.answer() == (405, "method-not-allowed")
    chunk = "x" * 20_000
    wire.say(chunk * 10 if "Length" in headers[0] else f"{len(chunk):x}\r\n{chunk}\r\n" * 10 + "0\r\n\r\n")
    assert wire.ask().answer() == (200, ""), "the next request gets its own answer"


def test_body__that_stops_behind_its_refusal__gets_no_second_answer(hub: Home, connect: Connect) -> None:
    wire = connect(hub).ask("/api/jobs", "Content-Length: 200000", method="POST")
    assert wire.answer() == (405, "method-not-allowed")
    assert wire.say("x" * 100).answer() == (0, ""), "it is let go of without a word"


def test_head_request_and_old_http__are_served(hub: Home, connect: Connect) -> None:
    wire = connect(hub)
    wire.ask(method="HEAD").ask("/api/nowhere", "Connection: close")
    data = b""
    while part := wire.socket.recv(65536):
        data += part
    assert data.startswith(b"HTTP/1.1 200")
    assert data.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 404")
    assert connect(hub).say("GET /api/personas HTTP/1.0\r\nHost: localhost\r\n\r\n").answer() == (200, "")


def test_too_many_connections__of_one_address_are_refused(hub: Home, connect: Connect) -> None:
    held = [connect(hub).say("GET / HTTP/1.1\r\n") for _ in range(20)]
    assert connect(hub).answer() == (503, "too-many-connections")
    for wire in held:
        wire.socket.close()
    assert any(connect(hub).ask().answer() == (200, "") for _ in range(200)), "the hub sees the last ones leave a moment later"


def test_stop__does_not_wait_for_stuck_clients(tmp_path: Path, connect: Connect) -> None:
    with serving(tmp_path / "home", LUMINAI_SERVER__DRAIN_SECONDS="1") as home:
        half = connect(home).ask("/api/setup", "Content-Type: application/json", "Content-Length: 50", method="POST").say("{")
        idle = connect(home).ask()
        assert idle.answer() == (200, "")
    assert half.is_closed()
    assert idle.is_closed()
