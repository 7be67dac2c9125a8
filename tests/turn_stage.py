"""A hub in processes of its own, whose model says a long text slowly; asked to go on, it repeats the last words and says the rest at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx

from luminai.testing.fleet import Fleet, Node

WHOLE = " ".join(f"word{number:03}" for number in range(200))
PROVIDER = """
    import asyncio
    from luminai import End, EndState, Model, TextDelta, Usage, hookimpl

    WHOLE = " ".join(f"word{number:03}" for number in range(200))

    class Slow:
        name, title = "stage", "Stage"

        def models(self):
            return [Model(id="slow", kinds=frozenset({"chat"}))]

        async def stream(self, request):
            said = "".join(message.content for message in request.messages if message.role == "assistant")
            goes_on = "broke off" in request.messages[-1].content
            rest = WHOLE[max(0, len(said) - 40):] if goes_on else WHOLE
            for start in range(0, len(rest), 8):
                if not goes_on:
                    await asyncio.sleep(0.03)
                yield TextDelta(rest[start : start + 8])
            yield End(state=EndState.FINISHED, usage=Usage(input_tokens=1, output_tokens=200, origin="reported"))

        async def chat(self, request): ...
        async def embed(self, model, texts, *, timeout=30.0): ...
        async def image(self, model, prompt, *, width, height, timeout=120.0): ...
        async def speak(self, model, text, *, voice="", timeout=120.0): ...

    class Plugin:
        @hookimpl
        def ai_providers(self, ctx):
            return [Slow()]
"""
MANIFEST = """manifest = 1
id = "stage"
title = "Stage"
summary = "Made by a test."
api = ">=1.0,<2"
provides = ["ai_providers"]
"""
CONFIG = """
[plugins.personas]
enabled = true
approve = ["anonymous-routes"]
[plugins.resonance]
enabled = true
approve = ["anonymous-routes"]
[plugins.stage]
enabled = true
[plugins.chat]
enabled = true
approve = ["anonymous-routes"]
[plugins.chat.config]
lease-seconds = 3
"""


class Stage:
    """Nodes, and an operator who asks any of them."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.http = httpx.Client(timeout=60)

    @property
    def head(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.fleet._key}", "Accept": "text/event-stream"}

    def get(self, path: str, node: Node | None = None) -> Any:
        """Return an answer's JSON."""
        answer = self.http.get((node or self.fleet.nodes[0]).url + path, headers=self.head)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, node: Node | None = None) -> httpx.Response:
        """Post, and return the answer."""
        return self.http.post((node or self.fleet.nodes[0]).url + path, json=body, headers={**self.head, "Accept": "application/json"})

    @contextmanager
    def asked(self, node: Node, **more: Any) -> Iterator[Iterator[tuple[int, str, Any]]]:
        """Ask one process, and yield the events of the answer."""
        body = {"message": "Go.", "model": "stage/slow", **more}
        with self.http.stream("POST", node.url + "/api/chat", json=body, headers=self.head) as answer:
            assert answer.status_code == 200, answer.read()
            yield events(answer)

    def events(self, turn: str, after: int = 0, node: Node | None = None) -> list[tuple[int, str, Any]]:
        """Follow a turn from behind an event to its end."""
        url = f"{(node or self.fleet.nodes[0]).url}/api/chat/turns/{turn}/events"
        with self.http.stream("GET", url, headers={**self.head, "Last-Event-ID": str(after)}) as answer:
            assert answer.status_code == 200, answer.read()
            return list(events(answer))


def events(answer: httpx.Response) -> Iterator[tuple[int, str, Any]]:
    """Yield number, kind and data of each event."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


def text_of(heard: list[tuple[int, str, Any]]) -> str:
    """Return what a reader has read."""
    return "".join(data["text"] for _, kind, data in heard if kind == "text")


@contextmanager
def stage(folder: Path, database_url: str = "") -> Iterator[Stage]:
    """Make the hub; nothing serves it yet."""
    package, info = folder / "site" / "luminai_stage", folder / "site" / "luminai_stage-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent(PROVIDER))
    (package / "luminai-plugin.toml").write_text(MANIFEST)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: luminai-stage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luminai.plugins]\nstage = luminai_stage.plugin:Plugin\n")
    config = CONFIG + (f'[database]\nurl = "{database_url}"\n' if database_url else "")
    fleet = Fleet(folder / "home", config, search=(folder / "site",))
    there = Stage(fleet)
    try:
        yield there
    finally:
        there.http.close()
        fleet.close()
