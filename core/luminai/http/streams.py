"""Connections that stay open: event streams and sockets, which a swap must tell to come back."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar.types import Message, Send

RECONNECT: Final = b"event: reconnect\nretry: 500\ndata: {}\n\n"
"""Last event of a stream whose plugin was replaced: the client connects again and meets the new one."""
SERVICE_RESTART: Final = 1012
"""The close code that tells a socket's client to connect again (IANA WebSocket registry)."""


class OpenStream:
    """An event stream or socket with the task that serves it."""

    __slots__ = ("_send", "_task", "is_socket", "is_told", "owner")

    def __init__(self, owner: str, send: Send, *, is_socket: bool) -> None:
        self.owner = owner
        self.is_socket = is_socket
        self.is_told = False
        self._send = send
        self._task: asyncio.Task[Any] | None = asyncio.current_task()

    def end(self) -> None:
        """Interrupt the task that serves it; the edge then says the last word."""
        if self._task is not None and not self.is_told:
            self.is_told = True
            self._task.cancel()

    async def say_reconnect(self) -> None:
        """Take the interruption as handled and send the last word."""
        if self._task is not None:
            self._task.uncancel()
        message: Any = {"type": "http.response.body", "body": RECONNECT, "more_body": False}
        if self.is_socket:
            message = {"type": "websocket.close", "code": SERVICE_RESTART, "reason": "reconnect"}
        last: Message = message
        await self._send(last)
