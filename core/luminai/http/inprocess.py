"""Requests to the application inside this process: for the command's local fallback and for tests. No socket, nothing buffered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar.types import ASGIApp

from luminai.contracts.identity import Actor
from luminai.http.requests import STATE_KEY, RequestState


class Answer:
    """A response: ``status``, ``headers`` (lower-case names), and its body, whole or as it comes."""

    def __init__(self, status: int, headers: dict[str, str], chunks: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.chunks = chunks
        self.body = b""

    def json(self) -> Any:
        """Return the decoded body."""
        return msgspec.json.decode(self.body) if self.body else None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class InProcessClient:
    """Sends requests straight into an ASGI application.

    Args:
        app: The hub's edge.
        actor: Whoever makes the requests, trusted because it is this process; None goes through authentication like anybody.
        headers: Sent with every request.
    """

    def __init__(self, app: ASGIApp, *, actor: Actor | None = None, headers: Mapping[str, str] | None = None, address: str = "127.0.0.1") -> None:
        self._app = app
        self._actor = actor
        self._headers = dict(headers or {})
        self._address = address

    async def request(self, method: str, path: str, *, json: Any = None, body: bytes | None = None, query: Any = None, headers: Any = None) -> Answer:
        """Return the whole answer."""
        async with self.stream(method, path, json=json, body=body, query=query, headers=headers) as answer:
            answer.body = b"".join([chunk async for chunk in answer.chunks])
            return answer

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, json: Any = None, body: bytes | None = None, query: Any = None, headers: Any = None
    ) -> AsyncIterator[Answer]:
        """Yield the answer as soon as its head is there; leaving the context early is a client that goes away."""
        content = msgspec.json.encode(json) if json is not None else body or b""
        sent = self._headers | ({"content-type": "application/json"} if json is not None else {}) | dict(headers or {})
        path, _, given_query = path.partition("?")
        scope = self._scope(method, path, urlencode(query, doseq=True) if query else given_query, sent, len(content))
        messages: asyncio.Queue[Any] = asyncio.Queue(maxsize=16)
        gone = asyncio.Event()
        body_sent = False

        async def receive() -> Any:
            nonlocal body_sent
            if not body_sent:
                body_sent = True
                return {"type": "http.request", "body": content, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            try:
                await self._app(scope, receive, messages.put)  # type: ignore[arg-type]
            finally:
                await messages.put(None)

        task = asyncio.create_task(run())
        try:
            head = await messages.get()
            if head is None:
                await task
                raise RuntimeError("the application answered nothing")
            names = {name.decode().lower(): value.decode() for name, value in head["headers"]}
            yield Answer(head["status"], names, _chunks(messages))
        finally:
            gone.set()
            while not task.done():
                await _drain(messages, task)
            if not task.cancelled() and task.exception():
                task.result()

    def _scope(self, method: str, path: str, query: str, headers: Mapping[str, str], length: int) -> dict[str, Any]:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        raw += [(b"host", b"localhost"), (b"content-length", str(length).encode())]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": raw,
            "client": (self._address, 0),
            "server": ("localhost", 80),
            "extensions": {},
        }
        if self._actor is not None:
            trusted = RequestState(b"", method, path, "")
            trusted.actor = self._actor
            scope[STATE_KEY] = trusted
        return scope


async def _chunks(messages: asyncio.Queue[Any]) -> AsyncIterator[bytes]:
    while (message := await messages.get()) is not None:
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _drain(messages: asyncio.Queue[Any], task: asyncio.Task[None]) -> None:
    """Make room for what the application still sends to a client that went away."""
    getter = asyncio.create_task(messages.get())
    await asyncio.wait((getter, task), return_when=asyncio.FIRST_COMPLETED, timeout=1)
    if not getter.done():
        getter.cancel()
