"""No test talks to the world by accident: connections that leave this machine are refused, and the test that tried fails."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NetworkBlocked(ConnectionRefusedError):
    """A connection to a host outside this machine was tried."""


class NetworkGuard:
    """What was tried, in order, as ``host:port``; ``allow`` lets a host through."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self._allowed: set[str] = set()

    def allow(self, host: str) -> None:
        """Let connections to ``host`` through: a name, or an address."""
        self._allowed.add(host)

    def check(self, host: str, port: object) -> None:
        """Raise unless the host is this machine or allowed.

        Raises:
            NetworkBlocked: naming host and port.
        """
        if host in self._allowed or is_loopback(host):
            return
        self.attempts.append(f"{host}:{port}")
        raise NetworkBlocked(f"a test tried to reach {host}:{port}; give it a double, or network_guard.allow({host!r})")


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine."""
    if host in ("", "localhost", "localhost.localdomain"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@contextmanager
def guarded() -> Iterator[NetworkGuard]:
    """Refuse connections that leave this machine while the block runs (those of ``socket``; uvloop has its own and is not seen)."""
    guard = NetworkGuard()
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    real_lookup = socket.getaddrinfo

    def checking(name: str) -> Any:
        def call(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
                guard.check(str(address[0]), address[1])
            return real[name](self, *arguments)

        return call

    def lookup(host: Any, port: Any, *arguments: Any, **more: Any) -> Any:
        # here the name is still known; an address of an allowed name must pass `connect` too
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        guard.check(name, port)
        found = real_lookup(host, port, *arguments, **more)
        for entry in found:
            guard.allow(str(entry[4][0]))
        return found

    for name in real:
        setattr(socket.socket, name, checking(name))
    socket.getaddrinfo = lookup
    try:
        yield guard
    finally:
        socket.getaddrinfo = real_lookup
        for name, method in real.items():
            delattr(socket.socket, name)  # some are inherited from the C class
            if getattr(socket.socket, name) is not method:
                setattr(socket.socket, name, method)
