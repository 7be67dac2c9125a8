"""What a handler returns is answered as Litestar itself answers it, whatever it returns."""

import asyncio
import sys
from textwrap import dedent
from types import ModuleType
from typing import Any

import httpx
import pytest
from litestar import Litestar

from luminai.testing import running_hub

HANDLERS = """
    from datetime import UTC, datetime
    from decimal import Decimal
    from uuid import UUID
    from litestar import MediaType, Response, delete, get, post
    from litestar.background_tasks import BackgroundTask
    from litestar.datastructures import Cookie, ResponseHeader
    from luminai import hookimpl, policy
    from msgspec import Struct

    class Item(Struct):
        name: str
        at: datetime

    class Odd:
        pass

    def handlers():
        open_to_all = policy(anonymous=True)
        item = Item("ö", datetime(2026, 1, 31, tzinfo=UTC))
        @get("/api/made/struct", opt=open_to_all)
        async def struct() -> Item:
            return item
        @get("/api/made/plain", opt=open_to_all, sync_to_thread=False)
        def plain() -> dict[str, object]:
            return {"id": UUID(int=1), "amount": Decimal("1.20"), "list": [1, None, True]}
        @get("/api/made/nothing", opt=open_to_all)
        async def nothing() -> dict[str, object] | None:
            return None
        @get("/api/made/text", opt=open_to_all, media_type=MediaType.TEXT)
        async def text() -> str:
            return "öl"
        @get("/api/made/page", opt=open_to_all, media_type=MediaType.HTML)
        async def page() -> str:
            return "<p>Hello"
        @get("/api/made/bytes", opt=open_to_all)
        async def raw() -> bytes:
            return b'{"a":1}'
        @get("/api/made/word", opt=open_to_all)
        async def word() -> str:
            return "word"
        @get("/api/made/pack", opt=open_to_all, media_type=MediaType.MESSAGEPACK)
        async def pack() -> Item:
            return item
        @get("/api/made/teapot", opt=open_to_all, status_code=418)
        async def teapot() -> Item:
            return item
        @get("/api/made/cookie", opt=open_to_all, response_cookies=[Cookie(key="taste", value="oat", httponly=True)])
        async def cookie() -> Item:
            return item
        @get("/api/made/header", opt=open_to_all, response_headers=[ResponseHeader(name="X-Own", value="1")])
        async def header() -> Item:
            return item
        @get("/api/made/task", opt=open_to_all, background=BackgroundTask(print, end=""))
        async def task() -> Item:
            return item
        @get("/api/made/encoded", opt=open_to_all, type_encoders={Odd: lambda odd: "odd"})
        async def encoded() -> list[Odd]:
            return [Odd()]
        @get("/api/made/whole", opt=open_to_all)
        async def whole() -> Response[Item]:
            return Response(item, status_code=203, headers={"X-Own": "2"}, cookies={"taste": "rye"}, type_encoders={Odd: str})
        @post("/api/made/made", opt=open_to_all)
        async def made() -> Item:
            return item
        @delete("/api/made/gone", opt=open_to_all)
        async def gone() -> None: ...
        return [struct, plain, nothing, text, page, raw, word, pack, teapot, cookie, header, task, encoded, whole, made, gone]

    class Plugin:
        @hookimpl
        def routes(self, ctx):
            return handlers()
"""
PLACES = ["struct", "plain", "nothing", "text", "page", "bytes", "word", "pack", "teapot", "cookie", "header", "task", "encoded", "whole"]


def test_answer__is_litestars_own_whatever_a_handler_returns(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("made_bare")
    monkeypatch.setitem(sys.modules, own.__name__, own)
    exec(dedent(HANDLERS), own.__dict__)  # noqa: S102 - the plugin's text, once more for a bare app
    bare = Litestar(own.handlers(), openapi_config=None, logging_config=None)
    asked = [("GET", place) for place in PLACES] + [("HEAD", "struct"), ("POST", "made"), ("DELETE", "gone")]

    async def main() -> None:
        transport = httpx.ASGITransport(app=bare)  # type: ignore[arg-type]
        async with (
            running_hub("made", installed=[plugins.make("made", HANDLERS)]) as hub,
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            for method, place in asked:
                path = f"/api/made/{place}"
                theirs = await client.request(method if method != "HEAD" else "GET", path)
                ours = await hub.client().request(method, path)
                assert ours.status == theirs.status_code, place
                assert ours.body == (b"" if method == "HEAD" else theirs.content), place
                for name in ("content-type", "content-length", "set-cookie", "x-own"):
                    assert ours.headers.get(name) == theirs.headers.get(name), (place, name)

    asyncio.run(main())
