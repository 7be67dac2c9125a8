"""Tells the other processes on one PostgreSQL that there is work for them, and hears it from them (LISTEN and NOTIFY).

A hint may be lost, and comes a moment before the commit that it is about: whoever hears it looks again and again for a while, and every few seconds
anyhow. So nothing depends on it but how soon work begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import make_url

if TYPE_CHECKING:
    from asyncpg import Connection

_log = logging.getLogger("luminai.data")
CHANNEL: Final = "luminai_work"
CONNECT_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 30.0
"""Longest silence before the connection is tried: one that broke without a word is found then."""


class WakeHints:
    """One in a process.

    Attributes:
        heard: Called in the event loop when another process has work.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql").render_as_string(hide_password=False)
        self.heard: Callable[[], None] = lambda: None
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self) -> None:
        """Let the others look. May be called in any thread; many calls in a row are one hint."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to tell
                self._loop.call_soon_threadsafe(self._told.set)

    async def run(self) -> None:
        """Tell and hear until cancelled; without a connection, try again every few seconds."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await self._connected()
            except Exception as error:  # noqa: BLE001 - work goes on without hints
                _log.warning("hints.lost", extra={"reason": type(error).__name__})
            await asyncio.sleep(AGAIN_SECONDS)

    async def _connected(self) -> None:
        import asyncpg

        connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS, server_settings={"application_name": "luminai hints"})
        try:
            await connection.add_listener(CHANNEL, self._hear)
            self.heard()  # what was put while nobody listened
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await self._told.wait()
                statement = f"NOTIFY {CHANNEL}" if self._told.is_set() else "SELECT 1"
                self._told.clear()
                await connection.execute(statement, timeout=CONNECT_SECONDS)
        finally:
            connection.terminate()

    def _hear(self, connection: Connection[Any], pid: int, _channel: str, _payload: object) -> None:
        if pid != connection.get_server_pid():
            self.heard()
