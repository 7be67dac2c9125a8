"""A plugin with rooms, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from home import Home
from websockets.sync.client import ClientConnection, connect

CODE = """
import asyncio
from typing import Any
from litestar import get, post
from litestar.params import FromQuery, JSONBody
from luminai import Channel, hookimpl, policy
from msgspec import Struct

class Said(Struct):
    text: str
    to: str = ""

class Counted(Struct):
    n: int

class Plugin:
    def __init__(self):
        self.out = set()
        self.asked = 0

    @hookimpl
    def channels(self, ctx):
        async def hall(actor, params):
            self.asked += 1
            if "boom" in self.out:
                raise ValueError("boom")
            return f"{params['id']}:{actor.subject}" not in self.out

        async def own(actor, params):
            return params["subject"] == actor.subject

        return [
            Channel(name="hall.{id}", kinds={"said": Said, "counted": Counted}, may_join=hall, scope="square:listen", history=16, keep=30.0),
            Channel(name="own.{subject}", kinds={"said": Said}, may_join=own),
            Channel(name="mixed.{id}", kinds={"said": Said}, may_join=hall,
                    may_see=lambda actor, message: message.data.to in ("", actor.subject) or 1 / 0),
        ]

    @hookimpl
    def routes(self, ctx):
        def kind_of(data):
            return ("counted", Counted(data["n"])) if "n" in data else ("said", Said(**data))

        @post("/api/square/say", opt=policy("square:say"))
        async def say(room: FromQuery[str], data: JSONBody[dict[str, Any]], count: FromQuery[int] = 1) -> None:
            for number in range(count):
                ctx.live.publish(room, *kind_of({**data, "n": data["n"] + number} if "n" in data else data))

        @post("/api/square/flood", opt=policy("square:say"))
        async def flood(room: FromQuery[str], count: FromQuery[int]) -> None:
            for number in range(count):
                ctx.live.publish(room, "said", Said("x" * 16000, ""))
                await asyncio.sleep(0)

        @post("/api/square/unit", opt=policy("square:say"))
        async def unit(room: FromQuery[str], how: FromQuery[str]) -> None:
            def work(session):
                ctx.live.publish(room, "said", Said("whole"), session=session)
                if how == "part":
                    inner = session.begin_nested()
                    ctx.live.publish(room, "said", Said("part"), session=session)
                    inner.rollback()
                    with session.begin_nested():
                        ctx.live.publish(room, "said", Said("other part"), session=session)
                elif how == "all":
                    raise ValueError("changed my mind")
            await ctx.db.write(work)

        @post("/api/square/made", opt=policy("square:say"))
        async def made(room: FromQuery[str], meanwhile: FromQuery[bool] = False) -> int:
            count = []

            def make():
                count.append(1)
                return Said("made")

            def work(session):
                ctx.live.publish(room, "said", make, session=session)
                if meanwhile:
                    ctx.live.publish(room, "said", Said("now"))

            await ctx.db.write(work)
            return len(count)

        @post("/api/square/put-out", opt=policy("square:say"))
        async def put_out(room: FromQuery[str], who: FromQuery[str] = "", tell: FromQuery[bool] = True) -> None:
            self.out.add(who)
            if tell:
                ctx.live.recheck(room)

        @post("/api/square/kind", opt=policy("square:say"))
        async def kind(room: FromQuery[str], kind: FromQuery[str]) -> None:
            ctx.live.publish(room, kind, Said("x" * 17000 if kind == "said" else ""))

        return [say, flood, unit, made, put_out, kind]
"""
MANIFEST = """
manifest = 1
id = "square"
title = "Square"
summary = "Rooms."
api = ">=1.0,<2"
provides = ["routes", "channels"]
scopes = { "square:listen" = "Listen.", "square:say" = "Say." }
"""
CONFIG = "[plugins.square]\nenabled = true\n"
PASSWORD = "nine wooden ladders"


def install(site: Path) -> None:
    """Write the plugin as an installed distribution."""
    package, info = site / "luminai_square", site / "luminai_square-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(CODE)
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-square\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nsquare = luminai_square.plugin:Plugin\n")


class Square:
    """A served hub with the plugin, and its operator."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.url = home.env["LUMINAI_URL"]
        self.operator = home.data("keys", "create", "--name", "operator", "--scope", "*")["key"]

    def key(self, *scopes: str) -> tuple[str, str]:
        """Return id and text of a key of the operator."""
        options = [part for scope in scopes or ("square:listen",) for part in ("--scope", scope)]
        made = self.home.data("keys", "create", "--name", "reader", *options)
        return made["id"], made["key"]

    def person(self, name: str) -> tuple[str, str]:
        """Return id and access token of somebody who holds the role of listeners."""
        given = {"email": f"{name}@example.org", "password": PASSWORD}
        assert httpx.post(f"{self.url}/api/auth/register", json=given).status_code in (200, 202)
        token = httpx.post(f"{self.url}/api/auth/login", json={**given, "cookie": False}, timeout=30).json()["access_token"]
        subject = self.ask("GET", "/api/auth/verify", credential=token).json()["subject"]
        assert self.ask("PUT", f"/api/admin/people/{subject}/roles", {"roles": ["listener"]}).status_code == 200
        return subject, token

    def role(self, *scopes: str) -> None:
        """Say what listeners may."""
        assert self.ask("PUT", "/api/admin/roles/listener", {"title": "Listens", "scopes": list(scopes)}).status_code == 200

    def ask(self, method: str, path: str, body: Any = None, *, credential: str = "", url: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {credential or self.operator}"}
        return httpx.request(method, (url or self.url) + path, json=body, headers=headers, timeout=30)

    def say(self, room: str, body: Any, *, count: int = 1, url: str = "") -> None:
        answer = self.ask("POST", f"/api/square/say?room={room}&count={count}", body, url=url)
        assert answer.status_code == 201, answer.text

    def poll(self, room: str, after: str = "", credential: str = "") -> Any:
        answer = self.ask("GET", f"/api/live/poll?room={room}&after={after}", credential=credential)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextmanager
    def follow(self, room: str, after: str = "", *, credential: str = "", url: str = "") -> Iterator[Iterator[tuple[str, str, Any]]]:
        """Yield the events of a stream: id, name and data."""
        headers = {"Authorization": f"Bearer {credential or self.operator}", **({"Last-Event-ID": after} if after else {})}
        with httpx.stream("GET", f"{url or self.url}/api/live?room={room}", headers=headers, timeout=30) as answer:
            if answer.status_code != 200:
                raise Refused(answer.status_code, msgspec.json.decode(answer.read())["code"])
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield events(answer.iter_lines())

    def enter(self, credential: str = "", *, url: str = "", **more: Any) -> ClientConnection:
        """Open a socket."""
        headers = {"Authorization": f"Bearer {credential or self.operator}"}
        return connect(f"{url or self.url}/ws".replace("http", "ws", 1), additional_headers=headers, compression=None, **more)


class Refused(Exception):
    """An event stream was not opened."""


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """Return what an event stream says: id, name and data of each event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "event" in fields:
            yield fields.get("id", ""), fields["event"], msgspec.json.decode(fields["data"])
            fields = {}


def say(socket: ClientConnection, **said: Any) -> None:
    """Send a message to the hub."""
    socket.send(msgspec.json.encode(said).decode())


def hear(socket: ClientConnection) -> Any:
    """Return the next message of the hub."""
    return msgspec.json.decode(socket.recv(timeout=30))


def subscribe(socket: ClientConnection, room: str, after: str = "") -> str:
    """Go into a room; return where it is."""
    say(socket, type="subscribe", room=room, after=after, ref="1")
    assert hear(socket) == {"type": "subscribed", "room": room, "ref": "1"}
    joined = hear(socket)
    assert (joined["type"], joined["room"]) == ("joined", room)
    return str(joined["id"])
