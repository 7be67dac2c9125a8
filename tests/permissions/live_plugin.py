"""A plugin with sockets and an event stream that stay open, some with handlers that look after nothing, and ways to open them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from home import Home
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

CODE = """
import asyncio
from typing import Any
from litestar import Request, WebSocket, get, websocket
from litestar.response import ServerSentEvent
from luminai import actor_of, hookimpl, policy

class Plugin:
    @hookimpl
    def routes(self, ctx):
        @websocket("/api/standing/room", opt=policy("live:listen"))
        async def room(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            await socket.send_text(f"{actor_of(socket).subject} {socket.scope['query_string'].decode()}")
            async for text in socket.iter_data():
                await socket.send_text(text)

        @websocket("/api/standing/hall", opt=policy(anonymous=True))
        async def hall(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            await socket.send_text("welcome")
            await asyncio.Event().wait()

        @websocket("/api/standing/stubborn", opt=policy("live:listen"))
        async def stubborn(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            await socket.send_text("welcome")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()

        @get("/api/standing/follow", opt=policy("live:listen", stream=True))
        async def follow(request: Request[Any, Any, Any]) -> ServerSentEvent:
            async def events():
                yield f"{actor_of(request).subject} {request.scope['query_string'].decode()}"
                await asyncio.Event().wait()
            return ServerSentEvent(events())

        @get("/api/standing/plain", opt=policy("live:listen"))
        async def plain() -> str:
            return "here"

        return [room, hall, stubborn, follow, plain]
"""
MANIFEST = """
manifest = 1
id = "live"
title = "Live"
summary = "Sockets and streams."
api = ">=1.0,<2"
provides = ["routes"]
paths = ["/api/standing"]
grants = ["anonymous-routes"]
scopes = { "live:listen" = "Listen." }
"""
CONFIG = '[plugins.live]\nenabled = true\napprove = ["anonymous-routes"]\n'
ROOM, HALL, STUBBORN, FOLLOW = (f"/api/standing/{name}" for name in ("room", "hall", "stubborn", "follow"))


def install(site: Path) -> None:
    """Write the plugin as an installed distribution."""
    package, info = site / "luminai_live", site / "luminai_live-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(CODE)
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-live\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nlive = luminai_live.plugin:Plugin\n")


def enter(home: Home, path: str, credential: str = "", *, origin: str | None = None, url: str = "") -> ClientConnection:
    """Open a socket of a served hub."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    address = (url or home.env["LUMINAI_URL"]).replace("http", "ws") + path
    return connect(address, additional_headers=headers, origin=origin, compression=None)  # type: ignore[arg-type]


def closing(socket: ClientConnection) -> tuple[int, str]:
    """Return code and reason with which a socket is closed, whatever comes before."""
    try:
        while True:
            socket.recv(timeout=30)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (0, "nothing was said")


class Door:
    """One socket or event stream of a hub in this process."""

    def __init__(self, app: Any, path: str, credential: str = "", *, query: str = "", kind: str = "websocket", origin: str = "") -> None:
        headers = [(b"host", b"localhost")]
        headers += [(b"authorization", f"Bearer {credential}".encode())] if credential else []
        headers += [(b"origin", origin.encode())] if origin else []
        scope: dict[str, Any] = {"type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": urlsplit(path).path}
        scope |= {"raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": headers, "client": ("127.0.0.1", 0)}
        scope |= {"server": ("localhost", 80), "subprotocols": [], "extensions": {"websocket.http.response": {}}}
        scope |= {"method": "GET"} if kind == "http" else {}
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b"", "more_body": False})
        self._kind = kind
        self._task = asyncio.create_task(app(scope, self._said.get, self._heard.put))

    def say(self, text: str) -> None:
        """Send a message to the hub."""
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        """Return the next message of the hub."""
        async with asyncio.timeout(30):
            return await self._heard.get()

    async def opened(self) -> int:
        """Wait for the answer to the handshake; return 101 or 200, or the status of the refusal."""
        first = await self.hear()
        return 101 if first["type"] == "websocket.accept" else int(first["status"])

    async def opened_or_refused(self) -> int:
        """Return the same, and go away."""
        status = await self.opened()
        await self.leave()
        return status

    async def end(self) -> Any:
        """Wait for its last message, and for its task."""
        last = None
        async with asyncio.timeout(30):
            await self._task
        while not self._heard.empty():
            last = self._heard.get_nowait()
        return last

    async def leave(self) -> None:
        """Go away."""
        self._said.put_nowait({"type": f"{self._kind}.disconnect", "code": 1000})
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
