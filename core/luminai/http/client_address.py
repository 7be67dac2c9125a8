"""Who is at the other end: the socket's peer, or what a trusted number of proxies report. A header from anybody else is only text."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Any


def client_address(scope: Any, proxies: int) -> str:
    """Return the client's address.

    Args:
        proxies: How many proxies of the operator's own stand before the hub. Each appends the address that it saw to ``X-Forwarded-For``,
            so the client is that many entries from the right; what stands further left was written by the client itself.
    """
    client = scope.get("client")
    address: str = client[0] if client else ""
    if not proxies:
        return address
    entries = [part.strip() for name, value in scope["headers"] if name == b"x-forwarded-for" for part in value.decode("latin-1").split(",")]
    if len(entries) < proxies:
        return address
    try:
        return str(ip_address(entries[-proxies]))
    except ValueError:
        return address


@lru_cache(4096)
def network_of(address: str) -> str:
    """Return what limits by address count: an IPv4 address itself, the /64 of an IPv6 address (one line has a whole one)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else ":".join(parsed.exploded.split(":")[:4]) + "::/64"
