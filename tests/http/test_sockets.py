"""Sockets behind a real server: their policy is asked, foreign pages stay out, frames are bounded, a stop sends them away."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from home import Home, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

CODE = """
from typing import Any
from litestar import WebSocket, websocket
from luminai import hookimpl, policy

class Plugin:
    @hookimpl
    def routes(self, ctx):
        @websocket("/api/echo/room", opt=policy("echo:talk"))
        async def room(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            async for text in socket.iter_data():
                await socket.send_text(f"heard {text}")

        @websocket("/api/echo/hall", opt=policy(anonymous=True))
        async def hall(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            await socket.send_text("welcome")
            await socket.receive_text()

        return [room, hall]
"""
MANIFEST = """
manifest = 1
id = "echo"
title = "Echo"
summary = "Sockets."
api = ">=1.0,<2"
provides = ["routes"]
grants = ["anonymous-routes"]
scopes = { "echo:talk" = "Talk." }
"""
CONFIG = '[plugins.echo]\nenabled = true\napprove = ["anonymous-routes"]\n'


def install(site: Path) -> None:
    """Write the plugin as an installed distribution."""
    package, info = site / "luminai_echo", site / "luminai_echo-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(CODE)
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\necho = luminai_echo.plugin:Plugin\n")


@contextmanager
def echo_hub(folder: Path) -> Iterator[Home]:
    """Serve a hub with the plugin."""
    install(folder / "site")
    with serving(folder / "home", config=CONFIG, PYTHONPATH=str(folder / "site")) as home:
        yield home


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with echo_hub(tmp_path_factory.mktemp("sockets")) as home:
        yield home


def key(home: Home, *scopes: str) -> str:
    made = home.data("keys", "create", "--name", "talker", *(part for scope in scopes for part in ("--scope", scope)))
    return str(made["key"])


def enter(home: Home, path: str, credential: str = "", origin: str | None = None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return connect(home.env["LUMINAI_URL"].replace("http", "ws") + path, additional_headers=headers, origin=origin, compression=None)  # type: ignore[arg-type]


def test_socket__asks_its_policy(hub: Home) -> None:
    other = key(hub, "knowledge:read")
    for credential, path, status in (("", "/api/echo/room", 401), (other, "/api/echo/room", 403), ("lum_wrong", "/api/echo/hall", 401)):
        with pytest.raises(InvalidStatus) as refused:
            enter(hub, path, credential)
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["content-type"] == "application/problem+json"
    with enter(hub, "/api/echo/room", key(hub, "echo:talk")) as socket:
        socket.send("hello")
        assert socket.recv(timeout=10) == "heard hello"
    with enter(hub, "/api/echo/hall") as socket:
        assert socket.recv(timeout=10) == "welcome"


def test_page_of_another_origin__cannot_open_a_socket(hub: Home) -> None:
    with pytest.raises(InvalidStatus) as refused:
        enter(hub, "/api/echo/hall", origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with enter(hub, "/api/echo/hall", origin=hub.env["LUMINAI_URL"]) as socket:
        assert socket.recv(timeout=10) == "welcome"


def test_unknown_socket__is_answered_with_a_problem(hub: Home) -> None:
    with pytest.raises(InvalidStatus) as refused:
        enter(hub, "/api/nowhere")
    assert refused.value.response.status_code in (403, 404)


def test_frame_over_the_bound__closes_the_socket(hub: Home) -> None:
    with enter(hub, "/api/echo/room", key(hub, "echo:talk")) as socket:
        socket.send("a" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.shows("LW-70")
def test_swap__tells_the_plugins_sockets_to_connect_again(hub: Home) -> None:
    with enter(hub, "/api/echo/hall") as socket:
        assert socket.recv(timeout=10) == "welcome"
        before = hub.data("plugins", "restart", "echo")["generation"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    with enter(hub, "/api/echo/hall") as again:
        assert again.recv(timeout=10) == "welcome"
        assert again.response is not None
    assert before >= 2


def test_stop__tells_sockets_to_connect_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with echo_hub(tmp_path) as home:
            socket = stack.enter_context(enter(home, "/api/echo/hall"))
            assert socket.recv(timeout=10) == "welcome"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
