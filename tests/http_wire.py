"""Requests on bare connections: what waits to be read, and what it is."""

from __future__ import annotations

import json
import socket
from typing import Any


def has_answer(wire: socket.socket) -> bool:
    """Tell whether something waits to be read."""
    wire.setblocking(False)
    try:
        return bool(wire.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        wire.settimeout(20)


def answer_of(wire: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and body of the answer on a connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += wire.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += wire.recv(65536)
    return int(first.split()[1]), headers, json.loads(body)
