"""What stands before every handler, rule by rule: names and headers, credentials and scopes, bodies, sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from litestar import Request, get

from luminai.contracts.errors import Forbidden
from luminai.contracts.identity import MAX_TEXT, STEP_UP_MINUTES, Actor, RoutePolicy, policy, step_up
from luminai.http.guard import Gate, declared, guard
from luminai.http.inprocess import InProcessClient
from luminai.http.requests import STATE_KEY, RequestState
from luminai.testing import HubUnderTest, running_hub

CODE = """
    from typing import Any
    from litestar import Request, WebSocket, get, post, put, route, websocket
    from litestar.params import JSONBody, MultipartBody, URLEncodedBody
    from msgspec import Struct
    from luminai import actor_of, hookimpl, policy
    from luminai.data.causes import cause
    from luminai.data.owners import acting

    class Thing(Struct, forbid_unknown_fields=True):
        size: int = 0

    class Letter(Struct):
        text: str = ""

    class Plugin:
        calls = 0

        @hookimpl
        def routes(self, ctx):
            @get("/api/gate/open", opt=policy(anonymous=True))
            async def open_to_all(request: Request[Any, Any, Any]) -> dict[str, Any]:
                actor = actor_of(request)
                return {"subject": actor.subject if actor else None, "acting": acting.get().subject}

            @get("/api/gate/cause", opt=policy(anonymous=True))
            async def why(request: Request[Any, Any, Any]) -> dict[str, str]:
                return {"correlation": cause.get().correlation, "causation": cause.get().causation}

            @get("/api/gate/half", opt=policy("gate:read", anonymous=True))
            async def half() -> None: ...

            @get("/api/gate/any", opt=policy())
            async def anybody() -> None: ...

            @get("/api/gate/read", opt=policy("gate:read"))
            async def read() -> None: ...

            @post("/api/gate/thing", opt=policy(anonymous=True), status_code=200)
            async def thing(data: JSONBody[Thing]) -> Thing:
                self.calls += 1
                return Thing(self.calls)

            @put("/api/gate/thing", opt=policy(anonymous=True, keyed=False))
            async def put_thing(data: JSONBody[Thing]) -> Thing:
                self.calls += 1
                return Thing(self.calls)

            @post("/api/gate/letter", opt=policy(anonymous=True), status_code=200)
            async def letter(data: URLEncodedBody[Letter]) -> Letter:
                return data

            @post("/api/gate/parts", opt=policy(anonymous=True), status_code=200)
            async def parts(data: MultipartBody[Letter]) -> Letter:
                return data

            @route("/api/gate/options", http_method=["OPTIONS"], opt=policy("gate:read"), status_code=200)
            async def own_options() -> None: ...

            @post("/api/gate/raw", opt=policy(anonymous=True), status_code=200)
            async def raw(request: Request[Any, Any, Any]) -> dict[str, int]:
                return {"bytes": len(await request.body())}

            @post("/api/gate/step", opt=policy("gate:read", step_up=True), status_code=200)
            async def step() -> None: ...

            @websocket("/api/gate/socket", opt=policy("gate:read"))
            async def socket(socket: WebSocket[Any, Any, Any]) -> None:
                await socket.accept()
                await socket.close()

            return [open_to_all, why, half, anybody, read, thing, put_thing, letter, parts, own_options, raw, step, socket]
"""
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
PARTS = {"content-type": "multipart/form-data; boundary=part"}
PART = b'--part\r\ncontent-disposition: form-data; name="text"\r\n\r\n%b\r\n--part--\r\n'
OWN = (b"host", b"localhost")
Run = Callable[..., Any]


@pytest.fixture
def run(plugins: Any) -> Run:
    """Run ``work(hub)`` on a hub with the plugin."""

    def run(work: Callable[[HubUnderTest], Any], **settings: Any) -> Any:
        async def main() -> Any:
            plugin = plugins.make("gate", CODE, manifest='scopes = { "gate:read" = "Read." }')
            async with running_hub("gate", installed=[plugin], settings=settings) as hub:
                return await work(hub)

        return asyncio.run(main())

    return run


async def call(
    hub: HubUnderTest, *headers: tuple[bytes, bytes], kind: str = "http", path: str = "/api/gate/open", query: bytes = b"", **more: Any
) -> Any:
    """Return all that the edge sends for a scope as a server makes it."""
    sent: list[Any] = []
    scope = {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "extensions": {},
    }
    scope |= {"method": "GET", "scheme": "http", "http_version": "1.1", "root_path": "", "server": ("localhost", 80)} if kind == "http" else {}
    scope |= {"scheme": "ws", "root_path": "", "subprotocols": [], "server": ("localhost", 80), "http_version": "1.1"} if kind == "websocket" else {}
    first = {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b"", "more_body": False}
    waiting = [first]

    async def receive() -> Any:
        return waiting.pop() if waiting else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await hub.hub.edge(scope | more, receive, send)
    return sent


async def outcome(hub: HubUnderTest, *headers: tuple[bytes, bytes], **more: Any) -> str:
    """Return status and code of an answer, e.g. ``400 no-host``."""
    sent = await call(hub, *headers, **more)
    body = msgspec.json.decode(b"".join(message.get("body", b"") for message in sent[1:]) or b"{}") or {}
    return f"{sent[0]['status']} {body.get('code', '')}".strip()


HEADS: list[tuple[list[tuple[bytes, bytes]], dict[str, Any], str]] = [
    ([OWN], {}, "200"),
    ([], {}, "400 no-host"),
    ([(b"x-a", b"1")], {}, "400 no-host"),
    ([OWN, OWN], {}, "400 duplicate-header"),
    ([(b"host", b"evil.example")], {}, "421 unknown-host"),
    ([(b"host", b"evil.example"), (b"origin", b"http://localhost")], {}, "421 unknown-host"),
    ([(b"host", b"evil.example"), (b"content-encoding", b"gzip")], {}, "415 content-encoding-refused"),
    ([OWN, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")], {}, "400 duplicate-header"),
    ([OWN, (b"authorization", b"Bearer a"), (b"x-api-key", b"a")], {}, "400 duplicate-header"),
    ([OWN, (b"x-api-key", b"a"), (b"x-api-key", b"a")], {}, "400 duplicate-header"),
    ([OWN, (b"authorization", b"Bearer a")], {}, "401 bad-credential"),
    ([OWN, (b"x-api-key", b"a")], {}, "401 bad-credential"),
    ([OWN, (b"origin", b"http://a"), (b"origin", b"http://a")], {}, "400 duplicate-header"),
    ([OWN, (b"content-length", b"0"), (b"content-length", b"0")], {}, "400 duplicate-header"),
    ([OWN, (b"content-type", b"a/b"), (b"content-type", b"a/b")], {}, "400 duplicate-header"),
    ([OWN, (b"idempotency-key", b"a"), (b"idempotency-key", b"a")], {}, "400 duplicate-header"),
    ([OWN, (b"content-encoding", b"identity"), (b"content-encoding", b"identity")], {}, "400 duplicate-header"),
    ([OWN, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], {}, "400 duplicate-header"),
    ([OWN, (b"x-a", b"1"), (b"x-a", b"2"), (b"accept", b"a/b"), (b"accept", b"a/c")], {}, "200"),
    ([OWN, (b"content-encoding", b"Identity")], {}, "200"),
    ([OWN, (b"content-encoding", b"gzip")], {}, "415 content-encoding-refused"),
    ([(b"content-encoding", b"gzip"), OWN], {}, "415 content-encoding-refused"),
    ([OWN, (b"content-encoding", b"")], {}, "415 content-encoding-refused"),
    ([OWN, (b"transfer-encoding", b"Chunked")], {}, "200"),
    ([OWN, (b"transfer-encoding", b"gzip, chunked")], {}, "400 malformed-request"),
    ([OWN], {"query": b"&" * 63}, "200"),
    ([OWN], {"query": b"&" * 64}, "400 too-many-parameters"),
    ([OWN], {"query": b"a=%00"}, "400 bad-text"),
    ([OWN], {"query": b"ticket=lut_a"}, "401 bad-ticket"),
    ([OWN], {"query": b"a=1&ticket=lut_a&b=2"}, "401 bad-ticket"),
    ([OWN], {"query": b"a=1&aticket=lut_a"}, "200"),
    ([OWN], {"query": b"ticket=lut_a&ticket=lut_b"}, "400 duplicate-credential"),
    ([OWN, (b"authorization", b"Bearer a")], {"query": b"ticket=lut_a"}, "400 duplicate-credential"),
    ([OWN, (b"authorization", b"Bearer a")], {"query": b"aticket=lut_a"}, "401 bad-credential"),
    ([OWN], {"path": "/api/gate/open", "raw_path": b"/api%2Fgate/open"}, "404 unknown-route"),
    ([OWN], {"path": "/api/gate/open", "raw_path": b"/api%2fgate/open"}, "404 unknown-route"),
    ([OWN], {"path": "/api/gate/open", "raw_path": b"/api%5cgate/open"}, "404 unknown-route"),
    ([OWN], {"path": "/api/gate/open", "raw_path": b"/api/g%61te/open"}, "200"),
    ([OWN], {"path": "/api/gate/open", "raw_path": None}, "200"),
    ([OWN], {"path": "/api//gate/open"}, "404 unknown-route"),
    ([OWN], {"path": "/api/gate/open\\"}, "404 unknown-route"),
    ([OWN], {"path": "/api/gate/\0"}, "404 unknown-route"),
]


def test_head__is_screened(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[str]:
        return [await outcome(hub, *headers, **more) for headers, more, _ in HEADS]

    found = run(work)
    assert list(zip(HEADS, found, strict=True)) == [(case, case[2]) for case in HEADS]


def test_api_key__counts_by_either_header(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        made = (await hub.client("hub:keys", "gate:read").request("POST", "/api/keys", json={"name": "one", "scopes": ["gate:read"]})).json()
        key = made["key"].encode()
        asked = [(b"authorization", b"Bearer " + key), (b"x-api-key", key)]
        return [await outcome(hub, OWN, header, path="/api/gate/read") for header in asked]

    assert run(work) == ["200", "200"]


def test_policy__says_who_may(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        anonymous, reader, writer = hub.client(), hub.client("gate:read", subject="ann"), hub.client("other:read")
        every, operator = hub.client("gate:*"), hub.client("*")
        answers = []
        for path in ("open", "half", "any", "read"):
            for client in (anonymous, reader, writer, every, operator):
                answer = await client.request("GET", f"/api/gate/{path}")
                answers.append(answer.status if answer.status == 200 else answer.json()["code"])
        await hub.hub.audit.record_noted()
        denied = (await hub.client("hub:audit").request("GET", "/api/admin/audit?outcome=denied")).json()["items"]
        who = [(await client.request("GET", "/api/gate/open")).json() for client in (anonymous, reader)]
        return [answers, [(item["action"], item["object"]) for item in denied], who]

    answers, denied, who = run(work)
    assert answers == [
        *(200, 200, 200, 200, 200),
        *(200, 200, "missing-scope", 200, 200),
        *("not-signed-in", 200, 200, 200, 200),
        *("not-signed-in", 200, "missing-scope", 200, 200),
    ]
    assert {item[1] for item in denied} == {"GET /api/gate/half", "GET /api/gate/read"}
    assert who == [{"subject": None, "acting": who[0]["acting"]}, {"subject": "ann", "acting": "ann"}]
    assert who[0]["acting"] not in ("ann", None)


def test_cause__is_the_request(run: Run) -> None:
    async def work(hub: HubUnderTest) -> None:
        first, second = [await hub.client().request("GET", "/api/gate/cause") for _ in range(2)]
        assert first.json() == {"correlation": first.headers["x-request-id"], "causation": ""}
        assert second.json()["correlation"] == second.headers["x-request-id"] != first.headers["x-request-id"]

    run(work)


def test_step_up__asks_sessions_that_are_not_fresh(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        found = []
        for actor in (
            Actor("key_1", "ann", frozenset({"gate:read"})),
            Actor("ses_1", "ann", frozenset({"gate:read"}), session="ses_1"),
            Actor("ses_1", "ann", frozenset({"gate:read"}), session="ses_1", is_fresh=True),
            Actor("ses_1", "ann", frozenset({"other:read"}), session="ses_1", is_fresh=True),
        ):
            client = InProcessClient(hub.hub.edge, actor=actor)
            answers = [await client.request("POST", "/api/gate/step"), await client.request("GET", "/api/gate/any")]
            found += [answer.status if answer.status == 200 else answer.json()["code"] for answer in answers]
        return found

    assert run(work) == [200, 200, "step-up-required", 200, 200, 200, "missing-scope", 200]


def test_options_and_wrong_methods__name_all_methods_of_the_path(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        client = hub.client()
        asked = [("OPTIONS", "/api/gate/thing"), ("OPTIONS", "/api/gate/open"), ("DELETE", "/api/gate/thing"), ("PATCH", "/api/gate/open")]
        found = [await client.request(method, path) for method, path in asked]
        own = [await one.request("OPTIONS", "/api/gate/options") for one in (client, hub.client("gate:read"))]
        assert [one.status for one in own] == [401, 200], "a plugin may answer itself, under its policy"
        return [(one.status, one.headers["allow"]) for one in found]

    assert run(work) == [(204, "OPTIONS, POST, PUT"), (204, "GET, HEAD, OPTIONS"), (405, "OPTIONS, POST, PUT"), (405, "GET, HEAD, OPTIONS")]


BODIES = [
    ("thing", JSON, b'{"size": 1}', "200"),
    ("thing", FORM, b'{"size": 1}', "415 unsupported-media-type"),
    ("thing", {}, b'{"size": 1}', "415 unsupported-media-type"),
    ("thing", JSON, b'{"size": 9007199254740992}', "400 bad-number"),
    ("thing", JSON, b'{"size": "1"}', "400 invalid-input"),
    ("thing", JSON, b'{"other": "%b"}' % (b"x" * MAX_TEXT), "400 invalid-input"),
    ("thing", JSON, b'{"other": "%b"}' % (b"x" * (MAX_TEXT + 1)), "400 too-large-inside"),
    ("letter", FORM, b"text=a", "200"),
    ("letter", JSON, b"text=a", "415 unsupported-media-type"),
    ("letter", FORM, b"text=%00", "400 bad-text"),
    ("letter", FORM, b"text=9007199254740992", "200"),
    ("letter", FORM, b"&" * 63, "200"),
    ("letter", FORM, b"&" * 64, "400 too-many-parameters"),
    ("parts", PARTS, PART % b"a&b" + b"&" * 64, "200"),
    ("raw", {}, b"%00\0", "200"),
    ("thing?limit=1&limit=2", JSON, b"{}", "400 duplicate-parameter"),
]


def test_text__has_64_ki_characters_unless_the_route_says_more() -> None:
    assert MAX_TEXT == RoutePolicy().max_text == 65_536


def test_body__is_checked_by_its_kind(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[str]:
        answers = [await hub.client().request("POST", f"/api/gate/{path}", body=body, headers=headers) for path, headers, body, _ in BODIES]
        return [f"{answer.status} {(answer.json() or {}).get('code', '')}".strip() for answer in answers]

    found = run(work)
    assert list(zip(BODIES, found, strict=True)) == [(case, case[3]) for case in BODIES]


def test_idempotency_key__is_honoured_where_the_route_does_not_see_to_it(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        client, key = hub.client(), {**JSON, "idempotency-key": "one"}
        asked = [("POST", key), ("POST", key), ("POST", JSON), ("POST", JSON), ("PUT", key), ("PUT", key)]
        found = [await client.request(method, "/api/gate/thing", body=b"{}", headers=headers) for method, headers in asked]
        read = await client.request("GET", "/api/gate/open", headers={"idempotency-key": "\x7f"})
        return [[one.json()["size"] for one in found], [one.headers.get("idempotency-replayed") for one in found], read.status]

    sizes, replayed, read = run(work)
    assert sizes == [1, 1, 2, 3, 4, 5]
    assert replayed == [None, "true", None, None, None, None]
    assert read == 200, "reading needs no key, so it is not looked at"


def test_limits__count_address_and_caller_and_not_this_process(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        trusted = hub.client("hub:keys", "gate:read")
        made = (await trusted.request("POST", "/api/keys", json={"name": "one", "scopes": ["gate:read"]})).json()
        anonymous, keyed = hub.client(address="192.0.2.1"), InProcessClient(hub.hub.edge, headers={"x-api-key": made["key"]}, address="192.0.2.2")
        third = hub.client(address="192.0.2.3")
        first = [(await anonymous.request("GET", "/api/gate/open")).status for _ in range(3)]
        second = [(await keyed.request("GET", "/api/gate/read")).status for _ in range(4)]
        wrong = [(await third.request("GET", "/api/gate/open", headers={"x-api-key": "lum_wrong"})).status for _ in range(6)]
        return [first, second, wrong, [(await trusted.request("GET", "/api/gate/read")).status for _ in range(6)]]

    limits = {"address": {"requests": 5, "per": "address"}, "anonymous": {"requests": 2, "per": "address"}, "api-key": {"requests": 3}}
    found = run(work, limits={"enabled": True, **limits})
    assert found == [[200, 200, 429], [200, 200, 200, 429], [401] * 5 + [429], [200] * 6]
    assert run(work, limits={"enabled": False, **limits}) == [[200] * 3, [200] * 4, [401] * 6, [200] * 6]


def test_socket__has_the_same_policy(run: Run) -> None:
    async def work(hub: HubUnderTest) -> list[Any]:
        made = (await hub.client("hub:keys", "gate:read").request("POST", "/api/keys", json={"name": "one", "scopes": ["gate:read"]})).json()
        other = (await hub.client("*").request("POST", "/api/keys", json={"name": "two", "scopes": ["hub:keys"]})).json()
        key, wrong = (b"x-api-key", made["key"].encode()), (b"x-api-key", other["key"].encode())
        asked = [
            (OWN,),
            (OWN, wrong),
            (OWN, key),
            (OWN, key, (b"origin", b"http://localhost:3000")),
            (OWN, key, (b"origin", b"https://evil.example")),
            (OWN, key, (b"origin", b"null")),
            (OWN, (b"x-api-key", b"lum_wrong")),
        ]
        found = [(await call(hub, *headers, kind="websocket", path="/api/gate/socket"))[0] for headers in asked]
        found.append((await call(hub, OWN, kind="websocket", path="/api/gate/socket", extensions=None))[0])
        return [(one["type"].removeprefix("websocket."), one.get("code"), one.get("reason")) for one in found]

    assert run(work) == [
        ("close", 4401, "not-signed-in"),
        ("close", 4403, "missing-scope"),
        ("accept", None, None),
        ("accept", None, None),
        ("close", 4403, "foreign-origin"),
        ("close", 4403, "foreign-origin"),
        ("close", 4401, "bad-credential"),
        ("close", 4401, "not-signed-in"),
    ]


def test_actor__holds_its_scopes_those_of_a_plugin_or_all() -> None:
    def may(*scopes: str) -> list[bool]:
        return [Actor("key_1", "ann", frozenset(scopes)).may(wanted) for wanted in ("notes:read", "notes:write", "mail:read")]

    assert may() == [False, False, False]
    assert may("notes:read") == [True, False, False]
    assert may("notes:*") == [True, True, False]
    assert may("*") == [True, True, True]
    assert may("notes", "read", ":read", "notes:") == [False, False, False]


def test_route__without_a_policy__is_closed() -> None:
    @get("/", sync_to_thread=False)
    def forgotten() -> None: ...

    with pytest.raises(Forbidden) as refused:
        declared(forgotten)
    assert refused.value.code == "no-policy"


def test_guard__route_without_a_policy__is_closed_to_its_method() -> None:
    @get("/", sync_to_thread=False)
    def forgotten() -> None: ...

    nothing: Any = None
    gate = Gate(authenticate=nothing, hosts=nothing, limits=nothing, idempotency=nothing, tickets=nothing, live=nothing, denied=nothing)
    scope = {"type": "http", "method": "GET", "path_template": "/", "route_handler": forgotten, STATE_KEY: RequestState(b"", "GET", "/", "")}
    with pytest.raises(Forbidden) as refused:
        asyncio.run(guard(gate, {"/": "GET"})(Request(scope)))
    assert refused.value.code == "no-policy"


def test_declared_policy__is_closed_unless_it_says_otherwise() -> None:
    assert policy() == {"luminai_policy": RoutePolicy()}
    assert policy() == {"luminai_policy": RoutePolicy(scope=None, anonymous=False, step_up=False, limit="", keyed=True)}
    assert policy("a:b", anonymous=True, step_up=True, limit="x", keyed=False) == {
        "luminai_policy": RoutePolicy(scope="a:b", anonymous=True, step_up=True, limit="x", keyed=False)
    }
    assert STEP_UP_MINUTES == 10, "ASVS 5.0, 7.5.3"
    step_up(Actor("ses_1", "ann", session="ses_1", is_fresh=True))
    step_up(Actor("key_1", "ann"))
    with pytest.raises(Forbidden):
        step_up(Actor("ses_1", "ann", session="ses_1"))
