"""A hub inside the command's own process, for when none is running."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from luminai.config.layers import Configuration, Layer
from luminai.contracts.errors import Conflict
from luminai.contracts.identity import Actor
from luminai.host.hub import Hub
from luminai.http.inprocess import InProcessClient

LOCAL_ACTOR = Actor(id="local", subject="operator", scopes=frozenset({"*"}), name="this machine")


class LocalHub:
    """Boots a hub on entering and stops it on leaving; requests run as the operator, who owns the data folder anyway.

    When another process holds the data folder, a fresh temporary one is used and ``is_temporary`` says so.
    """

    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._runner = asyncio.Runner()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._hub: Hub
        self.is_temporary = False

    def __enter__(self) -> Self:
        try:
            self._hub = self._start(self._config)
        except Conflict as error:
            if error.code != "database-in-use":
                raise
            self._folder = tempfile.TemporaryDirectory(prefix="luminai-")
            self.is_temporary = True
            self._hub = self._start(Configuration([*self._config.layers, apart(self._folder.name)], (), self._config.base_dir))
        self._client = InProcessClient(self._hub.edge, actor=LOCAL_ACTOR)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._runner.run(self._hub.stop())
        self._runner.close()
        if self._folder is not None:
            self._folder.cleanup()

    def request(self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Return status and body."""
        answer = self._runner.run(self._client.request(method, path, json=body, query=query))
        return answer.status, answer.body

    def events(self, method: str, path: str, *, body: Any = None, query: dict[str, Any] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (status, chunk) of a stream as it comes."""
        stream = self._client.stream(method, path, json=body, query=query, headers={"accept": "text/event-stream"})
        answer = self._runner.run(stream.__aenter__())
        try:
            while True:
                chunk = self._runner.run(_following(answer.chunks))
                if chunk is None:
                    return
                yield answer.status, chunk
        finally:
            self._runner.run(stream.__aexit__(None, None, None))

    def _start(self, config: Configuration) -> Hub:
        hub = Hub(config)
        self._runner.run(hub.start())
        return hub


def apart(folder: str) -> Layer:
    """Return the settings of a hub that leaves nothing outside of ``folder``, least of all in the real hub's places."""
    audit = {"checkpoints": f"{folder}/checkpoints.txt", "witness-url": ""}
    return Layer("command line", "", {"hub": {"data": folder}, "database": {"url": "", "migrate": "auto"}, "audit": audit}, {}, {})


async def _following(chunks: Any) -> bytes | None:
    try:
        chunk: bytes = await anext(chunks)
    except StopAsyncIteration:
        return None
    return chunk
