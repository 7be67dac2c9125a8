"""Secrets that go through a hub at debug level are nowhere afterwards but in ciphertext: database, log of writes, backups, logs, answers."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from data.canary_people import plant_people, secret_of, services, tables
from msgspec import Struct

from luminai import Secret
from luminai.config.binding import render_schema, schema_of
from luminai.config.layers import Configuration, Layer
from luminai.data.backups import backup_before
from luminai.host.discovery import installed_plugins
from luminai.host.hub import Hub
from luminai.telemetry.access import AccessLog
from luminai.telemetry.logs import set_up_logging
from luminai.testing import HubUnderTest, postgres

CHAT = ("personas", "resonance", "knowledge", "ai-offline", "chat")
CHATTY = """
    from typing import Annotated
    from litestar import Request, get, post
    from litestar.params import JSONBody, QueryParameter
    from msgspec import Struct
    from sqlalchemy import text
    from luminai import Conflict, Secret, hookimpl, policy

    class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
        token: Secret

    class Order(Struct, forbid_unknown_fields=True):
        amount: int

    class Plugin:
        config = Config

        @hookimpl
        async def start(self, ctx):
            assert "settings" in ctx.config.token.reveal()
            ctx.log.debug("started with %s", ctx.config)

        @hookimpl
        def routes(self, ctx):
            @post("/api/chatty/order", opt=policy(anonymous=True))
            async def order(data: JSONBody[Order]) -> None:
                raise Conflict("Refused.")

            @get("/api/chatty/broken-query", opt=policy(anonymous=True))
            async def broken_query(value: Annotated[str, QueryParameter(max_length=200)]) -> None:
                await ctx.db.read(lambda session: session.execute(text("SELECT * FROM nowhere WHERE secret = :value"), {"value": value}))

            @get("/api/chatty/raise", opt=policy(anonymous=True))
            async def fail(value: Annotated[str, QueryParameter(max_length=200)]) -> None:
                raise ValueError(value)

            return [order, broken_query, fail]
"""


class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The settings of the plugin above."""

    token: Secret


def canary(what: str) -> str:
    """Return a secret that stands nowhere else."""
    return f"canary-{what}-7f3c91d2"


@contextmanager
def logging_to(stream: io.StringIO, *, as_json: bool) -> Iterator[None]:
    """Have the process log as a served hub does, at debug level."""
    root, kept, error = logging.getLogger(), logging.getLogger().handlers[:], sys.stderr
    level = root.level
    sys.stderr = stream
    try:
        set_up_logging("debug", as_json=as_json, hides_words=True)
        yield
    finally:
        sys.stderr = error
        root.handlers[:] = kept
        root.setLevel(level)


def hub_of(folder: Path, plugins: Any, log: io.StringIO, *, as_json: bool, database_url: str, more: Any = None) -> Hub:
    chatty = plugins.make("chatty", CHATTY, schema=render_schema(schema_of(Config)))
    sections: dict[str, Any] = {name: {"enabled": True, "approve": ["anonymous-routes"]} for name in CHAT}
    sections["chatty"] = {"enabled": True, "approve": ["anonymous-routes"], "config": {"token": "env:CANARY_TOKEN"}}
    more = dict(more or {})
    table = {"database": {"url": database_url}, "plugins": sections | more.pop("plugins", {}), **more}
    config = Configuration([Layer("file", "config.toml", table, {}, {})], (), folder)
    return Hub(config, installed=[*installed_plugins(), chatty], access_log=AccessLog(log, as_json=as_json))


async def plant(hub: Hub) -> tuple[dict[str, str], str]:
    """Send every secret through the hub; return them, and all that the hub shows of itself."""
    running = HubUnderTest(hub)
    secrets = {"settings": canary("settings"), "chat": canary("chat"), "title": canary("title")}
    token = await hub.keys.offer_setup()
    assert token is not None
    made = await running.client().request("POST", "/api/setup", json={"token": token, "name": "operator"})
    assert made.status == 201, made.text
    key = str(made.json()["key"])
    secrets |= {"setup token": token, "api key": key}
    operator = running.with_key(key)
    other = await operator.request("POST", "/api/keys", json={"name": "other", "scopes": ["chat:read"]})
    assert other.status == 201, other.text
    secrets["second api key"] = str(other.json()["key"])
    first = await operator.request("POST", "/api/chat", json={"message": f"What is {canary('title')}?"})
    assert first.status == 200, first.text
    more = {"message": f"And {canary('chat')}?", "session_id": first.json()["session_id"]}
    headers = {"x-secret": canary("header"), "cookie": f"session={canary('cookie')}", "idempotency-key": "once"}
    assert (await operator.request("POST", "/api/chat", json=more, headers=headers)).status == 200
    secrets |= {"header": canary("header"), "cookie": canary("cookie")}
    anonymous = running.client()
    await anonymous.request("GET", f"/api/status?token={canary('query')}")
    await anonymous.request("GET", f"/api/nowhere?token={canary('lost')}")
    secrets |= {"query": canary("query"), "query of an unknown route": canary("lost")}
    wrong = await anonymous.request("POST", "/api/chatty/order", json={"amount": canary("field")})
    unknown = await anonymous.request("POST", "/api/chatty/order", json={"amount": 1, "card": canary("unknown")})
    text = await anonymous.request("POST", "/api/chat", json={"message": 7, "persona": canary("persona")})
    assert [answer.status for answer in (wrong, unknown, text)] == [400, 400, 400], wrong.text
    secrets |= {"field of a wrong type": canary("field"), "unknown field": canary("unknown"), "field beside it": canary("persona")}
    refused = await running.with_key("lum_" + "0" * 32 + "_" + canary("bearer")).request("GET", "/api/sessions")
    assert refused.status == 401
    broken = await anonymous.request("GET", f"/api/chatty/broken-query?value={canary('sql')}")
    assert broken.status == 500
    secrets |= {"wrong key": canary("bearer"), "sql": canary("sql")}
    shown = [wrong.text, broken.text, refused.text, repr(hub.settings), repr(hub.vault.ring.find(hub.vault.ring.ids[0]))]
    paths = ("/api/status", "/health", "/ready", "/openapi.json", "/api/admin/plugins", "/api/admin/repairs", "/api/keys")
    shown += [(await operator.request("GET", path)).text for path in paths]
    return secrets, "\n".join(shown)


def hits(secrets: dict[str, str], places: dict[str, bytes]) -> list[str]:
    """Return where a secret stands plainly, as it is or as JSON or a URL would write it."""
    found = []
    for what, secret in secrets.items():
        forms = {secret.encode(), json.dumps(secret).strip('"').encode(), secret.encode("utf-16-le")}
        found += [f"{what} in {place}" for place, content in places.items() if any(form in content for form in forms)]
    return found


@pytest.mark.shows("LR-128", "LW-57", "TL-145")
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_secrets__that_went_through_a_hub__are_nowhere_but_in_ciphertext(
    tmp_path: Path, plugins: Any, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", canary("settings"))
    log = io.StringIO()
    places: dict[str, bytes] = {}

    def scan(folder: Path, when: str) -> None:
        places.update({f"{path.relative_to(folder)} ({when})": path.read_bytes() for path in folder.rglob("*") if path.is_file()})

    async def main() -> dict[str, str]:
        url = await postgres.database_for(tmp_path) if postgres.server() else ""
        hub = hub_of(tmp_path, plugins, log, as_json=as_json, database_url=url)
        await hub.start()
        assert not hub.generation.failures, hub.generation.failures
        try:
            secrets, shown = await plant(hub)
            places["what the hub shows"] = shown.encode()
            await backup_before(hub.database, hub.data_dir, hub.clock)
            scan(tmp_path / "data", "running")
        finally:
            await hub.stop()
        scan(tmp_path / "data", "stopped")
        return secrets

    with logging_to(log, as_json=as_json):
        secrets = asyncio.run(main())
    places["log"] = log.getvalue().encode()

    assert len(secrets) >= 15
    assert b"request.failed" in places["log"], "the scan sees the log"
    assert b"/api/chatty/broken-query" in places["log"]
    if not postgres.server():
        assert any("hub.sqlite3-wal" in place for place in places)
        assert any("backups/" in place for place in places)
        assert any(b"chat__messages" in content for place, content in places.items() if "hub.sqlite3 " in place), "and the database"
    assert hits(secrets, places) == []


@pytest.mark.shows("LR-128", "LW-57", "TL-145")
def test_secrets_of_people__that_lived_on_a_hub__are_nowhere_but_in_ciphertext(tmp_path: Path, plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", canary("settings"))
    log = io.StringIO()
    places: dict[str, bytes] = {}

    async def main(provider: Any) -> dict[str, str]:
        url = await postgres.database_for(tmp_path) if postgres.server() else ""
        hub = hub_of(tmp_path, plugins, log, as_json=True, database_url=url, more=tables(provider))
        await hub.start()
        assert not hub.generation.failures, hub.generation.failures
        try:
            _, key = await hub.keys.create("operator", ("*",))
            operator = HubUnderTest(hub).with_key(key)
            secrets, told = await plant_people(hub, operator, provider)
            places["what the operator is told"] = told.encode()
            await hub.mail.settle()
            await backup_before(hub.database, hub.data_dir, hub.clock)
            if url:
                dump = await asyncio.create_subprocess_exec("pg_dump", "--inserts", url, stdout=subprocess.PIPE)
                places["dump"] = (await dump.communicate())[0]
            places.update({f"{path.name} (running)": path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()})
        finally:
            await hub.stop()
        places.update({f"{path.name} (stopped)": path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()})
        return secrets | {"operator's key": key, "traced": secret_of("traced")}

    with services(monkeypatch) as provider, logging_to(log, as_json=True):
        secrets = asyncio.run(main(provider))
    places["log"] = log.getvalue().encode()

    assert len(secrets) >= 40, sorted(secrets)
    assert all(len(secret) > 10 for secret in secrets.values())
    stored = places["dump" if "dump" in places else "hub.sqlite3 (stopped)"]
    assert b"core__people" in stored, "the scan sees the database"
    assert b"/api/auth/password/forgot" in places["log"], "and the log"
    assert b"password.change" in places["what the operator is told"], "and the audit log"
    assert hits(secrets, places) == []


def test_secret__in_an_exception_of_a_plugin__is_not_in_the_log(tmp_path: Path, plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", canary("settings"))
    log = io.StringIO()

    async def main() -> str:
        url = await postgres.database_for(tmp_path) if postgres.server() else ""
        hub = hub_of(tmp_path, plugins, log, as_json=True, database_url=url)
        await hub.start()
        try:
            answer = await HubUnderTest(hub).client().request("GET", f"/api/chatty/raise?value={canary('exception')}")
            return answer.text if answer.status == 500 else canary("exception")
        finally:
            await hub.stop()

    with logging_to(log, as_json=True):
        answer = asyncio.run(main())

    assert canary("exception") not in answer
    assert canary("exception") not in log.getvalue()
