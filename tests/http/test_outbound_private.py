"""Private services that an operator granted by name: reached as granted, and nothing else through them. The canary stands at the same address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from outbound_world import PUBLIC, World

from luminai import ConfigRejected, HubError
from luminai.http.outbound.grants import wrong_grants
from luminai.testing import running_hub

NEVER = (
    *("169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1"),  # noqa: S104
    *("::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fe80::1", "fe80::1%lo", "ff02::1", "fd00:ec2::254", "2002:7f00:1::"),
    *("nonsense", "", PUBLIC, "2606:2800:220:1::1"),
)


def granted(world: World) -> tuple[str, ...]:
    """Return the grant of the hop, a private service beside the canary, and all that the other tests allow."""
    return (f"private:ollama.lan:{world.hop_port}", "outbound:*", f"outbound:*:{world.port}", f"outbound:*:{world.hop_port}")


def at_hop(world: World, name: str = "ollama.lan") -> str:
    return f"http://{name}:{world.hop_port}/"


@pytest.mark.parametrize("name", ["ollama.lan", "localhost", "box"])
def test_private_service__granted_by_name__is_reached(world: World, name: str) -> None:
    world.names[name] = [["127.0.0.1"]]

    assert world.call(at_hop(world, name), approved=(f"private:{name}:{world.hop_port}",)).body == b"hi"
    assert (world.hits, world.tried) == (0, [("127.0.0.1", world.hop_port)])


@pytest.mark.parametrize("address", NEVER)
def test_private_service__leads_to_what_is_no_private_network__is_refused(world: World, address: str) -> None:
    world.names["ollama.lan"] = [[address]]

    assert world.refusal(at_hop(world), approved=granted(world)) == "outbound-refused"
    assert (world.hits, world.tried) == (0, [])


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1", PUBLIC], [PUBLIC, "127.0.0.1"], ["10.0.0.1", "169.254.169.254"], ["127.0.0.1", "::ffff:127.0.0.1"]]
)
def test_private_service__mixed_addresses__is_refused_as_a_whole(world: World, addresses: list[str]) -> None:
    world.names["ollama.lan"] = [addresses]

    assert world.refusal(at_hop(world), approved=granted(world)) == "outbound-refused"
    assert (world.hits, world.tried) == (0, [])


def test_private_service__rebinds__is_looked_at_with_every_call(world: World) -> None:
    world.names["ollama.lan"] = [["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", PUBLIC]]

    assert world.call(at_hop(world), approved=granted(world)).status == 200
    assert [world.refusal(at_hop(world), approved=granted(world)) for _ in range(2)] == ["outbound-refused"] * 2
    assert (world.hits, world.tried, world.asked) == (0, [("127.0.0.1", world.hop_port)], ["ollama.lan"] * 3)


@pytest.mark.parametrize("url", ["http://ollama.lan:{port}/", "http://ollama.lan/", "https://ollama.lan/", "http://127.0.0.1:{hop}/",
                                 "http://a.ollama.lan:{hop}/", "http://ollama.lan.example.org:{hop}/", "http://localhost:{hop}/",
                                 "http://xollama.lan:{hop}/", "http://ollama.lan@127.0.0.1:{port}/", "http://[::1]:{port}/"])  # fmt: skip
def test_private_grant__opens_nothing_beside_it(world: World, url: str) -> None:
    target = url.replace("{port}", str(world.port)).replace("{hop}", str(world.hop_port))

    assert world.refusal(target, approved=granted(world)) == "outbound-refused"
    assert (world.hits, world.tried) == (0, [])


@pytest.mark.parametrize("approved", [("outbound:*", "outbound:*:{hop}"), ("outbound:ollama.lan:{hop}",), ("outbound:*.lan:{hop}",), ()])
@pytest.mark.parametrize("keeps", [b"", b"Connection: close\r\n"], ids=["kept open", "closed"])
def test_private_grant__of_one_plugin__opens_nothing_to_another(world: World, approved: tuple[str, ...], keeps: bytes) -> None:
    world.names["ollama.lan"] = [["127.0.0.1"]]
    world.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + keeps + b"\r\nhi"
    assert world.call(at_hop(world), approved=granted(world)).status == 200

    given = tuple(one.replace("{hop}", str(world.hop_port)) for one in approved)
    assert world.refusal(at_hop(world), approved=given) == "outbound-refused"
    assert len(world.tried) == 1


@pytest.mark.parametrize("location", ["http://ollama.lan:{hop}/", "//ollama.lan:{hop}/", "http://OLLAMA.lan.:{hop}/", "http://ollama.lan:{port}/",
                                      "http://127.0.0.1:{port}/"])  # fmt: skip
def test_redirect__from_outside_to_a_granted_private_service__is_refused(world: World, location: str) -> None:
    world.names |= {"ollama.lan": [["127.0.0.1"]], "b.example.org": [[PUBLIC]]}
    world.routes[(PUBLIC, 80)] = ("127.0.0.1", world.hop_port)
    target = location.replace("{port}", str(world.port)).replace("{hop}", str(world.hop_port))
    world.answer = lambda _: f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()

    approved = (*granted(world), f"outbound:127.0.0.1:{world.port}")
    assert world.refusal("http://b.example.org/", approved=approved, redirects=3) == "outbound-refused"
    assert (world.hits, world.tried) == (0, [(PUBLIC, 80)])


@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/", "http://ollama.lan:{port}/", "http://localhost:{port}/", "http://169.254.169.254/"])
def test_redirect__from_a_granted_private_service__reaches_no_other(world: World, location: str) -> None:
    world.names["ollama.lan"] = [["127.0.0.1"]]
    target = location.replace("{port}", str(world.port))
    world.answer = lambda _: f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()

    assert world.refusal(at_hop(world), approved=granted(world), redirects=3) == "outbound-refused"
    assert (world.hits, len(world.tried)) == (0, 1)


def test_private_session__used_past_the_checks__opens_no_socket(world: World) -> None:
    world.names["ollama.lan"] = [["127.0.0.1"]]

    async def straight() -> None:
        session = await world.outbound.session(private=True)
        await session.get(f"http://ollama.lan:{world.port}/")

    with pytest.raises(HubError) as caught:
        world.run(straight())
    assert (caught.value.code, world.hits, world.tried) == ("outbound-refused", 0, [])


@pytest.mark.parametrize(
    "grant",
    [
        "ollama.lan",
        "*.lan:80",
        "*:80",
        "127.0.0.1:80",
        "[::1]:80",
        "127.1:80",
        "ollama.lan.:80",
        "Ollama.lan:80",
        "a:65536",
        "a:0",
        "http://a:80",
        "",
    ],
)
def test_private_grant__cannot_be_read__is_told(grant: str) -> None:
    assert len(wrong_grants([f"private:{grant}"])) == 1


MANIFEST = """manifest = 1
id = "caller"
title = "Caller"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["routes"]
grants = {grants}
"""
CALLER = """
    from typing import Annotated
    from litestar import get
    from litestar.params import QueryParameter
    from luminai import hookimpl, policy

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @get("/api/caller", opt=policy(anonymous=True))
            async def call(url: Annotated[str, QueryParameter(max_length=200)]) -> str:
                return (await ctx.http.request("GET", url)).body.decode()
            return [call]
"""


def test_manifest__asks_for_a_private_service__is_refused(plugins: Any) -> None:
    caller = plugins.make("caller", CALLER, raw_manifest=MANIFEST.replace("{grants}", '["anonymous-routes", "private:ollama.lan:11434"]'))

    async def main() -> Any:
        async with running_hub("caller", installed=[caller]) as hub:
            return hub.status("caller")

    assert asyncio.run(main()).code == "bad-manifest"


def test_operator__grants_more_than_sixteen__and_sets_how_many_calls_run(plugins: Any, world: World) -> None:
    asked = [f"outbound:host-{number}.example.org" for number in range(40)]
    caller = plugins.make("caller", CALLER, raw_manifest=MANIFEST.replace("{grants}", str(["anonymous-routes", *asked]).replace("'", '"')))
    settings = {"approve": ["anonymous-routes", *asked, f"private:localhost:{world.hop_port}"], "max-calls": 2, "max-streams": 64}

    async def main() -> Any:
        async with running_hub("caller", installed=[caller], settings={"plugins": {"caller": settings}}) as hub:
            answer = await hub.client().request("GET", f"/api/caller?url=http://localhost:{world.hop_port}/")
            refused = await hub.client().request("GET", f"/api/caller?url=http://localhost:{world.port}/")
        too_many = {"plugins": {"caller": settings | {"approve": asked * 4, "max-streams": 1025}}}
        with pytest.raises(ConfigRejected):
            async with running_hub("caller", installed=[caller], settings=too_many):
                pass
        return answer, refused.json()

    answer, refused = world.run(main())
    assert (answer.status, answer.text, world.hits) == (200, "hi", 0)
    assert refused["code"] == "outbound-refused"
    assert f"private:localhost:{world.port}" in refused["hint"]
