"""Every failure is a problem with a stable code; every answer carries its headers; nobody gets in without a credential."""

import asyncio
from typing import Any

import pytest

from luminai.config.settings import ConnectionSettings, Settings
from luminai.http.edge import Edge
from luminai.http.live import LiveStreams
from luminai.http.table import AppEntry, PrefixTable
from luminai.telemetry.trace import Tracer
from luminai.testing import FrozenClock, running_hub

ECHO = """
    from litestar import get, post
    from litestar.params import JSONBody
    from msgspec import Struct
    from luminai import hookimpl, policy

    class Thing(Struct, forbid_unknown_fields=True):
        size: int

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            @post("/api/echo", opt=policy(anonymous=True), status_code=200)
            async def echo(data: JSONBody[Thing]) -> Thing:
                return data
            @get("/api/echo/secret", opt=policy("echo:read"))
            async def secret() -> dict[str, str]:
                return {"secret": "yes"}
            @get("/api/echo/crash", opt=policy(anonymous=True))
            async def crash() -> None:
                raise ValueError("password=hunter2")
            return [echo, secret, crash]
"""


def with_echo(plugins: Any, work: Any) -> Any:
    """Run ``work(hub)`` on a hub with the echo plugin."""

    async def main() -> Any:
        echo = plugins.make("echo", ECHO, manifest='scopes = { "echo:read" = "Read" }')
        async with running_hub("echo", installed=[echo]) as hub:
            return await work(hub)

    return asyncio.run(main())


JSON = {"content-type": "application/json"}


@pytest.mark.shows("PX-18")
@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("POST", "/api/echo", b'{"size": ', JSON, 400, "malformed-body"),
        ("POST", "/api/echo", b"\xff\xfe", JSON, 400, "malformed-body"),
        ("POST", "/api/echo", b'{"size": "x"}', JSON, 400, "invalid-input"),
        ("POST", "/api/echo", b'{"size": 1, "more": 2}', JSON, 400, "invalid-input"),
        ("POST", "/api/echo", b'{"size": ' + b"[" * 100_000, JSON, 400, "too-deep"),
        ("POST", "/api/echo", b'{"size": 1}', {"content-type": "text/plain"}, 415, "unsupported-media-type"),
        ("POST", "/api/echo", b'{"size": 1}', {}, 415, "unsupported-media-type"),
        ("POST", "/api/echo", b" " * 300_000, JSON, 413, "body-too-large"),
        ("GET", "/api/echo", b"", {}, 405, "method-not-allowed"),
        ("GET", "/api/nothing", b"", {}, 404, "unknown-route"),
        ("GET", "/api/echo/nothing", b"", {}, 404, "unknown-route"),
        ("GET", "/nothing", b"", {}, 404, "unknown-route"),
        ("GET", "/api/echo/secret", b"", {}, 401, "not-signed-in"),
        ("GET", "/api/echo/secret", b"", {"authorization": "Bearer lum_nonsense"}, 401, "bad-credential"),
        ("GET", "/api/echo/secret", b"", {"authorization": "Basic dXNlcjpwYXNz"}, 401, "bad-credential"),
        ("GET", "/api/admin/plugins", b"", {}, 401, "not-signed-in"),
        ("GET", "/api/echo/crash", b"", {}, 500, "internal"),
    ],
)
@pytest.mark.shows("PX-15")
def test_request__bad__is_answered_with_a_problem(
    plugins, method: str, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = with_echo(plugins, lambda hub: hub.client().request(method, path, body=body, headers=headers))

    problem = answer.json()
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == answer.headers["x-request-id"]
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


def test_route__needs_a_scope__only_its_holders_pass(plugins) -> None:
    async def work(hub: Any) -> list[int]:
        return [(await hub.client(scope).request("GET", "/api/echo/secret")).status for scope in ("echo:read", "echo:*", "*", "other:read")]

    assert with_echo(plugins, work) == [200, 200, 200, 403]


@pytest.mark.shows("LW-60", "PX-52a", "PX-52b", "TL-142c")
def test_every_answer__carries_id_generation_and_safe_headers(plugins) -> None:
    async def work(hub: Any) -> list[Any]:
        asked = [("GET", "/api/status"), ("HEAD", "/api/status"), ("GET", "/api/echo/crash")]
        return [await hub.client().request(method, path) for method, path in asked]

    full, head, failed = with_echo(plugins, work)

    for name in ("x-request-id", "luminai-generation", "x-content-type-options", "content-security-policy", "referrer-policy"):
        assert name in full.headers
        assert name in head.headers
        assert name in failed.headers
    safe = {
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    for answer in (full, head, failed):
        assert {name: answer.headers[name] for name in safe} == safe
    assert full.headers["x-request-id"] != head.headers["x-request-id"]
    assert (head.status, head.body) == (200, b"")


def test_api_key__life__from_set_up_to_revocation(plugins) -> None:
    async def work(hub: Any) -> None:
        anonymous = hub.client()
        token = await hub.hub.keys.offer_setup()
        assert (await anonymous.request("POST", "/api/setup", json={"token": "wrong-token"})).json()["code"] == "setup-token-refused"
        made = (await anonymous.request("POST", "/api/setup", json={"token": token})).json()
        assert (await anonymous.request("POST", "/api/setup", json={"token": token})).status == 401
        assert await hub.hub.keys.offer_setup() is None

        operator = hub.with_key(made["key"])
        small = (await operator.request("POST", "/api/keys", json={"name": "small", "scopes": ["hub:keys"]})).json()
        limited = hub.with_key(small["key"])
        beyond = await limited.request("POST", "/api/keys", json={"name": "big", "scopes": ["*"]})
        unknown = await operator.request("POST", "/api/keys", json={"name": "odd", "scopes": ["echo:reed"]})
        assert (beyond.status, beyond.json()["code"]) == (403, "scope-beyond-own")
        assert unknown.json()["code"] == "unknown-scope"
        assert (await limited.request("GET", "/api/admin/plugins")).status == 403

        page = (await operator.request("GET", "/api/keys?limit=1")).json()
        rest = (await operator.request("GET", f"/api/keys?limit=1&cursor={page['next_cursor']}")).json()
        assert [item["name"] for item in page["items"] + rest["items"]] == ["small", "operator"]
        assert rest["next_cursor"] is None
        assert "digest" not in page["items"][0]

        assert (await operator.request("DELETE", f"/api/keys/{small['id']}")).status == 204
        assert (await limited.request("GET", "/api/keys")).status == 401
        assert (await operator.request("DELETE", "/api/keys/key_" + "0" * 32)).status == 404

    with_echo(plugins, work)


def test_openapi__names_carry_the_plugin__whoever_else_is_on(plugins) -> None:
    code = ECHO.replace('policy("echo:read")', "policy()")
    one = plugins.make("one", code.replace("/api/echo", "/api/one"))
    two = plugins.make("two", code.replace("/api/echo", "/api/two"))

    async def documents(*ids: str) -> tuple[Any, Any]:
        async with running_hub(*ids, installed=[one, two]) as hub:
            client = hub.client()
            return (await client.request("GET", "/openapi/one")).json(), (await client.request("GET", "/openapi.json")).json()

    alone, _ = asyncio.run(documents("one"))
    beside, merged = asyncio.run(documents("one", "two"))

    assert alone == beside
    assert {"one.Thing", "two.Thing"} <= set(merged["components"]["schemas"])
    operations = [operation["operationId"] for path in merged["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))
    assert "one.echo" in operations


@pytest.mark.shows("LR-29", "LW-79")
def test_status__and_health__tell_the_truth(plugins) -> None:
    sick = plugins.make(
        "sick",
        """
        from luminai import Health, HealthCheck, HealthState, hookimpl
        class Plugin:
            @hookimpl
            def health_checks(self, ctx):
                async def check():
                    return Health(HealthState.FAILING, "the disk is gone")
                async def breaks():
                    raise OSError("secret path")
                return [HealthCheck(name="disk", check=check), HealthCheck(name="other", check=breaks)]
        """,
        provides='["health_checks"]',
    )

    async def main() -> None:
        async with running_hub("sick", installed=[sick]) as hub:
            client = hub.client()
            status = (await client.request("GET", "/api/status")).json()
            assert status["platform_status"] == "degraded"
            assert status["R_global"] is None
            assert [service["id"] for service in status["services"]] == ["sick"]
            for path in ("/health", "/api/health"):
                asked = await client.request("GET", path)
                assert (asked.status, asked.json()) == (503, {"status": "failing"})
            health = await hub.client("hub:monitor").request("GET", "/health/detailed")
            assert health.status == 503
            own = [check for check in health.json()["checks"] if check["plugin"] == "sick"]
            assert {check["name"]: check["reason"] for check in own} == {"disk": "the disk is gone", "other": "OSError"}
            assert (await client.request("GET", "/health/live")).status == 200
            assert (await client.request("GET", "/health/ready")).json() == {"status": "ready"}

    asyncio.run(main())


def test_socket__of_a_replaced_plugin__is_closed_with_the_word_to_come_back() -> None:
    async def main() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        accepted = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            accepted.set()
            await receive()

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        entry = AppEntry("talk", app)
        table = PrefixTable({"/api/talk": entry}, entry, generation=1)
        edge = Edge(table, settings=Settings(), access_log=None, lifespan=app, tracer=Tracer(), live=LiveStreams(ConnectionSettings(), FrozenClock()))
        scope = {"type": "websocket", "path": "/api/talk/room", "query_string": b"", "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1)}
        task = asyncio.create_task(edge(scope, receive, send))
        await accepted.wait()
        assert table.tell_to_reconnect(frozenset({"other"})) == 0
        assert table.tell_to_reconnect(frozenset({"talk"})) == 1
        await task
        assert await table.drained(0)
        return sent

    assert asyncio.run(main())[-1] == {"type": "websocket.close", "code": 1012, "reason": "reconnect"}
