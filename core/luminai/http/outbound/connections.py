"""The hub's two HTTP sessions, each asking our resolver, and opening a socket only to an address that was looked at.

One is for the public rest and for private addresses that a grant names. The other is for private services by name: it connects to private addresses
only and keeps no connection, so that no call of another plugin finds one open.

Loaded with the first call, in a thread: the library takes a fifth of a second to import.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from luminai.http.outbound.addresses import IPAddress, is_nameable, is_public
from luminai.http.outbound.failures import refused

_log = logging.getLogger("luminai.outbound")
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, or raises ``OSError``."""

IN_ALL: Final = 512
"""Connections of all plugins; each has its own, smaller bounds."""
KEPT_SECONDS: Final = 15.0
MAX_ADDRESSES: Final = 8
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 8192

opened: ContextVar[tuple[IPAddress | None, int] | None] = ContextVar("opened", default=None)
"""The one private address and port that the call at hand may connect to; None for the address that a granted name leads to."""


class CheckedResolver(AbstractResolver):
    """Resolves a name once for each connection, and refuses it if any of its addresses is not public: what it returns is what is connected to.

    With ``private`` each address has to be a private one that may be named.
    """

    def __init__(self, lookup: Lookup, *, private: bool = False) -> None:
        self._lookup = lookup
        self._private = private

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the checked addresses; ``family`` is the connector's, which takes both."""
        found = list(await self._lookup(host, port))
        if not found:
            raise OSError(f"{host} has no address")
        if not all(_is_allowed(address, is_nameable if self._private else is_public) for address in found):
            wrong = "that is not of a private network" if self._private else "that is not public"
            _log.warning("outbound.refused", extra={"host": host, "reason": f"it leads to an address {wrong}"})
            raise refused(f"{host} leads to an address {wrong}.", f'An operator grants a private service as "private:{host}:{port}".')
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for address in found[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is held."""


def checked_socket(info: AddrInfoType) -> socket.socket:
    """Return a socket for an address that may be connected to: the last look, at what the connection is really made to.

    Raises:
        Upstream: the address is neither public nor opened for this call.
    """
    family, kind, protocol, _, where = info
    address, port = ip_address(str(where[0])), int(where[1])
    if not is_public(address) and opened.get() != (address, port):
        raise refused("That address is not public.")
    return socket.socket(family=family, type=kind, proto=protocol)


def private_socket(info: AddrInfoType) -> socket.socket:
    """Return a socket for an address of a private service that was granted by name.

    Raises:
        Upstream: the address is not a private one, or the call at hand was not granted this port.
    """
    family, kind, protocol, _, where = info
    if not is_nameable(ip_address(str(where[0]))) or opened.get() != (None, int(where[1])):
        raise refused("That address is not of the granted service.")
    return socket.socket(family=family, type=kind, proto=protocol)


def open_session(lookup: Lookup, tls: ssl.SSLContext, *, private: bool = False) -> ClientSession:
    """Return a session; it belongs to the running loop. No cookies, no proxies, no ``.netrc``, bounded headers."""
    connector = TCPConnector(
        resolver=CheckedResolver(lookup, private=private),
        use_dns_cache=False,
        socket_factory=private_socket if private else checked_socket,
        ssl=tls,
        limit=IN_ALL,
        **({"force_close": True} if private else {"keepalive_timeout": KEPT_SECONDS}),
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "luminai"},
        timeout=ClientTimeout(total=None),  # deadlines are the exchange's
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )


def trusted_authorities() -> ssl.SSLContext:
    """Return the TLS settings: certificates of the machine's authorities (``SSL_CERT_FILE`` adds others), names checked, TLS 1.2 or later."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_allowed(text: Any, rule: Callable[[IPAddress], bool]) -> bool:
    try:
        return rule(ip_address(text))
    except ValueError:
        return False
