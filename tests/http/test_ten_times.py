"""Ten times as much as a hub takes: it does what it can, refuses the rest in words, and does what it acknowledged once, also when it is killed."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from http_wire import answer_of, has_answer

from luminai.testing.engine_probe import install
from luminai.testing.engine_suite import CONFIG, assert_done_once
from luminai.testing.fleet import Fleet

PLACES = 8


@pytest.mark.shows("TL-163")
def test_ten_times_the_load__is_refused_in_part_and_loses_nothing(tmp_path: Path) -> None:
    install(tmp_path / "site")
    config = f"{CONFIG}[connections]\nrequests = {PLACES}\nper-address = 0\n[server]\nproxies = 1\n"
    fleet = Fleet(tmp_path / "home", config, search=(tmp_path / "site",))
    try:
        (node,) = fleet.serve()
        address = urlsplit(node.url)
        key = fleet.send("POST", "/api/keys", {"name": "load", "scopes": ["probe:run"]})["key"]
        with ExitStack() as stack:
            wires = {
                number: stack.enter_context(socket.create_connection((address.hostname or "", address.port or 0), timeout=20))
                for number in range(10 * PLACES)
            }
            for number, wire in wires.items():  # bodies that do not come yet hold the places
                wire.sendall(head_of(number, key))
            fleet.wait_for(lambda: sum(has_answer(wire) for wire in wires.values()) == 9 * PLACES)
            refused = {number: answer_of(wire) for number, wire in wires.items() if has_answer(wire)}
            assert {(status, body["code"], head["retry-after"]) for status, head, body in refused.values()} == {(503, "overloaded", "1")}
            assert fleet.send("GET", "/api/status")["platform_status"], "who asks how it is gets an answer"
            for number in wires.keys() - refused.keys():
                wires[number].sendall(body_of(number))
                assert answer_of(wires[number])[0] in (200, 202)  # it may have ended by then
        fleet.nodes[0].kill()
        fleet.serve()
        for number in refused:  # clients come again, as they were told
            fleet.send("POST", "/api/actions/probe.effect", {"number": number})
        assert_done_once(fleet, 0, 10 * PLACES)
    finally:
        fleet.close()


def head_of(number: int, key: str) -> bytes:
    """Return the head of a request for one effect, from one of many addresses."""
    lines = ["POST /api/actions/probe.effect HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body_of(number))}", f"X-Forwarded-For: 192.0.2.{number}", f"Idempotency-Key: effect-{number}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def body_of(number: int) -> bytes:
    """Return the body."""
    return json.dumps({"number": number}).encode()
