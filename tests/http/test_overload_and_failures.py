"""Too much at once is refused early, fairly and readably; a failure is visible once, to whom it concerns."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from home import Home
from http_wire import answer_of, has_answer
from probe import probe_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with probe_hub(tmp_path_factory.mktemp("failures")) as home:
        yield home


def ask(hub: Home, path: str, **given: str) -> httpx.Response:
    with httpx.Client(base_url=hub.env["LUMINAI_URL"], timeout=20) as client:
        return client.get(path, headers=given)


def test_overload__is_shed_and_the_operators_lane_stays_open(tmp_path: Path) -> None:
    """Requests whose bodies do not come hold the places; a proxy of the operator's own says whose they are."""
    settings = {"LUMINAI_CONNECTIONS__REQUESTS": "8", "LUMINAI_CONNECTIONS__PER_ADDRESS": "0", "LUMINAI_SERVER__PROXIES": "1"}
    with probe_hub(tmp_path, **settings) as hub, ExitStack() as stack:
        address = urlsplit(hub.env["LUMINAI_URL"])
        waiting: list[socket.socket] = []
        for number in range(100):
            wire = stack.enter_context(socket.create_connection((address.hostname or "", address.port or 0), timeout=20))
            head = f"POST /api/probe/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nX-Forwarded-For: 192.0.2.{number % 50}\r\n\r\n"
            wire.sendall(head.encode())
            waiting.append(wire)
        assert ask(hub, "/api/status").status_code == 200, "it comes after all of them"

        refused = [answer_of(wire) for wire in waiting if has_answer(wire)]
        assert len(refused) == 100 - 8
        assert {(status, body["code"]) for status, _, body in refused} == {(503, "overloaded")}
        assert all(head["retry-after"] == "1" for _, head, _ in refused)
        assert ask(hub, "/api/probe/page").json()["code"] == "overloaded"
        assert [ask(hub, path).status_code for path in ("/api/status", "/health/live", "/health/ready")] == [200] * 3

        held = [wire for wire in waiting if not has_answer(wire)]
        for wire in held[:8]:
            wire.sendall(b"hello")
        assert [answer_of(wire)[0] for wire in held[:8]] == [200] * 8
        assert ask(hub, "/api/probe/page").status_code == 200


def test_one_client__takes_no_more_than_half_of_the_places(tmp_path: Path) -> None:
    with probe_hub(tmp_path, LUMINAI_CONNECTIONS__REQUESTS="8", LUMINAI_SERVER__PROXIES="1") as hub, ExitStack() as stack:
        address = urlsplit(hub.env["LUMINAI_URL"])
        for _ in range(4):
            wire = stack.enter_context(socket.create_connection((address.hostname or "", address.port or 0), timeout=20))
            wire.sendall(b"POST /api/probe/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
        assert ask(hub, "/api/status").status_code == 200
        greedy = ask(hub, "/api/probe/page", **{"X-Forwarded-For": "192.0.2.1"})
        assert (greedy.status_code, greedy.json()["code"], greedy.headers["retry-after"]) == (503, "too-many-at-once", "1")
        assert ask(hub, "/api/probe/page", **{"X-Forwarded-For": "192.0.2.2"}).status_code == 200


@pytest.mark.shows("LW-76", "PX-16", "TL-171", "LK-61")
@pytest.mark.parametrize("path", ["/api/probe/crash", "/api/probe/refuse"])
def test_failure__is_logged_once_with_the_id_that_the_client_gets(hub: Home, path: str) -> None:
    before = figures(hub)
    answer = ask(hub, path)
    request = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert answer.json()["instance"] == request
    assert not any(word in answer.text for word in ("Traceback", "SELECT", "hunter2", ".py", "ValueError"))
    assert errors_of(hub, request) == ["request.failed"]
    logged = next(json.loads(line) for line in list(hub.log) if request in line and "request.failed" in line)
    assert logged["traceback"].startswith("Traceback (most recent call last):")
    assert f"in {path.rpartition('/')[2]}" in logged["traceback"], "where it happened"
    assert figures(hub) == before + 1


@pytest.mark.shows("LK-60", "LW-75")
@pytest.mark.parametrize(("least", "written"), [("debug", ["debug", "info", "warning", "error"]), ("warning", ["warning", "error"])])
def test_log__is_json_with_levels__of_which_the_operator_chooses_the_least(tmp_path: Path, least: str, written: list[str]) -> None:
    with probe_hub(tmp_path, LUMINAI_LOG__LEVEL=least) as hub:
        answer = httpx.post(hub.env["LUMINAI_URL"] + "/api/probe/say")
        assert answer.status_code == 204
        lines = lines_after(hub, answer.headers["x-request-id"])
    said = [line for line in lines if line["event"] == "probe.said"]
    assert [line["level"] for line in said] == written
    assert {(line["logger"], line["number"], line["text"]) for line in said} == {("luminai.plugins.probe", 7, "two\nlines")}
    assert all({"at", "event"} <= line.keys() for line in lines), "each line is a document"


def test_failure_in_the_middle_of_an_answer__is_logged_once_and_cuts_it(hub: Home) -> None:
    with httpx.Client(base_url=hub.env["LUMINAI_URL"], timeout=20) as client, client.stream("GET", "/api/probe/break") as answer:
        request = answer.headers["x-request-id"]
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert errors_of(hub, request) == ["request.crashed"]


@pytest.mark.parametrize("path", ["/api/nowhere", "/api/probe/page?limit=x", "/api/admin/plugins", "/api/probe/items/x"])
def test_refusal__leaves_no_traceback(hub: Home, path: str) -> None:
    answer = ask(hub, path)
    assert 400 <= answer.status_code < 500
    assert answer.json()["instance"] == answer.headers["x-request-id"]
    assert errors_of(hub, answer.headers["x-request-id"]) == []


def test_clients_that_hang_up__are_no_failures_of_the_plugin(hub: Home) -> None:
    """Five failures within a minute would open its breaker."""
    before, address = figures(hub), urlsplit(hub.env["LUMINAI_URL"])
    for _ in range(10):
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as wire:
            wire.sendall(b"POST /api/probe/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhello")
    end = time.monotonic() + 20
    while sum('"/api/probe/hold"' in line for line in list(hub.log)) < 10:
        assert time.monotonic() < end, "no access lines"
        ask(hub, "/api/status")
    assert ask(hub, "/api/probe/page").status_code == 200
    assert figures(hub) == before


def lines_after(hub: Home, request: str) -> list[dict[str, object]]:
    """Return all that was logged, once a request's access line is there: the hub writes that last."""
    end = time.monotonic() + 20
    while not any(f'"{request}"' in line and '"event":"request"' in line.replace(" ", "") for line in list(hub.log)):
        assert time.monotonic() < end, "no access line"
        ask(hub, "/api/status")
    return [json.loads(line) for line in list(hub.log) if line.strip()]


def errors_of(hub: Home, request: str) -> list[object]:
    """Return the errors that were logged for a request."""
    lines = lines_after(hub, request)
    assert all(line.get("request_id") for line in lines if line.get("level") == "error")
    return [line["event"] for line in lines if line.get("request_id") == request and "level" in line]


def figures(hub: Home) -> int:
    """Return how many requests of the plugin failed, as the hub counts them."""
    return int(next(one for one in hub.data("plugins", "perf") if one["id"] == "probe")["failed_requests"])
