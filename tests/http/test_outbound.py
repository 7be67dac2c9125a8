"""What a plugin may call: only hosts of its grants, and no address that is not public unless a grant names it. A canary counts who comes."""

from __future__ import annotations

from typing import Any

import pytest
from outbound_world import PUBLIC, World

from luminai import HubError
from luminai.testing import running_hub

NOT_PUBLIC_4 = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "100.100.100.200", "127.0.0.1", "127.1.2.3"),  # noqa: S104
    *("127.255.255.254", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.0.0.1", "192.0.0.192"),
    *("192.0.2.1", "198.51.100.7", "203.0.113.9", "192.31.196.1", "192.52.193.1", "192.175.48.1", "192.88.99.1", "198.18.0.1"),
    *("198.19.255.255", "168.63.129.16", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
)
NOT_PUBLIC_6 = (
    *("::", "::1", "::7f00:1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "3fff::1", "2620:4f:8000::1", "4000::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254"),
    *("fe80::1", "fec0::1", "ff02::1", "ff0e::1"),
)


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", [*NOT_PUBLIC_4, *NOT_PUBLIC_6])
def test_address__not_public__is_refused_in_the_url(world: World, address: str) -> None:
    assert world.refusal(f"http://{literal(address)}:{world.port}/") == "outbound-refused"
    assert (world.hits, world.tried, world.asked) == (0, [], [])


@pytest.mark.parametrize("address", [*NOT_PUBLIC_4, *NOT_PUBLIC_6, "fe80::1%lo", "::1%1", "nonsense", ""])
def test_address__not_public__is_refused_behind_a_name(world: World, address: str) -> None:
    world.names["a.example.org"] = [[address]]

    assert world.refusal(f"http://a.example.org:{world.port}/") == "outbound-refused"
    assert (world.hits, world.tried, world.asked) == (0, [], ["a.example.org"])


@pytest.mark.parametrize(
    "addresses",
    [
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        ["2606:2800:220:1::1", "::1"],
        [PUBLIC, "2606:2800:220:1::1", "::ffff:127.0.0.1"],
        [PUBLIC, "64:ff9b::7f00:1"],
        [*(f"93.184.216.{last}" for last in range(20)), "127.0.0.1"],
    ],
)
def test_name__mixed_addresses__is_refused_as_a_whole(world: World, addresses: list[str]) -> None:
    world.names["mixed.example.org"] = [addresses]

    assert world.refusal(f"http://mixed.example.org:{world.port}/") == "outbound-refused"
    assert (world.hits, world.tried) == (0, [])


TRICKS = {
    "short": "http://127.1:{port}/",
    "shorter": "http://127.0.1:{port}/",
    "decimal": "http://2130706433:{port}/",
    "octal": "http://0177.0.0.1:{port}/",
    "octal whole": "http://017700000001:{port}/",
    "hex": "http://0x7f.0.0.1:{port}/",
    "hex whole": "http://0x7f000001:{port}/",
    "hex last": "http://127.0.0.0x1:{port}/",
    "bare hex mark": "http://127.0.0.0x:{port}/",
    "zero": "http://0:{port}/",
    "leading zeros": "http://127.000.000.001:{port}/",
    "overflow": "http://127.0.0.257:{port}/",
    "five parts": "http://127.0.0.1.1:{port}/",
    "dot at the end": "http://127.0.0.1.:{port}/",
    "dots at the end": "http://127.0.0.1..:{port}/",
    "full-width dots": "http://127。0。0。1:{port}/",
    "full-width digits": "http://１２７.０.０.１:{port}/",
    "circled digits": "http://①②⑦.0.0.①:{port}/",
    "Arabic digits": "http://١٢٧.٠.٠.١:{port}/",
    "soft hyphen": "http://127.0.0.\u00ad1:{port}/",
    "zero-width": "http://127.0.0.1\u200b:{port}/",
    "percent dots": "http://127%2e0%2e0%2e1:{port}/",
    "percent digits": "http://%31%32%37.0.0.1:{port}/",
    "NUL": "http://127.0.0.1\x00.example.org:{port}/",
    "percent NUL": "http://127.0.0.1%00.example.org:{port}/",
    "tab in host": "http://127.0.0\t.1:{port}/",
    "newline in host": "http://127.0\n.0.1:{port}/",
    "return in host": "http://127.0.0.1\r:{port}/",
    "space before": " http://127.0.0.1:{port}/",
    "newline after": "http://127.0.0.1:{port}/\n",
    "header in path": "http://a.example.org:{port}/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "port too large": "http://127.0.0.1:65536/",
    "port wraps": "http://a.example.org:131152/",
    "port zero": "http://a.example.org:0/",
    "port negative": "http://a.example.org:-80/",
    "port full-width": "http://127.0.0.1:８０/",
    "two ports": "http://a.example.org:80:{port}/",
    "user": "http://a.example.org@127.0.0.1:{port}/",
    "user and password": "http://user:secret@a.example.org:{port}/",
    "user is a host": "http://127.0.0.1:{port}@a.example.org:{port}/",
    "two at": "http://x@127.0.0.1:{port}@a.example.org/",
    "fragment then at": "http://127.0.0.1:{port}#@a.example.org/",
    "query then at": "http://127.0.0.1:{port}?@a.example.org/",
    "backslash at": "http://a.example.org\\@127.0.0.1:{port}/",
    "backslashes": "http:\\\\127.0.0.1:{port}\\",
    "no slashes": "http:127.0.0.1:{port}/",
    "three slashes": "http:///127.0.0.1:{port}/",
    "no scheme": "//127.0.0.1:{port}/",
    "host only": "127.0.0.1:{port}",
    "empty": "",
    "file": "file:///etc/passwd",
    "file with host": "file://127.0.0.1:{port}/etc/passwd",
    "gopher": "gopher://127.0.0.1:{port}/_GET%20/",
    "ftp": "ftp://127.0.0.1:{port}/",
    "dict": "dict://127.0.0.1:{port}/info",
    "data": "data:text/plain,hello",
    "ws": "ws://127.0.0.1:{port}/",
    "tcp": "tcp://127.0.0.1:{port}/",
    "unix": "unix:///run/docker.sock",
    "http+unix": "http+unix://%2Frun%2Fdocker.sock/info",
    "unix host": "http://unix:/run/docker.sock:/info",
    "path as host": "http://%2Frun%2Fdocker.sock/info",
    "zone": "http://[::1%25lo]:{port}/",
    "raw zone": "http://[fe80::1%lo]:{port}/",
    "v4 in brackets": "http://[127.0.0.1]:{port}/",
    "future address": "http://[v1.127]:{port}/",
    "mapped hex": "http://[::ffff:7f00:1]:{port}/",
    "mapped long": "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/",
    "two dots": "http://a..example.org:{port}/",
    "hyphen first": "http://-a.example.org:{port}/",
    "long label": "http://" + "a" * 64 + ".example.org:{port}/",
    "long name": "http://" + "a." * 130 + "example.org:{port}/",
    "long URL": "http://a.example.org:{port}/" + "a" * 9000,
    "comma": "http://127.0.0.1,a.example.org:{port}/",
}


@pytest.mark.parametrize("url", [pytest.param(url, id=name) for name, url in TRICKS.items()])
def test_url__trick__is_refused(world: World, url: str, request: pytest.FixtureRequest) -> None:
    assert world.refusal(url.replace("{port}", str(world.port))) == "outbound-refused"
    assert (world.hits, world.tried) == (0, [])
    if request.node.callspec.id not in ("Arabic digits", "unix host"):  # these two are names
        assert world.asked == [], "refused as it stands, not by its address"


@pytest.mark.parametrize("name", ["localhost", "localhost.", "LOCALHOST", "ip6-localhost", "metadata.google.internal", "127.0.0.1.nip.example.org"])
def test_name__of_this_machine__is_refused_after_its_lookup(world: World, name: str) -> None:
    assert world.refusal(f"http://{name}:{world.port}/") == "outbound-refused"
    assert (world.hits, world.tried) == (0, [])


def test_name__rebinds_between_calls__reaches_only_what_was_looked_at(world: World) -> None:
    world.names["rebind.example.org"] = [[PUBLIC], ["127.0.0.1"]]
    world.routes[(PUBLIC, world.port)] = ("127.0.0.1", world.hop_port)
    url = f"http://rebind.example.org:{world.port}/"

    assert world.call(url).body == b"hi"
    assert world.asked == ["rebind.example.org"], "one lookup a connection: there is no second one that could answer otherwise"
    assert world.refusal(url) == "outbound-refused"
    assert (world.hits, world.tried) == (0, [(PUBLIC, world.port)])


def test_name__kept_connection_is_gone__the_next_one_is_looked_at_again(world: World) -> None:
    world.names["rebind.example.org"] = [[PUBLIC], ["127.0.0.1"]]
    world.routes[(PUBLIC, world.port)] = ("127.0.0.1", world.hop_port)
    world.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"  # says that it stays, and goes
    url = f"http://rebind.example.org:{world.port}/"

    assert world.call(url).body == b"hi"
    assert world.refusal(url) == "outbound-refused"
    assert world.hits == 0


def test_name__public__is_connected_to_at_its_address_with_its_own_name(world: World) -> None:
    heard = []
    world.names["api.example.org"] = [[PUBLIC]]
    world.routes[(PUBLIC, 80)] = ("127.0.0.1", world.hop_port)
    world.answer = lambda head: heard.append(head) or b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"

    assert world.call("http://api.example.org/v1?q=1", approved=("outbound:api.example.org",)).status == 204
    assert world.tried == [(PUBLIC, 80)]
    assert heard[0].startswith("GET /v1?q=1 HTTP/1.1\r\nHost: api.example.org\r\n")


def test_cookies__of_an_answer__are_not_sent_again(world: World) -> None:
    heard = []
    world.names["api.example.org"] = [[PUBLIC]]
    world.routes[(PUBLIC, 80)] = ("127.0.0.1", world.hop_port)
    world.answer = lambda head: heard.append(head) or b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b; Path=/\r\nConnection: close\r\n\r\n"

    world.call("http://api.example.org/")
    world.call("http://api.example.org/")

    assert len(heard) == 2
    assert "cookie" not in heard[1].lower()


REDIRECTS = [
    *("http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://[::ffff:7f00:1]:{port}/"),
    *("http://2130706433:{port}/", "http://１２７.0.0.1:{port}/", "http://a.example.org:{port}/", "http://a.example.org@127.0.0.1:{port}/"),
    *("http://127.0.0.1\\@127.0.0.1:{port}/", "\\\\127.0.0.1:{port}\\", "http:\\\\127.0.0.1:{port}", "http://169.254.169.254/latest/"),
    *(
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_x",
        "ftp://127.0.0.1:{port}/",
        "http+unix://%2Frun%2Fdocker.sock/",
        "http://127.0.0.1:99999/",
    ),
]


@pytest.mark.parametrize("location", REDIRECTS)
@pytest.mark.parametrize("first", ["private", "public"])
def test_redirect__to_the_inside__is_refused(world: World, location: str, first: str) -> None:
    world.names |= {"a.example.org": [["127.0.0.1"]], "localhost": [["127.0.0.1"]], "b.example.org": [[PUBLIC]]}
    world.routes[(PUBLIC, 80)] = ("127.0.0.1", world.hop_port)
    target = location.replace("{port}", str(world.port))
    world.answer = lambda _: f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()

    start = f"http://127.0.0.1:{world.hop_port}/" if first == "private" else "http://b.example.org/"
    assert world.refusal(start, redirects=3) == "outbound-refused"
    assert (world.hits, len(world.tried)) == (0, 1)


@pytest.mark.parametrize("redirects", [1, 2, 3])
def test_redirect__longer_chain_than_allowed__is_refused(world: World, redirects: int) -> None:
    world.answer = lambda _: b"HTTP/1.1 307 Go on\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    assert world.refusal(f"http://127.0.0.1:{world.hop_port}/", redirects=redirects) == "outbound-refused"
    assert len(world.tried) == redirects + 1


def test_environment__names_proxies_and_passwords__is_not_read(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{world.port}")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    heard = []
    world.answer = lambda head: heard.append(head) or b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    assert world.call(f"http://127.0.0.1:{world.hop_port}/").status == 200
    assert (world.hits, world.tried) == (0, [("127.0.0.1", world.hop_port)])
    assert "authorization" not in heard[0].lower()


@pytest.mark.parametrize(
    ("grant", "url", "is_allowed"),
    [
        ("api.example.org", "https://api.example.org/", True),
        ("api.example.org", "http://API.Example.org./", True),
        ("api.example.org", "http://api.example.org:8080/", False),
        ("api.example.org:8080", "http://api.example.org:8080/", True),
        ("api.example.org:8080", "http://api.example.org/", False),
        ("api.example.org", "http://api.example.org.evil.example.com/", False),
        ("api.example.org", "http://xapi.example.org/", False),
        ("api.example.org", "http://deep.api.example.org/", False),
        ("*.example.org", "http://api.example.org/", True),
        ("*.example.org", "http://deep.api.example.org/", True),
        ("*.example.org", "http://example.org/", False),
        ("*.example.org", "http://badexample.org/", False),
        ("*", "http://anything.example.com/", True),
        ("*", "http://93.184.216.34/", True),
        ("xn--bcher-kva.example.org", "http://bücher.example.org/", True),
        ("93.184.216.34", "http://93.184.216.34/", True),
        ("93.184.216.34", "http://name.example.org/", False),
        ("[2606:2800:220:1::1]", "http://[2606:2800:220:1:0::1]/", True),
        ("127.0.0.1:11434", "http://127.0.0.1:11434/", True),
        ("127.0.0.1:11434", "http://127.0.0.1:11435/", False),
        ("127.0.0.1:11434", "http://127.0.0.2:11434/", False),
        ("127.0.0.1:11434", "http://[::ffff:127.0.0.1]:11434/", False),
        ("127.0.0.1:11434", "http://name.example.org:11434/", False),
        ("[fd00::1]:8080", "http://[fd00::1]:8080/", True),
    ],
)
def test_grant__covers_what_it_names_and_nothing_beside_it(world: World, grant: str, url: str, is_allowed: bool) -> None:
    world.elsewhere = PUBLIC

    code = world.refusal(url, approved=(f"outbound:{grant}",))

    assert code == ("outbound-failed" if is_allowed else "outbound-refused"), "what is allowed is tried, and the test has no way there"
    assert len(world.tried) == int(is_allowed)


def test_session__used_past_the_checks__still_opens_no_socket_to_the_inside(world: World) -> None:
    async def straight() -> None:
        session = await world.outbound.session()
        await session.get(f"http://127.0.0.1:{world.port}/")

    with pytest.raises(HubError) as caught:
        world.run(straight())
    assert (caught.value.code, world.hits, world.tried) == ("outbound-refused", 0, [])


def test_positive_control__approved_private_address__is_reached(world: World) -> None:
    reply = world.call(f"http://127.0.0.1:{world.port}/", approved=(f"outbound:127.0.0.1:{world.port}",))

    assert (reply.status, reply.body, world.hits, world.tried) == (200, b"secret", 1, [("127.0.0.1", world.port)])


def test_positive_control__is_of_one_plugin__opens_nothing_to_another(world: World) -> None:
    url = f"http://127.0.0.1:{world.hop_port}/"
    world.call(url)

    assert world.refusal(url, approved=("outbound:*", f"outbound:*:{world.hop_port}")) == "outbound-refused"
    assert world.refusal(url, approved=("anonymous-routes", "secrets")) == "outbound-refused"
    assert len(world.tried) == 1


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


def ask_plugin(plugins: Any, world: World, approve: list[str], url: str) -> Any:
    async def main() -> Any:
        caller = plugins.make("caller", CALLER)
        settings = {"plugins": {"caller": {"approve": ["anonymous-routes", *approve]}}}
        async with running_hub("caller", installed=[caller], settings=settings) as hub:
            return hub.status("caller"), await hub.client().request("GET", f"/api/caller?url={url}")

    return world.run(main())


def test_plugin__without_a_grant__is_refused_with_the_way_to_one(plugins: Any, world: World) -> None:
    _, answer = ask_plugin(plugins, world, [], f"http://127.0.0.1:{world.port}/")

    assert (answer.status, answer.json()["code"]) == (502, "outbound-refused")
    assert f"outbound:127.0.0.1:{world.port}" in answer.json()["hint"]
    assert (world.hits, world.tried) == (0, [])


def test_plugin__with_an_approved_grant__calls(plugins: Any, world: World) -> None:
    _, answer = ask_plugin(plugins, world, [f"outbound:127.0.0.1:{world.port}"], f"http://127.0.0.1:{world.port}/")

    assert (answer.status, answer.text, world.hits) == (200, "secret", 1)


def test_plugin__asks_for_a_host_that_nobody_approved__does_not_run(plugins: Any, world: World) -> None:
    async def main() -> Any:
        caller = plugins.make("caller", CALLER.replace("ctx.http", "None"), raw_manifest=MANIFEST)
        settings = {"plugins": {"caller": {"approve": []}}}
        async with running_hub("caller", installed=[caller], settings=settings) as hub:
            return hub.status("caller")

    status = world.run(main())

    assert (status.state, status.code) == ("failed", "needs-approval")
    assert "outbound:api.example.org" in status.remedy


def test_plugin__approved_grant_cannot_be_read__does_not_run_and_says_why(plugins: Any, world: World) -> None:
    status, answer = ask_plugin(plugins, world, ["outbound:http://api.example.org"], "http://api.example.org/")

    assert (status.state, status.code, answer.status) == ("failed", "bad-grant", 503)
    assert "such as api.example.com" in status.reason


MANIFEST = """manifest = 1
id = "caller"
title = "Caller"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["routes"]
grants = ["anonymous-routes", "outbound:api.example.org"]
"""
