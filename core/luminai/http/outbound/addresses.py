"""Which addresses the hub connects to: plain global unicast, and those private ones that an operator may name.

The tables are our own: ``ipaddress.is_private`` and ``is_global`` change with the Python release and call NAT64, 6to4 and multicast global.
Source: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), read in 2026.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

IPAddress = IPv4Address | IPv6Address

_NOT_PUBLIC_4: Final = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
            *("192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),  # protocol assignments, documentation
            *("192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24"),  # AS112 and AMT: anycast, nobody's service
            "192.88.99.0/24",  # 6to4 relays
            "198.18.0.0/15",  # benchmarks
            "168.63.129.16/32",  # a public address that is the inside of a cloud: Azure's host agent
            *("224.0.0.0/4", "240.0.0.0/4"),  # multicast; reserved and broadcast
        ),
    )
)
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Teredo, benchmarks, ORCHID
            *("2001:db8::/32", "3fff::/20"),  # documentation
            "2002::/16",  # 6to4
            "2620:4f:8000::/48",  # AS112
        ),
    )
)
_NAMEABLE_4: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_NAMEABLE_6: Final = tuple(map(IPv6Network, ("::1/128", "fc00::/7")))
_METADATA: Final = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))
"""Where clouds hand out the machine's own credentials, inside of ranges that may be named otherwise."""


def is_public(address: IPAddress) -> bool:
    """Tell whether the address is plain global unicast. An IPv4-mapped one is judged as what it maps to."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return address.scope_id is None and address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)
        address = address.ipv4_mapped
    return not any(address in network for network in _NOT_PUBLIC_4)


def is_nameable(address: IPAddress) -> bool:
    """Tell whether an operator may open this private address by naming it: loopback and private networks, never link-local or multicast."""
    if address in _METADATA:
        return False
    if isinstance(address, IPv6Address):
        return address.scope_id is None and any(address in network for network in _NAMEABLE_6)
    return any(address in network for network in _NAMEABLE_4)
