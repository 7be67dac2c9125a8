"""The exact bounds of Idempotency-Key: whose a key is, how long it holds, which answers are kept and which are lost."""

import asyncio
from typing import Any

from luminai.testing import FrozenClock, HubUnderTest, running_hub

CODE = """
    import asyncio
    from litestar import Response, get, post
    from litestar.params import JSONBody
    from litestar.response import Stream
    from msgspec import Struct
    from sqlalchemy import Column, String, Table, insert
    from luminai import hookimpl, metadata_for, policy

    metadata = metadata_for("deeds")
    deeds = Table("deeds__deeds", metadata, Column("id", String(40), primary_key=True))

    class Asked(Struct):
        status: int = 200
        size: int = 1
        writes: bool = False
        parts: bool = False

    class Plugin:
        calls = 0

        def __init__(self):
            self.entered, self.leave = asyncio.Event(), asyncio.Event()

        @hookimpl
        def models(self):
            return metadata

        @hookimpl
        def routes(self, ctx):
            @post("/api/deeds/do", opt=policy("deeds:do", anonymous=True))
            async def do(data: JSONBody[Asked]) -> Response:
                self.calls += 1
                if data.writes:
                    await ctx.db.write(lambda session: session.execute(insert(deeds).values(id=ctx.new_id("deed"))) and None)
                said = {"status_code": data.status, "media_type": "text/plain"}
                said["headers"] = {"x-call": str(self.calls), "set-cookie": "a=b", "ratelimit": "x"}
                chunks = [b"x" * min(65536, data.size - at) for at in range(0, data.size, 65536)]
                return Stream(iter(chunks), **said) if data.parts else Response(b"".join(chunks), **said)

            @post("/api/deeds/other", opt=policy("deeds:do", anonymous=True))
            async def other(data: JSONBody[Asked]) -> Response:
                self.calls += 1
                return Response("", media_type="text/plain", headers={"x-call": str(self.calls)})

            @post("/api/deeds/wait", opt=policy("deeds:do"))
            async def wait() -> None:
                self.entered.set()
                await self.leave.wait()

            @get("/api/deeds/entered", opt=policy("deeds:do"))
            async def entered() -> None:
                await self.entered.wait()

            @get("/api/deeds/leave", opt=policy("deeds:do"))
            async def leave() -> None:
                self.leave.set()

            return [do, other, wait, entered, leave]
"""
STEP = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("deeds__deeds", sa.Column("id", sa.String(40), primary_key=True))
"""
MANIFEST = 'tables = true\nscopes = { "deeds:do" = "Do." }'
KEPT_BYTES = 256 * 1024


class Doer:
    """Somebody who sends keys."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def ask(self, key: str, *, path: str = "do", **asked: Any) -> Any:
        return await self._client.request("POST", f"/api/deeds/{path}", json=asked, headers={"Idempotency-Key": key})

    async def call(self, key: str, **asked: Any) -> int:
        """Return the number of the call that gave the answer."""
        return int((await self.ask(key, **asked)).headers["x-call"])

    async def calls(self, key: str, **asked: Any) -> int:
        """Return how many calls two requests with a key made."""
        return len({await self.call(key, **asked) for _ in range(2)})


def with_deeds(plugins: Any, work: Any) -> Any:
    async def main() -> Any:
        clock = FrozenClock()
        plugin = plugins.make("deeds", CODE, provides='["routes", "models"]', manifest=MANIFEST, files={"migrations/versions/0001_init.py": STEP})
        async with running_hub("deeds", installed=[plugin], clock=clock) as hub:
            return await work(hub, clock, lambda **who: Doer(hub.client("deeds:do", **who)))

    return asyncio.run(main())


def test_key__belongs_to_its_caller_organisation_and_route_and_to_a_whole_request_of_nobody(plugins: Any) -> None:
    async def work(hub: HubUnderTest, _: FrozenClock, doer: Any) -> None:
        callers = [doer(), doer(subject="bob"), doer(organisation="org_a"), doer(organisation="org_b"), Doer(hub.client())]
        asked = [(one, path) for one in callers for path in ("do", "other")]
        first = [await one.call("k", path=path, writes=True) for one, path in asked]
        assert len(set(first)) == len(asked)
        assert [await one.call("k", path=path, writes=True) for one, path in asked] == first
        nobody = callers[-1]
        assert await nobody.call("k", writes=True, size=2) not in first, "nobody's key says nothing about another request"
        assert await nobody.call("k", writes=True) == first[-2]

        mine = doer()
        assert (await mine.ask("k", size=2)).json()["code"] == "idempotency-mismatch"
        assert [await mine.call("k", writes=True) for _ in range(2)] == first[:1] * 2, "a refusal and an answer let the key go"
        assert [(await mine.ask(key)).status for key in ("~", " ", "a" * 255)] == [200] * 3
        assert [(await mine.ask(key)).status for key in ("", "a" * 256, "é", "\t")] == [400] * 4

    with_deeds(plugins, work)


def test_key__is_in_use_while_its_request_is_under_way(plugins: Any) -> None:
    async def work(hub: HubUnderTest, _: FrozenClock, doer: Any) -> list[Any]:
        mine, client = doer(), hub.client("deeds:do")
        waiting = asyncio.create_task(mine.ask("k", path="wait"))
        await client.request("GET", "/api/deeds/entered")
        second = await mine.ask("k", path="wait")
        await client.request("GET", "/api/deeds/leave")
        first, third = await waiting, await mine.ask("k", path="wait")
        return [first.status, second.json()["code"], third.status, third.headers.get("idempotency-replayed")]

    assert with_deeds(plugins, work) == [201, "idempotency-in-flight", 201, "true"]


def test_key__is_forgotten_after_a_day(plugins: Any) -> None:
    async def work(hub: HubUnderTest, clock: FrozenClock, doer: Any) -> list[int]:
        calls = []
        for seconds in (0, 86400, 0.001):
            clock.advance(seconds)
            await hub.hub.idempotency.prune()
            calls.append(await doer().call("k"))
        return calls

    assert with_deeds(plugins, work) == [1, 1, 2]


def test_answer__is_kept_up_to_256_kib_and_told_to_be_lost_beyond(plugins: Any) -> None:
    async def work(_: HubUnderTest, __: FrozenClock, doer: Any) -> None:
        mine = doer()
        for parts in (True, False):
            first, second = [await mine.ask(f"whole {parts}", size=KEPT_BYTES, writes=True, parts=parts) for _ in range(2)]
            assert (first.status, len(first.body)) == (200, KEPT_BYTES)
            assert (second.status, second.body) == (first.status, first.body)
            assert (second.headers["x-call"], second.headers["content-type"]) == (first.headers["x-call"], first.headers["content-type"])
            assert {"set-cookie", "ratelimit"} <= set(first.headers)
            assert not {"set-cookie", "ratelimit"} & set(second.headers), "what was said of a moment"
            first, second = [await mine.ask(f"more {parts}", size=KEPT_BYTES + 1, writes=True, parts=parts) for _ in range(2)]
            assert (first.status, len(first.body)) == (200, KEPT_BYTES + 1)
            assert (second.status, second.json()["code"]) == (409, "idempotency-answer-lost")
        assert await mine.calls("more without an effect", size=KEPT_BYTES + 1) == 2

        assert await mine.calls("done", status=299) == 1
        assert await mine.calls("elsewhere", status=300) == 2, "what changed nothing may be sent again"
        assert await mine.calls("done, elsewhere", status=300, writes=True) == 1

    with_deeds(plugins, work)
