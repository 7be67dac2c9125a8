"""Tries are counted exactly, before they are looked at; nobody can lock somebody else's own device out."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.lives import Town, in_town

from luminai import RateLimited
from luminai.data.database import open_database
from luminai.data.migrations import core_source, upgrade
from luminai.identity.throttle import Rate, Throttle, network_of
from luminai.testing import FrozenClock

ADA = "ada@example.org"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Return "" for SQLite, and the URL of a PostgreSQL database of this test alone."""
    found: str = request.getfixturevalue("own_postgres_url") if request.param == "postgresql" else ""
    return found


def counted(answers: list[Any]) -> Counter[str]:
    return Counter(answer.json()["code"] for answer in answers)


def test_passwords__fifty_at_once_from_everywhere__five_are_looked_at(url: str) -> None:
    async def work(town: Town) -> None:
        signed = await town.settle_in(ADA)
        tried = await asyncio.gather(*(town.try_login(ADA, "wrong") for _ in range(50)))
        assert counted(tried) == {"sign-in-refused": 5, "too-many-tries": 45}
        late = next(one for one in tried if one.status == 429)
        assert late.headers["retry-after"] == "180"
        unknown = await asyncio.gather(*(town.try_login("nobody@example.org", "wrong") for _ in range(20)))
        assert counted(unknown) == {"sign-in-refused": 5, "too-many-tries": 15}, "an unknown address is counted the same"

        assert (await town.try_login(ADA)).status == 429, "the right password waits too"
        assert (await town.try_login(ADA, device_token=signed["device_token"])).status == 200, "but not where its owner signed in before"
        assert (await town.try_login(ADA, device_token="x" + signed["device_token"])).status == 429
        town.clock.advance(180)
        again = await asyncio.gather(*(town.try_login(ADA, "wrong") for _ in range(5)))
        assert counted(again) == {"sign-in-refused": 1, "too-many-tries": 4}, "one more every three minutes"

    in_town(work, database_url=url)


def test_passwords__from_one_network__twenty_a_minute_over_all_accounts(url: str) -> None:
    async def work(town: Town) -> None:
        tried = [town.try_login(f"p{count}@example.org", "wrong", address=f"2001:db8:1:2::{count:x}") for count in range(50)]
        assert counted(await asyncio.gather(*tried)) == {"sign-in-refused": 20, "too-many-tries": 30}
        assert (await town.try_login(ADA, address="2001:db8:1:3::1")).status == 401, "another network is counted by itself"

    in_town(work, database_url=url)


def test_sign_in__that_works__gives_the_tries_back() -> None:
    async def work(town: Town) -> None:
        await town.settle_in(ADA)
        for _ in range(3):
            assert counted([await town.try_login(ADA, "wrong") for _ in range(4)]) == {"sign-in-refused": 4}
            await town.login(ADA)

    in_town(work)


def test_hashes__more_at_once_than_wait__are_refused_and_the_rest_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luminai.identity.passwords.WAITING", 2)

    async def work(town: Town) -> None:
        await town.settle_in(ADA)
        tried = await asyncio.gather(*(town.try_login(f"p{count}@example.org", "wrong") for count in range(60)))
        found = counted(tried)
        assert set(found) == {"sign-in-refused", "sign-in-busy"}
        assert all(one.status == 503 and one.headers["retry-after"] == "1" for one in tried if one.json()["code"] == "sign-in-busy")
        await town.login(ADA)

    in_town(work)


@settings(max_examples=25, deadline=None)
@given(burst=st.integers(1, 6), waits=st.lists(st.integers(0, 400), min_size=1, max_size=30))
def test_throttle__any_rhythm__lets_through_what_a_bucket_would(tmp_path_factory: pytest.TempPathFactory, burst: int, waits: list[int]) -> None:
    seconds = burst * 60

    async def work() -> list[bool]:
        clock = FrozenClock()
        database = await open_database("", data_dir=tmp_path_factory.mktemp("throttle"), clock=clock)
        await upgrade(database, core_source())
        throttle, passed, told = Throttle(database, clock), [], [60.0]
        try:
            for wait in waits:
                clock.advance(wait)
                try:
                    await throttle.count(Rate(burst, seconds), "door")
                    passed.append(True)
                except RateLimited as error:
                    passed.append(False)
                    told.append(error.retry_after or 0.0)
        finally:
            await database.close()
        assert all(0 < wait <= 60 for wait in told), "whoever waits that long is let through"
        return passed

    def bucket() -> list[bool]:
        level, passed = float(burst), []
        for wait in waits:
            level = min(burst, level + wait / 60)
            passed.append(level >= 1 - 1e-9)
            level -= passed[-1]
        return passed

    assert asyncio.run(work()) == bucket()


@given(st.ip_addresses(v=6))
def test_network__of_an_address__is_what_one_customer_has(address: ipaddress.IPv6Address) -> None:
    network = network_of(str(address))
    if address.ipv4_mapped is not None:
        assert network == str(address.ipv4_mapped)
    else:
        assert address in ipaddress.IPv6Network(network)
        assert ipaddress.IPv6Network(network).prefixlen == 64
        assert network_of(str(ipaddress.IPv6Address(int(address) ^ 1))) == network


@pytest.mark.parametrize(("address", "counted_as"), [("192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::/64"), ("", "unknown"), ("me", "unknown")])
def test_network__of_odd_addresses(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as
