"""A plugin that takes whatever a client sends, and a served hub with it: for tests of hostile and slow clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from home import Home, serving

CODE = """
import asyncio
from typing import Annotated, Any
from litestar import Request, WebSocket, get, post, websocket
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, JSONBody, QueryParameter, URLEncodedBody
from litestar.response import Stream
from msgspec import Meta, Struct
from luminai import HubError, hookimpl, page_cursor, page_limit, policy

OPEN = policy(anonymous=True, limit="address")
Ratio = Annotated[float, QueryParameter(ge=0, le=1)]


class Thing(Struct, forbid_unknown_fields=True):
    text: str = ""
    number: int = 0
    share: float = 0.0
    items: list[Any] = []


class Letter(Struct):
    name: Annotated[str, Meta(max_length=100)] = ""


class Upload(Struct):
    file: UploadFile
    note: Annotated[str, Meta(max_length=100)] = ""


class Plugin:
    produced = pushed = 0

    @hookimpl
    def routes(self, ctx):
        @post("/api/probe/json", opt=OPEN, status_code=200)
        async def read_json(data: JSONBody[Thing]) -> Thing:
            return data

        @post("/api/probe/form", opt=OPEN, status_code=200)
        async def read_form(data: URLEncodedBody[Letter]) -> Letter:
            return data

        @post("/api/probe/upload", opt=OPEN, status_code=200, request_max_body_size=1_048_576)
        async def read_upload(data: Annotated[Upload, Body(media_type=RequestEncodingType.MULTI_PART)]) -> dict[str, Any]:
            return {"name": data.file.filename, "bytes": len(await data.file.read())}

        @post("/api/probe/hold", opt=OPEN, status_code=200, request_max_body_size=1_048_576)
        async def hold(request: Request[Any, Any, Any]) -> dict[str, int]:
            return {"bytes": len(await request.body())}

        @get("/api/probe/page", opt=OPEN)
        async def page(limit: page_limit = 20, cursor: page_cursor = None, ratio: Ratio = 0.5, exact: bool = False) -> dict[str, Any]:
            return {"limit": limit, "cursor": cursor, "ratio": ratio, "exact": exact}

        @get("/api/probe/items/{number:int}", opt=OPEN)
        async def item(number: FromPath[int]) -> dict[str, int]:
            return {"number": number}

        @post("/api/probe/say", opt=OPEN, status_code=204)
        async def say() -> None:
            for level in ("debug", "info", "warning", "error"):
                getattr(ctx.log, level)("probe.said", extra={"number": 7, "text": "two\\nlines"})

        @get("/api/probe/crash", opt=OPEN)
        async def crash() -> None:
            raise ValueError("SELECT secret FROM keys WHERE password = 'hunter2'")

        @get("/api/probe/refuse", opt=OPEN)
        async def refuse() -> None:
            raise HubError("The probe gives up.")

        @get("/api/probe/break", opt=OPEN)
        async def break_off() -> Stream:
            async def lines():
                yield b"data: 1\\n\\n"
                await asyncio.sleep(0)
                raise ValueError("password = 'hunter2'")
            return Stream(lines(), media_type="text/event-stream")

        @get("/api/probe/endless", opt=OPEN)
        async def endless() -> Stream:
            async def lines():
                while True:
                    self.produced += 1
                    yield b"data: " + b"x" * 16_384 + b"\\n\\n"
                    await asyncio.sleep(0)
            return Stream(lines(), media_type="text/event-stream")

        @get("/api/probe/counts", opt=OPEN)
        async def counts() -> dict[str, int]:
            return {"produced": self.produced, "pushed": self.pushed}

        @websocket("/api/probe/push", opt=OPEN)
        async def push(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            while True:
                self.pushed += 1
                await socket.send_text("x" * 16_384)
                await asyncio.sleep(0)

        return [read_json, read_form, read_upload, hold, page, item, say, crash, refuse, break_off, endless, counts, push]
"""
MANIFEST = """
manifest = 1
id = "probe"
title = "Probe"
summary = "Takes whatever is sent."
api = ">=1.0,<2"
provides = ["routes"]
grants = ["anonymous-routes"]
"""
CONFIG = '[plugins.probe]\nenabled = true\napprove = ["anonymous-routes"]\n'


@contextmanager
def probe_hub(folder: Path, **settings: str) -> Iterator[Home]:
    """Serve a hub with the plugin, installed like any other."""
    site = folder / "site"
    package, info = site / "luminai_probe", site / "luminai_probe-1.0.dist-info"
    for place in (package, info):
        place.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(CODE)
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nprobe = luminai_probe.plugin:Plugin\n")
    with serving(folder / "home", config=CONFIG, PYTHONPATH=str(site), **{"LUMINAI_LIMITS__ENABLED": "false", **settings}) as home:
        yield home
