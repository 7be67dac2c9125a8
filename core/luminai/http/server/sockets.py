"""A WebSocket's connection that ends in bounded time, whatever its client does or leaves undone."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from luminai.http.requests import STATE_KEY, RequestState

CLOSE_SECONDS: Final = 5.0
"""How long a close frame may wait for a client that does not read."""


class SocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's protocol. Where it closes only after what is unread was read, a dead client would stay for as long as TCP hopes."""

    async def send(self, message: Any) -> None:
        """Send a message; with the last one, see to it that the connection ends."""
        kind = message["type"]
        if kind == "websocket.close" and not self.writable.is_set():
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.writable.wait()
            except TimeoutError:
                self.transport.abort()
                return
        await super().send(message)
        if kind == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
        elif kind == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # else it is logged as a handshake that nobody answered

    def keepalive_timeout(self) -> None:
        """The client answers no ping: nothing that waits for it will be read."""
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the stream, whose handler may not look for a long time."""
        super().connection_lost(exc)
        scope: Any = getattr(self, "scope", {})
        state: RequestState | None = scope.get(STATE_KEY)
        if state is not None and state.stream is not None:
            state.stream.client_left()
