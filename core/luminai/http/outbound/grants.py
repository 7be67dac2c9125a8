"""The grants ``outbound:…`` of a plugin: which hosts and ports it may call.

``outbound:api.example.com`` is that name at ports 80 and 443, ``outbound:api.example.com:8443`` at that port only, ``outbound:*.example.com`` every
name below it, ``outbound:*`` every public host, ``outbound:127.0.0.1:11434`` or ``outbound:[fd00::1]:8080`` that address. A private address is
reached only by a grant that names it with its port.

``private:ollama.lan:11434`` opens a private service by its name, at that port only. Only an operator can write it: a manifest cannot ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from luminai.http.outbound.addresses import IPAddress, is_nameable, is_public

PREFIX: Final = "outbound:"
PRIVATE: Final = "private:"
USUAL_PORTS: Final = (80, 443)
_GRANT: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9*._-]+)(:(?P<port>[1-9][0-9]{0,4}))?", re.ASCII)
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_NUMERIC: Final = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)", re.ASCII | re.DOTALL)
"""A host whose last label is a number is an address, or a trick (WHATWG URL, "ends in a number"): the resolver reads 127.1 and 0x7f.1 as loopback."""


class Grant(Struct, frozen=True):
    """``host`` is a name, ``*.`` and a name, or ``*``; empty when the grant is an ``address``. ``ports`` are those that it opens.

    ``is_private``: the name leads to private addresses, and to no others.
    """

    host: str
    address: IPAddress | None
    ports: tuple[int, ...]
    is_private: bool = False

    def covers(self, host: str, address: IPAddress | None, port: int) -> bool:
        """Tell whether it allows the host at the port. ``address`` is the host if that is a literal."""
        if port not in self.ports:
            return False
        if self.address is not None:
            return address == self.address
        if address is not None:
            return self.host == "*" and is_public(address)
        if self.host.startswith("*"):
            return host.endswith(self.host[1:])
        return host == self.host


def read_host(host: str) -> tuple[str, IPAddress | None]:
    """Return a host as it is compared, and as an address if it is a literal.

    Args:
        host: Of a parsed URL: ASCII, lower case, IPv6 without brackets.

    Raises:
        ValueError: it is neither a name nor an address in its normal form.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone")
        address = IPv6Address(host)
        return str(address), address
    if _NUMERIC.fullmatch(host.removesuffix(".")):
        return host, IPv4Address(host)
    name = host.removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError("not a host name")
    return name, None


def grant_of(url: str) -> str:
    """Return the grant for the host and port of an address and nothing else; a private one is named by its address.

    Raises:
        ValueError: it is no address that can be called.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected https://host/path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"outbound:{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def read_grant(text: str) -> Grant:
    """Return the grant that ``text`` is, with or without its prefix.

    Raises:
        ValueError: in words, why it is none.
    """
    match = _GRANT.fullmatch(text.removeprefix(PREFIX))
    if match is None:
        raise ValueError("expected a host in lower case, with or without a port, such as api.example.com, *.example.com or 127.0.0.1:11434")
    port = int(match["port"] or 0)
    if port > 65535:
        raise ValueError("there is no such port")
    ports = (port,) if port else USUAL_PORTS
    host = match["host"].strip("[]")
    if host == "*":
        return Grant("*", None, ports)
    below = host.startswith("*.")
    name, address = read_host(host.removeprefix("*."))
    if address is None:
        if name != host.removeprefix("*."):
            raise ValueError("a name has no dot at its end")
        return Grant(f"*.{name}" if below else name, None, ports)
    if below:
        raise ValueError("an address has no names below it")
    if not is_public(address) and not (is_nameable(address) and port):
        raise ValueError("a private address needs its port, as in 127.0.0.1:11434" if is_nameable(address) else "the hub never calls this address")
    return Grant("", address, ports)


def read_private(text: str) -> Grant:
    """Return the grant of a private service that ``text`` is, with or without its prefix.

    Raises:
        ValueError: in words, why it is none.
    """
    match = _GRANT.fullmatch(text.removeprefix(PRIVATE))
    if match is None or not match["port"] or int(match["port"]) > 65535 or "*" in match["host"]:
        raise ValueError("expected one name in lower case with its port, such as ollama.lan:11434")
    name, address = read_host(match["host"].strip("[]"))
    if address is not None:
        raise ValueError(f"an address is granted as {PREFIX}{match['host']}:{match['port']}")
    if name != match["host"]:
        raise ValueError("a name has no dot at its end")
    return Grant(name, None, (int(match["port"]),), is_private=True)


def outbound_grants(approved: Iterable[str]) -> tuple[Grant, ...]:
    """Return the outbound grants among what an operator approved, those of private services first.

    Raises:
        ValueError: one cannot be read.
    """
    given = tuple(approved)
    private = tuple(read_private(text) for text in given if text.startswith(PRIVATE))
    return (*private, *(read_grant(text) for text in given if text.startswith(PREFIX)))


def wrong_grants(approved: Iterable[str]) -> list[str]:
    """Return, one sentence each, which outbound grants cannot be read."""
    found = []
    for text in approved:
        try:
            outbound_grants((text,))
        except ValueError as error:
            found.append(f"{text}: {error}")
    return found
