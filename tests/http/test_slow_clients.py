"""Clients that stall, do not read, or go away: memory stays bounded, comes back, and the hub answers everybody else meanwhile.

The short form holds each state for as long as it takes to ask the hub forty times; ``pytest -m slow`` holds it for ten seconds.
"""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from home import Home
from probe import probe_hub

MIB = 1024 * 1024
GROWTH = 64 * MIB
LEFT = 16 * MIB
ASKS = 40


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A hub whose deadlines do not help: what holds is the bound on memory alone."""
    with probe_hub(tmp_path_factory.mktemp("slow"), LUMINAI_CONNECTIONS__PER_ADDRESS="0", LUMINAI_CONNECTIONS__REQUESTS="100000") as home:
        yield home


class Crowd:
    """Many connections of one client that means harm."""

    def __init__(self, home: Home) -> None:
        address = urlsplit(home.env["LUMINAI_URL"])
        self._address = (address.hostname or "", address.port or 0)
        self._host = f"{address.hostname}:{address.port}"
        self._open: list[socket.socket] = []

    def head(self, method: str, target: str, *headers: str) -> bytes:
        return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {self._host}", *headers, "", ""]).encode()

    def come(self, number: int, data: bytes) -> None:
        """Open so many connections that send ``data`` and then nothing; one that the hub closes meanwhile stays closed."""
        for _ in range(number):
            wire = socket.create_connection(self._address, timeout=20)
            self._open.append(wire)
            with suppress(OSError):
                wire.sendall(data)

    def send_on(self, data: bytes) -> int:
        """Send ``data`` on the last connection, return how much of it was taken before the hub closed."""
        sent = 0
        with suppress(OSError):
            while sent < len(data):
                sent += self._open[-1].send(data[sent : sent + 65536])
        return sent

    def heard(self, number: int) -> bytes:
        """Return the next so many bytes of the last connection."""
        heard = b""
        while len(heard) < number:
            part = self._open[-1].recv(number - len(heard))
            assert part, "the hub closed"
            heard += part
        return heard

    def rest(self) -> bytes:
        """Return what the hub says until it closes the last connection; of much, the end."""
        said = b""
        with suppress(ConnectionError):
            while part := self._open[-1].recv(65536):
                said = (said + part)[-65536:]
        return said

    def leave(self, *, abort: bool = False) -> None:
        for wire in self._open:
            if abort:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        self._open.clear()


def resident(home: Home) -> int:
    """Return the bytes of memory that the hub's process holds."""
    pages = int(Path(f"/proc/{home.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def half_heads(crowd: Crowd) -> None:
    crowd.come(900, crowd.head("GET", "/api/probe/page", "X-A: " + "a" * 4000)[:-2])


def half_bodies(crowd: Crowd) -> None:
    crowd.come(900, crowd.head("POST", "/api/probe/json", "Content-Type: application/json", "Content-Length: 200000") + b" " * 1000)


def stalled_bodies(crowd: Crowd) -> None:
    crowd.come(200, crowd.head("POST", "/api/probe/hold", "Content-Length: 1000000") + b"a" * 900_000)


def unread_streams(crowd: Crowd) -> None:
    crowd.come(50, crowd.head("GET", "/api/probe/endless"))


def unread_sockets(crowd: Crowd) -> None:
    key = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    crowd.come(20, crowd.head("GET", "/api/probe/push", *key))


def aborted_sockets(crowd: Crowd) -> None:
    unread_sockets(crowd)
    crowd.leave(abort=True)


def endless_heads(crowd: Crowd) -> None:
    for _ in range(5):
        crowd.come(1, b"GET / HTTP/1.1\r\n")
        assert crowd.send_on(b"X-A: 1\r\n" * 8_000_000) < 60_000_000


def endless_heads_behind_a_request(crowd: Crowd) -> None:
    for _ in range(5):
        crowd.come(1, crowd.head("GET", "/api/probe/endless") + b"GET / HTTP/1.1\r\n")
        assert crowd.send_on(b"X-A: 1\r\n" * 8_000_000) < 60_000_000


def endless_trailers(crowd: Crowd) -> None:
    for _ in range(5):
        crowd.come(1, crowd.head("POST", "/api/probe/hold", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n")
        assert crowd.send_on(b"X-A: 1\r\n" * 8_000_000) < 60_000_000


CASES = [
    half_heads,
    half_bodies,
    stalled_bodies,
    unread_streams,
    unread_sockets,
    aborted_sockets,
    endless_heads,
    endless_heads_behind_a_request,
    endless_trailers,
]


def hold(hub: Home, case: Callable[[Crowd], None], *, seconds: float) -> tuple[int, int, list[float]]:
    """Return how many bytes the hub grew by while it was asked, how many were left 30 s later at most, and how long each ask took."""
    with httpx.Client(base_url=hub.env["LUMINAI_URL"], timeout=20) as client, ExitStack() as stack:
        for _ in range(ASKS):
            client.get("/api/status").raise_for_status()
        base = resident(hub)
        crowd = Crowd(hub)
        stack.callback(crowd.leave)
        case(crowd)
        worst, took = resident(hub), []
        end = time.monotonic() + seconds
        while len(took) < ASKS or time.monotonic() < end:
            began = time.monotonic()
            assert client.get("/api/status").status_code == 200
            took.append(time.monotonic() - began)
            worst = max(worst, resident(hub))
        crowd.leave()
        end = time.monotonic() + 30
        while (left := resident(hub) - base) > LEFT and time.monotonic() < end:
            client.get("/api/status").raise_for_status()
    print(  # noqa: T201 - figures for people
        f"{case.__name__}: grew by {(worst - base) / MIB:.1f} MiB, left {left / MIB:.1f} MiB, slowest of {len(took)} asks {max(took) * 1000:.0f} ms"
    )
    return worst - base, left, took


@pytest.mark.parametrize("case", CASES)
def test_memory__is_bounded_under_slow_clients(hub: Home, case: Callable[[Crowd], None]) -> None:
    grown, left, _ = hold(hub, case, seconds=0)
    assert grown <= GROWTH
    assert left <= LEFT


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_memory__is_bounded_for_long(hub: Home, case: Callable[[Crowd], None]) -> None:
    grown, left, took = hold(hub, case, seconds=10)
    assert grown <= GROWTH
    assert left <= LEFT
    assert sorted(took)[len(took) * 99 // 100] <= 0.25


@pytest.mark.parametrize("behind", [b"", b"GET /api/probe/page HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["alone", "another request waits behind"])
@pytest.mark.parametrize("abort", [False, True])
def test_producer__stops_when_its_reader_is_gone(hub: Home, behind: bytes, abort: bool) -> None:
    crowd = Crowd(hub)
    crowd.come(3, crowd.head("GET", "/api/probe/endless") + behind)
    crowd.heard(200_000)
    assert counts(hub)["produced"]
    crowd.leave(abort=abort)
    stands_still(hub, "produced")


@pytest.mark.parametrize("abort", [False, True])
def test_socket__is_pushed_to_no_longer_than_it_lives(hub: Home, abort: bool) -> None:
    before = counts(hub)["pushed"]
    crowd = Crowd(hub)
    unread_sockets(crowd)
    crowd.heard(200_000)
    assert counts(hub)["pushed"] >= before + 20, "nothing was pushed, so nothing is shown"
    crowd.leave(abort=abort)
    stands_still(hub, "pushed")


def test_compressed_frame__is_not_taken(hub: Home) -> None:
    crowd = Crowd(hub)
    socket_head = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    bomb = b"\xc1\xfe" + struct.pack("!H", 14_600) + b"\0\0\0\0" + b"\0" * 14_600  # a text frame, marked as deflated, masked with zeros
    crowd.come(1, crowd.head("GET", "/api/probe/push", *socket_head, "Sec-WebSocket-Extensions: permessage-deflate"))
    handshake = crowd.heard(400).lower()
    assert handshake.startswith(b"http/1.1 101")
    assert b"permessage-deflate" not in handshake
    crowd.send_on(bomb)
    assert b"\x03\xea" in crowd.rest()[-64:], "closed with 1002, a protocol error"
    crowd.leave()


def counts(hub: Home) -> dict[str, int]:
    """Return how often the plugin's producers made something."""
    with httpx.Client(base_url=hub.env["LUMINAI_URL"], timeout=20) as client:
        found: dict[str, int] = client.get("/api/probe/counts").raise_for_status().json()
    return found


def stands_still(hub: Home, name: str) -> None:
    """Wait until a count is the same over twenty asks in a row."""
    same, last, end = 0, -1, time.monotonic() + 20
    while same < 20:
        now = counts(hub)[name]
        same, last = (same + 1, now) if now == last else (0, now)
        assert time.monotonic() < end, "it goes on"
