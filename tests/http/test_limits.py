"""Limits are exact, for one process and for many, and an answer says how much is left."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from home import Home
from hypothesis import given
from hypothesis import strategies as st

from luminai.config.settings import Rate
from luminai.data.rates import MemoryRates, RedisRates, rates_for
from luminai.http.client_address import client_address, network_of
from luminai.testing import HubUnderTest, running_hub

HELLO = """
    from litestar import get
    from luminai import hookimpl, policy

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/hello", opt=policy(anonymous=True))
            async def hello() -> None: ...
            @get("/api/hello/secret", opt=policy("hello:read"))
            async def secret() -> None: ...
            @get("/api/hello/often", opt=policy(anonymous=True, limit="often"))
            async def often() -> None: ...
            return [hello, secret, often]
"""
TAKER = """
import asyncio, sys
from luminai.config.settings import Rate
from luminai.data.database import open_database
from luminai.data.rates import RedisRates, rates_for
from luminai.telemetry.clock import SystemClock
from pathlib import Path

async def main(database_url, redis_url, key):
    database = await open_database(database_url, data_dir=Path("."), clock=SystemClock())
    store = RedisRates(redis_url, "test") if redis_url else rates_for(database)
    taken = await asyncio.gather(*(store.take(key, Rate(requests=10, seconds=3600)) for _ in range(50)))
    print(sum(one.passed for one in taken))
    await store.close()
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


def limited(plugins: Any, **limits: Any) -> Any:
    plugin = plugins.make("hello", HELLO, manifest='scopes = { "hello:read" = "Read." }')
    return running_hub("hello", installed=[plugin], settings={"limits": limits})


def ask(hub: HubUnderTest, times: int, path: str = "/api/hello", **headers: str) -> Any:
    client = hub.client()
    return asyncio.gather(*(client.request("GET", path, headers=headers) for _ in range(times)))


def test_limit__lets_exactly_so_many_through_and_says_what_is_left(plugins: Any) -> None:
    async def main() -> Any:
        async with limited(plugins, anonymous={"requests": 10, "per": "address"}) as hub:
            first = (await ask(hub, 1))[0]
            return first, await ask(hub, 49)

    first, rest = asyncio.run(main())
    assert (first.headers["ratelimit"], first.headers["ratelimit-policy"]) == ('"anonymous";r=9;t=6', '"anonymous";q=10;w=60')
    assert [answer.status for answer in rest].count(200) == 9
    refused = [answer for answer in rest if answer.status == 429]
    assert len(refused) == 40
    assert refused[0].json()["code"] == "rate-limited"
    assert 1 <= int(refused[0].headers["retry-after"]) <= 6


def test_address__is_counted_before_the_credential_and_cannot_be_made_up(plugins: Any) -> None:
    async def main() -> Any:
        async with limited(plugins, address={"requests": 10, "per": "address"}) as hub:
            found = []
            for number in range(30):
                spoofed = {"X-Forwarded-For": f"203.0.113.{number}", "Authorization": f"Bearer lum_{number}"}
                found += await ask(hub, 1, "/api/hello/secret", **spoofed)
            return [answer.status for answer in found]

    statuses = asyncio.run(main())
    assert statuses.count(401) == 10
    assert statuses.count(429) == 20


def test_route__can_name_a_class_of_the_operators(plugins: Any) -> None:
    async def main() -> Any:
        async with limited(plugins, classes={"often": {"requests": 2, "per": "address"}}) as hub:
            # Asked at once, so any of the three can be the one too many.
            return sorted(answer.status for answer in await ask(hub, 3, "/api/hello/often")), [answer.status for answer in await ask(hub, 3)]

    assert asyncio.run(main()) == ([200, 200, 429], [200, 200, 200])


def test_route__of_a_class_that_nobody_set__counts_in_the_callers_own(plugins: Any) -> None:
    async def main() -> Any:
        async with limited(plugins, anonymous={"requests": 2, "seconds": 3600, "per": "address"}) as hub:
            return sorted(answer.status for answer in await ask(hub, 3, "/api/hello/often")), [answer.status for answer in await ask(hub, 1)]

    assert asyncio.run(main()) == ([200, 200, 429], [429])


@pytest.mark.shows("LR-39")
def test_key__has_a_limit_of_its_own(served: Home) -> None:
    key = served.data("keys", "create", "--name", "limited", "--scope", "chat:read")["key"]
    answer = httpx.get(f"{served.env['LUMINAI_URL']}/api/sessions", headers={"Authorization": f"Bearer {key}"})
    assert answer.headers["ratelimit-policy"] == '"api-key";q=300;w=60'
    assert answer.headers["ratelimit"] == '"api-key";r=299;t=1'


@pytest.mark.postgres
def test_processes__share_one_limit_in_postgresql(tmp_path: Path, own_postgres_url: str) -> None:
    async def create() -> None:
        async with running_hub(database_url=own_postgres_url):
            pass

    asyncio.run(create())
    assert sum(_take(tmp_path, own_postgres_url, "")) == 10


def test_processes__share_one_limit_in_redis(tmp_path: Path, redis_url: str) -> None:
    assert sum(_take(tmp_path, "", redis_url)) == 10


def test_hubs_in_one_redis__count_apart(plugins: Any, redis_url: str) -> None:
    async def main() -> list[int]:
        limits = {"redis-url": redis_url, "anonymous": {"requests": 2, "seconds": 3600, "per": "address"}}
        async with limited(plugins, **limits) as one, limited(plugins, **limits) as other:
            return [[answer.status for answer in await ask(hub, 3)].count(200) for hub in (one, other)]

    assert asyncio.run(main()) == [2, 2]


def test_redis_away__each_process_counts_alone() -> None:
    async def main() -> int:
        store = RedisRates("redis://127.0.0.1:9/0", "test")
        taken = [await store.take("one", Rate(requests=3, seconds=3600)) for _ in range(5)]
        await store.close()
        return sum(one.passed for one in taken)

    assert asyncio.run(main()) == 3


def _take(folder: Path, url: str, redis: str) -> list[int]:
    script = folder / "taker.py"
    script.write_text(TAKER)
    key = f"test:{uuid4()}"
    folders = [folder / str(number) for number in range(4)]
    for one in folders:
        one.mkdir()
    running = [subprocess.Popen([sys.executable, script, url, redis, key], cwd=one, stdout=subprocess.PIPE, text=True) for one in folders]
    return [int(process.communicate(timeout=60)[0]) for process in running]


@given(st.integers(1, 20), st.integers(1, 60))
def test_memory__never_lets_more_through_than_the_rate(requests: int, asked: int) -> None:
    async def main() -> int:
        store = MemoryRates()
        taken = [await store.take("one", Rate(requests=requests, seconds=3600)) for _ in range(asked)]
        assert [one.left for one in taken if one.passed] == list(reversed(range(requests)))[: min(asked, requests)]
        return sum(one.passed for one in taken)

    assert asyncio.run(main()) == min(requests, asked)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, ["1.2.3.4"], "10.0.0.1"),
        (1, ["1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (2, ["6.6.6.6, 1.2.3.4, 5.5.5.5"], "1.2.3.4"),
        (2, ["1.2.3.4"], "10.0.0.1"),
        (1, ["nonsense"], "10.0.0.1"),
        (1, [], "10.0.0.1"),
    ],
)
def test_client_address__is_what_a_trusted_proxy_saw(proxies: int, forwarded: list[str], address: str) -> None:
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded]}
    assert client_address(scope, proxies) == address


def test_network__of_a_line_with_a_whole_64_is_one() -> None:
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2:bbbb::9")
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("::ffff:1.2.3.4") == "1.2.3.4"


def test_store__of_a_hub_alone_is_its_memory() -> None:
    async def main() -> Any:
        async with running_hub() as hub:
            return type(rates_for(hub.hub.database)).__name__, hub.hub.database.dialect

    store, dialect = asyncio.run(main())
    assert store == {"sqlite": "MemoryRates", "postgresql": "ServerRates"}[dialect]
