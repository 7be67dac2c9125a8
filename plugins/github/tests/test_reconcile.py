"""The comparison with GitHub's own list, against a twin of its API that really delivers again what it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from luminai.testing import FrozenClock, running_hub

KEY, TOKEN = "It's a Secret to Everybody", "ghp_a-token-of-the-twin"
PUSH = {"repository": {"full_name": "Codertocat/Hello-World"}, "sender": {"login": "Codertocat"}, "ref": "refs/heads/main", "after": "a" * 40}


def body(number: int) -> bytes:
    return json.dumps(PUSH | {"compare": f"https://github.com/x/{number}"}).encode()


def headers(sent: bytes, *, delivery: str) -> dict[str, str]:
    signature = hmac.new(KEY.encode(), sent, hashlib.sha256).hexdigest()
    plain = {"content-type": "application/json", "x-github-delivery": delivery, "x-github-event": "push"}
    return plain | {"x-hub-signature-256": f"sha256={signature}"}


class Twin:
    """GitHub's API of one webhook: a list by pages, newest first, and redelivery through the hub's front door."""

    def __init__(self) -> None:
        self.attempts: list[dict[str, Any]] = []
        self.bodies: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.endless = False
        self.status = 200
        self.hub: Any = None

    def add(self, guid: str, status_code: int, body: bytes) -> None:
        self.bodies[guid] = body
        self.attempts.insert(0, {"id": len(self.attempts) + 1, "guid": guid, "status_code": status_code, "event": "push", "delivered_at": "x"})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        self.asked.append(f"{method} {target}")
        status, answer, more = await self.answer(method, target, head)
        body = json.dumps(answer).encode()
        writer.write(
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    async def answer(self, method: str, target: str, head: str) -> tuple[int, Any, str]:
        if f"authorization: Bearer {TOKEN}".lower() not in head.lower() or self.status != 200:
            return (self.status if self.status != 200 else 401), {"message": "no"}, ""
        parts = urlsplit(target)
        if method == "GET":
            assert parts.path == "/repos/Codertocat/Hello-World/hooks/7/deliveries"
            start = int(parse_qs(parts.query).get("cursor", ["v1_0"])[0].removeprefix("v1_"))
            page = self.attempts[start : start + 100]
            has_more = self.endless or start + 100 < len(self.attempts)
            following = "0" if self.endless else str(start + 100)
            link = f'Link: <https://evil.example.org/x?per_page=100&cursor=v1_{following}>; rel="next"\r\n' if has_more else ""
            return 200, page, link
        number = int(parts.path.split("/")[-2])
        guid = next(one["guid"] for one in self.attempts if one["id"] == number)
        sent = await self.hub.client().request(
            "POST", "/api/webhook/github", body=self.bodies[guid], headers=headers(self.bodies[guid], delivery=guid)
        )
        self.add(guid, sent.status, self.bodies[guid])
        return 202, {}, ""


def with_twin(tmp_path: Any, work: Any, *, clock: Any = None, **config: Any) -> Any:
    (tmp_path / "new").write_text(KEY)
    (tmp_path / "token").write_text(TOKEN)

    async def main() -> Any:
        twin = Twin()
        server = await asyncio.start_server(twin.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = {"secrets": [f"file:{tmp_path / 'new'}"], "token": f"file:{tmp_path / 'token'}", "hooks": ["Codertocat/Hello-World/7"]}
        settings = {"plugins": {"github": {"approve": ["secrets", "webhooks", f"outbound:127.0.0.1:{port}"]}}}
        async with running_hub(
            "github", config={"github": given | {"api": f"http://127.0.0.1:{port}"} | config}, settings=settings, clock=clock
        ) as hub:
            twin.hub = hub
            try:
                return await work(hub, twin)
            finally:
                server.close()
                await server.wait_closed()

    return asyncio.run(main())


async def reconcile(hub: Any, *scopes: str) -> Any:
    return await hub.client(*(scopes or ("github:manage",))).request("POST", "/api/github/reconcile")


async def kept(hub: Any) -> list[str]:
    await hub.hub.webhooks.settle()
    items = (await hub.client("github:read").request("GET", "/api/github/deliveries?limit=100")).json()["items"]
    return sorted(one["delivery_id"] for one in items)


@pytest.mark.shows("LR-07")
def test_missed_deliveries__are_asked_for_and_have_one_effect(tmp_path: Any) -> None:
    async def work(hub: Any, twin: Twin) -> None:
        for number in range(230):
            twin.add(f"fine-{number}", 202, body(number))
        for guid, status in (("lost-1", 0), ("lost-2", 502), ("late", 503), ("late", 202), ("taken", 500)):
            twin.add(guid, status, body(1000 + len(twin.attempts)))
        taken = twin.bodies["taken"]
        assert (await hub.client().request("POST", "/api/webhook/github", body=taken, headers=headers(taken, delivery="taken"))).status == 202
        assert await kept(hub) == ["taken"], "the hub took it, though GitHub did not hear of it"

        answer = await reconcile(hub)
        assert (answer.status, answer.json()) == (200, {"looked": 234, "missed": 2, "requested": 2, "complete": True})
        assert await kept(hub) == ["lost-1", "lost-2", "taken"]
        assert [one.split("?")[0].split("/")[-2] for one in twin.asked if one.startswith("POST")] == ["231", "232"], "oldest first"
        assert (await reconcile(hub)).json() == {"looked": 234, "missed": 0, "requested": 0, "complete": True}
        assert (await reconcile(hub, "github:read")).status == 403

    with_twin(tmp_path, work)


def test_missed_deliveries__are_asked_for_every_day_without_anybody(tmp_path: Any) -> None:
    async def work(hub: Any, twin: Twin) -> None:
        twin.add("lost-1", 500, body(1))
        await hub.advance(86_400)
        assert await kept(hub) == ["lost-1"]
        await hub.advance(2 * 86_400)
        assert sum(one.startswith("GET") for one in twin.asked) == 3, "once a day"
        jobs = (await hub.client("hub:jobs").request("GET", "/api/admin/jobs?action=github.reconcile")).json()["items"]
        assert [one["state"] for one in jobs] == 3 * ["succeeded"]

    async def unset(hub: Any, _: Twin) -> None:
        assert (await hub.client("hub:schedules").request("GET", "/api/admin/schedules")).json()["items"] == []

    with_twin(tmp_path, work, clock=FrozenClock())
    with_twin(tmp_path, unset, hooks=[])


def test_run__is_bounded__and_says_when_there_is_more(tmp_path: Any) -> None:
    async def work(hub: Any, twin: Twin) -> None:
        for number in range(130):
            twin.add(f"lost-{number:03}", 500, body(number))
        assert (await reconcile(hub)).json() == {"looked": 130, "missed": 130, "requested": 100, "complete": False}
        assert (await reconcile(hub)).json()["requested"] == 30
        assert len(await kept(hub)) == 100, "a page of them"
        twin.asked.clear()
        twin.endless = True
        assert (await reconcile(hub)).json()["complete"] is False
        assert len(twin.asked) == 10, "no list without end is read, and no address of somebody else's is followed"

    with_twin(tmp_path, work)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_github__refuses__is_told_without_the_token(tmp_path: Any, status: int) -> None:
    async def work(hub: Any, twin: Twin) -> None:
        twin.status = status
        answer = await reconcile(hub)
        assert (answer.status, answer.json()["code"]) == (502, "github.api-failed")
        assert TOKEN not in answer.text

    with_twin(tmp_path, work)


def test_plugin__without_hooks_or_grant__says_what_is_missing(tmp_path: Any) -> None:
    async def unset(hub: Any, _: Twin) -> None:
        assert (await reconcile(hub)).json()["code"] == "github.not-configured"

    async def elsewhere(hub: Any, _: Twin) -> None:
        answer = await reconcile(hub)
        assert (answer.json()["code"], "outbound:127.0.0.1:9" in answer.json()["hint"]) == ("outbound-refused", True)

    with_twin(tmp_path, unset, hooks=[])
    with_twin(tmp_path, elsewhere, api="http://127.0.0.1:9")
