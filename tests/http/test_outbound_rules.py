"""The rules behind calls to other services, as pure functions: which addresses are public, and which grants can be read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luminai.http.outbound.addresses import is_nameable, is_public
from luminai.http.outbound.grants import read_grant, wrong_grants


@pytest.mark.parametrize(
    "grant",
    [
        *("", "http://api.example.org", "api.example.org/", "API.example.org", "api.example.org.", "a..b", "*.*", "*a.example.org", "a.*.org"),
        *("127.1", "0x7f.0.0.1", "127.0.0.1", "10.0.0.1", "[::1]", "::1", "*.0.0.1", "169.254.169.254:80", "[fe80::1]:80", "224.0.0.1:80"),
        *("0.0.0.0:80", "[::ffff:127.0.0.1]:80", "100.100.100.200:80", "api.example.org:0", "api.example.org:65536", "api.example.org:http"),
    ],
)
def test_grant__cannot_be_read__is_told(grant: str) -> None:
    assert len(wrong_grants([f"outbound:{grant}"])) == 1


@given(st.ip_addresses(v=4))
def test_addresses__mapped__are_judged_as_what_they_map_to(address: IPv4Address) -> None:
    assert is_public(IPv6Address(f"::ffff:{address}")) == is_public(address)


@given(st.one_of(st.ip_addresses(), st.ip_addresses(v=6, network="2000::/3")))
def test_addresses__public_to_us__are_global_to_the_registry_too(address: IPv4Address | IPv6Address) -> None:
    if is_public(address) and getattr(address, "ipv4_mapped", None) is None:
        assert address.is_global
        assert not address.is_multicast
    assert not (is_public(address) and is_nameable(address))


@given(st.ip_addresses(v=4), st.sampled_from(["64:ff9b::", "2002:{}::", "::", "2001:0:{}::"]))
def test_addresses__wrapping_another__are_never_public(inner: IPv4Address, prefix: str) -> None:
    halves = f"{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}"
    outer = IPv6Address(prefix.format(halves) if "{}" in prefix else f"{prefix}{halves}")

    assert not is_public(outer)


@given(st.text(alphabet="ab.*:[]0-9x", max_size=20))
def test_grants__any_text__is_read_or_refused_in_words(text: str) -> None:
    try:
        grant = read_grant(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ends are right
    else:
        assert grant.address is None or is_public(grant.address) or is_nameable(grant.address)
