"""``luminai serve``: the hub behind uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from msgspec.structs import replace

from luminai.config.layers import Configuration
from luminai.contracts.errors import Conflict, HubError
from luminai.host.hub import Hub, StartRefused
from luminai.host.report import render
from luminai.host.start_checks import check_start
from luminai.http.server.bodies import Bodies
from luminai.http.server.connection import SWEEP_SECONDS, Connection
from luminai.telemetry.access import AccessLog
from luminai.telemetry.descriptors import raise_limit
from luminai.telemetry.log_copy import LogCopy
from luminai.telemetry.logs import set_up_logging

EXIT_REQUIRED = 3
MAX_SOCKET_MESSAGE = 64 * 1024
_log = logging.getLogger("luminai.hub")


def serve(
    read: Callable[[], Configuration],
    *,
    config: Configuration | None = None,
    only: frozenset[str] | None = None,
    safe: bool = False,
    announce: bool = True,
) -> int:
    """Serve until told to stop; return the exit code (3: a required plugin does not run).

    Args:
        read: Reads the configuration; called again when the process gets SIGHUP or is asked to reload.
        config: What to start with instead (safe mode, when something is wrong with it).
        only: Ids that may run.
        safe: Run only the plugins of ``hub.safe-plugins``.
        announce: Say on stderr where the hub is.

    Raises:
        HubError: the hub cannot start.
    """
    config = config or read()
    settings = config.settings
    as_json = settings.log.format == "json" or (settings.log.format == "auto" and not sys.stderr.isatty())
    copy = LogCopy(config.base_dir / settings.log.folder, keep_days=settings.log.keep_days) if settings.log.folder else None
    set_up_logging(settings.log.level, as_json=as_json, hides_words=settings.hub.environment != "development", copy=copy)
    check_start(config)
    raise_limit()
    listener = _listen(settings.server.host, settings.server.port)
    hub = Hub(config, access_log=AccessLog(sys.stderr, as_json=as_json, copy=copy), only=only, safe=safe, start_log=True, reread=read)
    failure: list[Exception] = []
    server = _Server(hub, listener, failure, announce=announce)
    server.run(sockets=[listener])
    if failure and isinstance(failure[0], StartRefused):
        print(render(failure[0].report), file=sys.stderr)  # noqa: T201 - the report is for the operator
        return EXIT_REQUIRED
    if failure:
        raise failure[0]
    return 0


class _Server(uvicorn.Server):
    """uvicorn with the hub's own start, stop and announcement."""

    def __init__(self, hub: Hub, listener: socket.socket, failure: list[Exception], *, announce: bool) -> None:
        sockets: Any = _socket_protocol
        server, limits = hub.settings.server, hub.settings.connections
        if server.proxies:  # every connection is the proxy's, and only it knows whose
            limits = replace(limits, per_address=0)
        maker: Any = partial(Connection, limits, Counter(), Bodies())
        super().__init__(
            uvicorn.Config(
                hub.edge,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(server.drain_seconds)),
                http=maker,
                proxy_headers=False,
                ssl_certfile=str(hub.config.base_dir / server.tls_certificate) if server.tls_certificate else None,
                ssl_keyfile=str(hub.config.base_dir / server.tls_key) if server.tls_key else None,
                ws=sockets,
                ws_max_size=MAX_SOCKET_MESSAGE,
                ws_per_message_deflate=False,  # a frame of 15 KB can inflate to 15 MB
            )
        )
        self._hub = hub
        self._listener = listener
        self._failure = failure
        self._announce = announce
        self._reloads: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, at once when told twice; being told to stop is no failure, so the signal is not raised again and the exit code is 0."""
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)
        self._captured_signals.clear()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the hub before the first request can come."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._hub.start()
        except Exception as error:  # noqa: BLE001 - told to the operator by serve()
            self._failure.append(error)
            self.should_exit = True
            self.lifespan = _NoLifespan()
            return
        await super().startup(sockets)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        gc.freeze()  # what the start made stays: no full collection need walk over it
        gc.set_threshold(20_000, 10, 20)  # at 5,000 a paid call spends 3 % of its CPU on looking at what is still in use
        gc.enable()
        if self._announce:
            await _announce(self._hub, self._listener)

    async def main_loop(self) -> None:
        """Serve until told to stop. uvicorn's own looks ten times a second whether it was; what is left of it is a date for each second."""
        while not await self.on_tick(0):
            self._sweep()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._stopping.wait()

    def _sweep(self) -> None:
        """Let go of slow clients."""
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.sweep(now)

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(_reload(self._hub), name="luminai:reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send streams and sockets away, let requests end, then stop the hub."""
        self._hub.is_ready = False
        self._hub.edge.send_away()
        await super().shutdown(sockets)
        await self._hub.stop()


def _socket_protocol(**given: Any) -> asyncio.Protocol:
    """Make the protocol of a WebSocket; its library is imported with the first one."""
    from luminai.http.server.sockets import SocketConnection

    return SocketConnection(**given)


class _NoLifespan:
    should_exit = True


async def _reload(hub: Hub) -> None:
    """Read the configuration again, as an operator's SIGHUP asks; there is nobody to answer, so the log says how it went."""
    try:
        outcome = await hub.reload()
    except HubError as refused:
        problems = [f"{item.pointer}: {item.detail}" for item in refused.errors]
        _log.error("reload.refused", extra={"code": refused.code, "reason": refused.detail, "problems": problems})
    else:
        _log.warning("reload.done", extra={"generation": outcome.generation, "built": outcome.built, "stopped": outcome.stopped})


async def _announce(hub: Hub, listener: socket.socket) -> None:
    server = hub.settings.server
    address = server.public_url or _url(listener, is_https=bool(server.tls_certificate))
    lines = [f"LuminAI Hub is ready at {address}  ({hub.report.total_ms:.0f} ms, {len(hub.generation.plugins)} plugins)"]
    if hub.safe_mode:
        lines.append(f"SAFE MODE ({hub.safe_mode}): only hub.safe-plugins run. Correct the cause (`luminai repairs list`) and start again.")
    if hub.report.degraded:
        lines += ["Some plugins do not run:", render(hub.report)]
    token = await hub.keys.offer_setup() if "web" in hub.settings.hub.roles else None  # nobody could redeem it at a worker
    if token:
        lines.append(f"No key exists yet. To become the operator, run `luminai setup` within 15 minutes with this token: {token}")
    lines.append("Press Ctrl-C to stop.")
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - the newcomer reads this


def _url(listener: socket.socket, *, is_https: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if is_https else 'http'}://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = "Stop what listens there, or choose another port: LUMINAI_PORT=8001."
        raise Conflict(f"{host}:{port} cannot be used: {os.strerror(error.errno or 0)}.", code="port-in-use", hint=hint) from error
    listener.listen(1024)
    listener.set_inheritable(True)
    return listener
