"""Bytes that no client should send: each is answered or closed in time, as a problem, with nothing of the inside, and the hub stays well."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from fuzzing import failed_requests
from home import Home
from hostile import CASES, ask
from msgspec import Struct
from probe import probe_hub

SECONDS = 6.0
"""Within which each case must be over: the hub's deadlines are one second here, and it looks once a second."""
INSIDE = (b"Traceback", b".py", b"site-packages", b"sqlalchemy", b"luminai_", b"/tmp", b"/home", b"hunter2")


class Heard(Struct):
    """What came back: the whole answers' status, headers and body; ``seconds`` until the hub closed."""

    answers: list[tuple[int, bytes, bytes]]
    raw: bytes
    seconds: float
    is_closed: bool
    is_well: bool


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    short = {f"LUMINAI_CONNECTIONS__{name}_SECONDS": "1" for name in ("HEAD", "IDLE", "BODY", "UPLOAD", "UNREAD")}
    with probe_hub(tmp_path_factory.mktemp("bytes"), LUMINAI_CONNECTIONS__PER_ADDRESS="0", **short) as home:
        yield home


@pytest.fixture(scope="module")
def heard(hub: Home) -> dict[str, Heard]:
    """Send every case, a few at a time, for some of them are only over when a deadline is."""
    with ThreadPoolExecutor(8) as pool:
        return dict(zip([name for name, _, _ in CASES], pool.map(lambda case: exchange(hub, case[1]), CASES), strict=True))


def exchange(hub: Home, data: bytes) -> Heard:
    began = time.monotonic()
    raw, is_closed = talk(hub, data)
    seconds = time.monotonic() - began
    after = answers_in(talk(hub, ask("/api/status"))[0])
    return Heard(answers_in(raw), raw, seconds, is_closed, bool(after) and after[0][0] == 200)


def talk(hub: Home, data: bytes) -> tuple[bytes, bool]:
    """Return all that the hub said until it closed, and whether it did."""
    address = urlsplit(hub.env["LUMINAI_URL"])
    said = b""
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=SECONDS) as wire:
        with contextlib.suppress(OSError):  # it may close before all is sent
            wire.sendall(data.replace(b"{host}", f"{address.hostname}:{address.port}".encode()))
        try:
            while part := wire.recv(65536):
                said += part
        except ConnectionError:
            pass
        except TimeoutError:
            return said, False
    return said, True


def answers_in(raw: bytes) -> list[tuple[int, bytes, bytes]]:
    """Take a byte stream apart into answers."""
    found = []
    while b"\r\n\r\n" in raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        status, low = int(head.split()[1]), head.lower()
        length = next((int(line.partition(b":")[2]) for line in low.split(b"\r\n") if line.startswith(b"content-length")), 0)
        body, raw = (raw[:length], raw[length:]) if not raw.startswith(b"HTTP/1.") else (b"", raw)
        found.append((status, low, body))
    return found


def test_corpus__is_large_and_each_case_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 250
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.shows("PX-19")
@pytest.mark.parametrize(("name", "expected"), [pytest.param(name, expected, id=name) for name, _, expected in CASES])
def test_bytes__are_answered_as_they_deserve(heard: dict[str, Heard], name: str, expected: str) -> None:
    case = heard[name]
    first = ""
    if case.answers:
        status, head, body = case.answers[0]
        code = json.loads(body)["code"] if b"application/problem+json" in head and body else ""
        first = f"{status} {code}".strip()
    assert first in expected.split("|"), case.raw[:1000]
    assert case.is_closed, "it hangs"
    assert case.seconds < SECONDS
    assert case.is_well, "the hub is unwell after it"
    assert not any(word in case.raw for word in INSIDE)
    for status, head, body in case.answers:
        assert status < 500
        if status >= 400 and body and not name.startswith("socket "):  # a handshake that is none is refused by the sockets' library, in plain text
            assert b"application/problem+json" in head
            problem = json.loads(body)
            assert problem["status"] == status
            assert problem["code"]
            assert problem["title"]


def test_smuggled_request__is_never_answered(heard: dict[str, Heard]) -> None:
    assert [status for status, _, _ in heard["smuggled in a body"].answers] == [400, 200]
    assert [status for status, _, _ in heard["pipeline of 50"].answers] == [200] * 51


def test_hub__logged_no_failure(hub: Home, heard: dict[str, Heard]) -> None:
    assert failed_requests(hub) == []
